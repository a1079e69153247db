"""`stabench prepare` as it is typed: what it writes, and every line that it refuses with."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.prepare import clips, features, prepare, recipe, record
from stabench.systems.training import extract
from stabench.systems.training.clip_table import open_labels, read_clips
from stabench.systems.training.feature_store import open_frames, open_latents
from tests.harness.prepare import tiny_audiocaps as tiny
from tests.harness.prepare.command import count_calls, list_files, type_command

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
CPU = torch.device("cpu")


def test_a_split_is_made_and_read_as_training_reads_it(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    tiny.spoil(audiocaps)
    path = tiny.write_recipe(audiocaps, networks, max_failed_share=0.3)
    out = tmp_path / "out"
    assert type_command(monkeypatch, path, "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == (
        f"train: 7 clips, 3 failed ({out / 'train' / 'failed.jsonl'}), 2 without labels"
    )
    assert "train: speech: 7 of 7, took" in printed.err

    data = recipe.load(str(path)).data
    prepared = record.read_prepared(out, data, "train")
    assert (prepared.clips, prepared.failed, prepared.unlabelled) == (7, 3, 2)
    assert (prepared.other_start, prepared.voice_rate_hz) == (1, 22_050)
    # The copied recording is encoded once, its speech twice: another seed speaks it.
    assert prepared.latents is not None
    assert (prepared.latents.contents, prepared.features[0].contents) == (6, 7)

    table = read_clips(out / "train" / "clips.parquet")
    assert table["youtube_id"] == [*tiny.IDS, tiny.DUPLICATE]
    assert table["recording_sha256"][0] == table["recording_sha256"][6]
    assert table["labels"] == [[3], [0, 1], [3], [0], None, [0, 3], None]
    labels = open_labels(out / "train" / "clips.parquet", CPU)
    assert labels.clips.tolist() == [0, 1, 2, 3, 5]
    assert labels.names[3] == "Dog"
    assert labels.targets.tolist()[1] == [1, 1, 0, 0]

    frames = open_frames(
        out / "train" / prepared.features[0].folder, CPU, prepared.features[0].digest
    )
    latents = open_latents(out / "train" / prepared.latents.folder, CPU)
    assert len(frames) == len(latents) == 7
    encoder = extract.hubert(str(networks / "hubert"))
    encoder.load("cpu")
    speech = prepare.read_samples(tmp_path / "cache" / table["speech"][4], prepare.Reading(16_000))
    batch, mask = frames.batch(np.array([4]))
    assert mask.all()
    np.testing.assert_allclose(batch[0], encoder.encode([speech])[0][0], atol=2e-3, rtol=2e-3)
    seconds = [count / rate for rate, count in tiny.SOUNDS]
    assert table["recording_s"][:6] == pytest.approx(seconds, abs=1e-4)
    for clip, length_s in enumerate(seconds):
        z, _ = latents.batch(np.array([clip]), np.random.default_rng(0))
        assert z.shape == (1, 128, round(length_s * 24_000 + 0.49) // 480)


def test_failures_are_named_and_more_than_allowed_end_it(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    tiny.spoil(audiocaps)
    path = tiny.write_recipe(audiocaps, networks, max_failed_share=0.1)
    assert type_command(monkeypatch, path, "--out", tmp_path / "out") == 4
    last = capsys.readouterr().err.splitlines()[-1]
    assert "train: 3 of 10 clips failed, max_failed_share allows 0.1 of them; the first is " in last
    lines = (tmp_path / "out/train/failed.jsonl").read_text().splitlines()
    reasons = {row["id"]: row["reason"] for row in map(json.loads, lines) if row["step"] == "clips"}
    assert reasons.keys() == {f"Y{name}" for name in (tiny.BROKEN, tiny.ABSENT, tiny.SILENT)}
    assert "truncated" in reasons[f"Y{tiny.BROKEN}"]
    assert "no recording in" in reasons[f"Y{tiny.ABSENT}"]
    assert not (tmp_path / "out/prepared.json").exists()


def test_a_caption_that_the_voice_cannot_speak_is_a_failure(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv = audiocaps / "train.csv"
    csv.write_text(csv.read_text().replace(",wind\n", ",2 winds\n"))
    path = tiny.write_recipe(audiocaps, networks, max_failed_share=0.2)
    assert type_command(monkeypatch, path, "--out", tmp_path / "out") == 0
    row = json.loads((tmp_path / "out/train/failed.jsonl").read_text().splitlines()[0])
    assert (row["id"], row["step"]) == ("Yaaaaaaaaaaa", "speech")
    assert "has no '2'" in row["reason"]


def test_only_what_is_new_is_computed(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tiny.write_recipe(audiocaps, networks)
    out = tmp_path / "out"
    calls = count_calls(monkeypatch)
    assert type_command(monkeypatch, path, "--out", out, "--limit", 4) == 0
    assert sum(calls) == 8
    shards = {name: data for name, data in list_files(out).items() if "00000.arrow" in name}
    assert len(shards) == 2
    assert type_command(monkeypatch, path, "--out", out) == 0
    assert sum(calls) == 12
    files = list_files(out)
    assert shards.items() <= files.items()
    capsys.readouterr()
    assert type_command(monkeypatch, path, "--out", out) == 0
    assert sum(calls) == 12
    assert list_files(out) == files
    assert capsys.readouterr().err.count("nothing to do") == 4
    # Another option makes another store beside the first, and speech of the same captions.
    text = path.read_text().replace('hubert" }', 'hubert", normalize_waveform = true }')
    path.write_text(text)
    assert type_command(monkeypatch, path, "--out", out) == 0
    assert sum(calls) == 18
    assert len(list((out / "train").glob("features-hubert-*"))) == 2
    assert files.items() - list_files(out).items() == {("prepared.json", files["prepared.json"])}


@pytest.mark.parametrize("encoder", [pytest.param("wavlm", marks=pytest.mark.slow), "dac"])
def test_other_encoders_and_captions_of_a_split_without_recordings(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    path = tiny.write_recipe(audiocaps, networks, encoder)
    text = path.read_text()
    head, vae = text.split("[data.vae]")
    t5 = '[[data.other_encoders]]\nuse = "flan-t5"\n'
    t5 += f'options = {{ weights = "{networks}/flan-t5-large" }}\n'
    path.write_text(
        head.replace('recordings = "', 'voice_seed = 1 # "') + t5 + vae[vae.index("[st") :]
    )
    out = tmp_path / "out"
    assert type_command(monkeypatch, path, "--out", out) == 0
    prepared = record.read_prepared(out, recipe.load(str(path)).data, "train")
    assert [store.use for store in prepared.features] == [encoder, "flan-t5"]
    assert prepared.latents is None
    frames = open_frames(out / "train" / prepared.features[1].folder, CPU)
    reader = extract.FlanT5(str(networks / "flan-t5-large"))
    reader.load("cpu")
    [(states,)] = reader.encode([tiny.CAPTIONS[0]])
    np.testing.assert_allclose(frames.batch(np.array([0]))[0][0], states, atol=2e-3, rtol=2e-3)
    assert read_clips(out / "train" / "clips.parquet", "recording")["recording"] == [None] * 6


@pytest.mark.slow
def test_the_papers_header_makes_another_store(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {}
    for header in (None, 22_000):
        data = {} if header is None else {"header_rate_hz": header}
        path = tiny.write_recipe(audiocaps, networks, **data)
        out = tmp_path / f"out-{header}"
        assert type_command(monkeypatch, path, "--out", out, "--limit", 2) == 0
        lengths[header] = np.array(read_clips(out / "train/clips.parquet")["speech_s"])
    np.testing.assert_allclose(lengths[22_000] / lengths[None], 22_050 / 22_000, rtol=2e-4)


@pytest.mark.slow
def test_several_processes_make_the_same(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny.write_recipe(audiocaps, networks)
    assert type_command(monkeypatch, path, "--out", tmp_path / "one") == 0
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "other-cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(recipe.__file__).parents[2]))
    assert type_command(monkeypatch, path, "--out", tmp_path / "two", "--workers", 2) == 0
    assert list_files(tmp_path / "one") == list_files(tmp_path / "two")


@pytest.mark.parametrize(
    ("captions", "ids"),
    [
        ("all", ["Y-abcdefghi_", "Y-abcdefghi_.2", "Y0123456789"]),
        ("any", ["Y-abcdefghi_", "YY0123456789"]),
    ],
)
def test_more_captions_than_the_first(
    audiocaps: Path, networks: Path, captions: str, ids: list[str]
) -> None:
    csv = audiocaps / "train.csv"
    csv.write_text(csv.read_text() + f"999,{tiny.IDS[0]},30,another caption of it\n")
    data = recipe.load(str(tiny.write_recipe(audiocaps, networks, captions=captions))).data
    rows = clips.select_clips(data, "train", 2).rows
    assert [row.id for row in rows] == [
        name if name != "Y0123456789" else "YY0123456789" for name in ids
    ]
    if captions == "all":
        assert [row.caption for row in rows[:2]] == [tiny.CAPTIONS[0], "another caption of it"]
        assert rows[0].recording == rows[1].recording
    else:
        # Drawn by the seed: over many seeds both are.
        drawn = {
            clips.select_clips(data.model_copy(update={"voice_seed": seed}), "train", 1)
            .rows[0]
            .number
            for seed in range(20)
        }
        assert drawn == {0, 1}


FAULTS: dict[str, tuple[dict[str, str], int, str]] = {
    "encoder": ({'"hubert"': '"hubrt"'}, 2, "unknown encoder 'hubrt'; did you mean 'hubert'?"),
    "option": (
        {"{ weights =": "{ weight ="},
        2,
        "encoder 'hubert': unknown option 'weight'; did you mean 'weights'?",
    ),
    "weights": ({"/hubert": "/none"}, 3, "encoder 'hubert': weights '"),
    "kind": ({"/hubert": "/wavlm"}, 2, "encoder 'hubert': "),
    "csv": ({"train.csv": "none.csv"}, 3, "none.csv': no such file"),
    "recordings": ({"/recordings": "/none"}, 3, "no such folder; give a folder of audio files"),
    "voice": ({"/voice": "/none"}, 2, "none' is no folder, and: unknown weights"),
    "classes": ({"class_labels": "no_class_labels"}, 3, "no such file"),
    "segments": ({"segments.csv": "none.csv"}, 3, "no such file"),
    "header": (
        {"[data.csv]": "header_rate_hz = 16000\n[data.csv]"},
        2,
        "header_rate_hz is 16000, but '",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_one_line(
    audiocaps: Path,
    networks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    fault: str,
) -> None:
    changes, code, message = FAULTS[fault]
    path = tiny.write_recipe(audiocaps, networks)
    for old, new in changes.items():
        path.write_text(path.read_text().replace(old, new))
    assert type_command(monkeypatch, path, "--out", tmp_path / "out") == code
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith("train: ")
    ]
    assert len(lines) == 1
    assert message in lines[0]


OWN = """import numpy as np

class Levels:
    reads, rate_hz, batch, equal = "speech", RATE, 4, False
    def __init__(self, weights="none"):
        pass
    def provenance(self):
        return {"version": 1}
    def load(self, device):
        self.device = device
    def encode(self, clips):
        return [(np.full((3, 2), np.abs(clip).max(), np.float32),) for clip in clips]
"""


def test_an_encoder_of_ones_own_is_one_file(
    audiocaps: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for rate_hz, code in ((16_000, 0), (8_000, 2)):
        own = tmp_path / f"own{rate_hz}.py"
        own.write_text(OWN.replace("RATE", str(rate_hz)))
        path = tiny.write_recipe(audiocaps, networks, f"{own}:Levels")
        out = tmp_path / "out"
        assert type_command(monkeypatch, path, "--out", out, "--limit", 2) == code
    assert (
        "reads speech at 8000 Hz, allowed is 16000; resample inside it" in capsys.readouterr().err
    )
    [store] = (out / "train").glob("features-Levels-*")
    frames, _ = open_frames(store, CPU).batch(np.array([0, 1]))
    assert frames.shape == (2, 3, 2)
    assert 0 < frames.min() < frames.max() <= 1


def test_an_option_of_another_type_is_the_recipes_fault() -> None:
    part = recipe.Part(use="hubert", options={"weights": 3})
    with pytest.raises(StabenchError, match=r"encoder 'hubert': .* not int"):
        features.Network("encoders", part, "cpu")


def test_splits_that_are_not_there(
    audiocaps: Path, networks: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tiny.write_recipe(audiocaps, networks)
    assert type_command(monkeypatch, path, "--split", "trian") == 2
    assert "--split: unknown split 'trian'; did you mean 'train'?" in capsys.readouterr().err
    monkeypatch.chdir(audiocaps)
    assert type_command(monkeypatch, path, "--split", "test") == 2
    assert "--split test: the recipe has no csv.test; add it" in capsys.readouterr().err


def test_what_training_is_given_is_what_the_recipe_says(
    audiocaps: Path, networks: Path, tmp_path: Path
) -> None:
    data = recipe.load(str(tiny.write_recipe(audiocaps, networks))).data
    out = tmp_path / "out"
    with pytest.raises(MissingError, match=r"prepared\.json': no such file; run: stabench prepare"):
        record.read_prepared(out, data, "train")
    prepare.prepare(data, out, ["train"], limit=2)
    prepared = record.read_prepared(out, data, "train")
    with pytest.raises(MissingError, match="unknown split 'test'"):
        record.read_prepared(out, data, "test")
    other = data.model_copy(update={"header_rate_hz": 22_000})
    with pytest.raises(
        StabenchError, match=r"data\.header_rate_hz was None and is 22000; run: stabench prepare"
    ):
        record.read_prepared(out, other, "train")
    shutil.copy(
        out / "train" / "failed.jsonl", out / "train" / prepared.features[0].folder / "index.arrow"
    )
    with pytest.raises(MissingError, match=r"index\.arrow': not what 'prepared\.json' lists"):
        record.read_prepared(out, data, "train")


def test_clap_reads_captions_by_the_score_s_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Embedder:
        identity, sha256 = "i", "s"

        def __init__(self, weights: str) -> None:
            assert weights == "random"

        def load(self, device: str) -> None:
            assert device == "cpu"

        def embed_text(self, captions: list[str]) -> np.ndarray:
            return np.array([[len(caption), 1.0] for caption in captions], np.float32)

    monkeypatch.setattr(features.registry, "load", lambda kind, name: Embedder)
    from stabench.harness.prepare.clap_text import ClapText

    encoder = ClapText(weights="random")
    encoder.load("cpu")
    [(first,), (second,)] = encoder.encode(["a", "abc"])
    assert first.tolist() == [[1.0, 1.0]]
    assert second.tolist() == [[3.0, 1.0]]
    monkeypatch.delattr(Embedder, "embed_text")
    with pytest.raises(StabenchError, match="reads no text; use clap-630k"):
        ClapText(weights="random")
