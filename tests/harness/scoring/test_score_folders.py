"""Folders of WAVs as other tools leave them: any rate, any length, some of them broken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.report.report import report
from stabench.harness.report.table import table
from stabench.harness.scoring.score import Hearing, score_folders
from stabench.harness.suites import protocols
from tests.harness.fake_run import EMBEDDERS, tone

EVENTS = [("low",), ("middle",), ("high",), ("low", "high")]
IDS = [f"Y_{index:02}" for index in range(12)]


def sounds(folder: Path, ids: list[str] = IDS, rate_hz: int = 16_000, **changes: Any) -> Path:
    """A folder of half-second WAVs at `rate_hz`, one a clip, as 16-bit PCM."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(ids):
        rng = np.random.default_rng([index, changes.get("seed", 0)])
        samples = tone(EVENTS[index % 4], rng, changes.get("noise", 0.02))
        soundfile.write(folder / f"{name}.wav", samples, rate_hz, subtype="PCM_16")
    return folder


def captions(path: Path, header: str = "id,caption") -> Path:
    lines = [f"{name},a {' and '.join(EVENTS[i % 4])} tone" for i, name in enumerate(IDS)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def score(tmp_path: Path, **given: Any) -> dict[str, Any]:
    """metrics.json of two good systems, or of what is given."""
    asked = {
        "reference": tmp_path / "reference",
        "outputs": {"a": tmp_path / "a", "b": tmp_path / "b"},
        "captions": None,
        "out": tmp_path / "out",
        "protocol": protocols.load("pocket", EMBEDDERS),
        "bootstrap": 60,
        "replace": True,
    } | given
    return json.loads(score_folders(**asked).read_text())


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """reference (16 kHz), a (24 kHz, longer), b (44.1 kHz), captions.csv."""
    sounds(tmp_path / "reference")
    sounds(tmp_path / "a", rate_hz=24_000, seed=1)
    sounds(tmp_path / "b", rate_hz=44_100, seed=2, noise=0.3)
    captions(tmp_path / "captions.csv")
    return tmp_path


def test_any_rate_and_length_is_scored_as_it_is(folders):
    metrics = score(folders, captions=folders / "captions.csv")
    for name in ("a", "b"):
        system = metrics["systems"][name]
        assert (system["n"], system["failed"]) == (12, 0)
        assert all(system["cells"][column]["value"] is not None for column in ("fad", "kl", "clap"))
    assert set(metrics["sanity"]) == {"other-half", "noise", "silence", "shuffled"}
    assert {(line["a"], line["b"]) for line in metrics["paired"]} == {("a", "b")}


def test_identical_folders_have_no_distance(folders):
    metrics = score(folders, outputs={"same": folders / "reference"})
    cells = metrics["systems"]["same"]["cells"]
    assert cells["fad"]["value"] == pytest.approx(0, abs=1e-6)
    assert cells["kl"]["value"] == pytest.approx(0, abs=1e-12)
    assert cells["clap"]["reason"] == "no captions"


def test_broken_files_fail_their_clip_and_no_other(folders):
    a = folders / "a"
    (a / "Y_00.wav").write_bytes(b"")
    (a / "Y_01.wav").write_bytes((a / "Y_01.wav").read_bytes()[:999])
    (a / "Y_02.wav").write_text("this is no audio, but long enough to look at")
    soundfile.write(a / "Y_03.wav", np.full(8000, np.nan, np.float32), 16_000, subtype="FLOAT")
    (a / "Y_04.wav").unlink()
    soundfile.write(a / "Y_05.wav", np.zeros(8000), 15_991)
    metrics = score(folders, sanity=())
    failures = metrics["systems"]["a"]["failures"]
    reasons = ["empty", "truncated", "not a RIFF WAVE", "NaN", "no such file", "cannot resample"]
    assert sorted(failures) == [f"Y_0{index}" for index in range(6)]
    assert all(reason in failures[f"Y_0{i}"] for i, reason in enumerate(reasons))
    assert metrics["systems"]["a"]["cells"]["kl"]["n"] == 6
    assert metrics["systems"]["b"]["cells"]["kl"]["n"] == 12
    assert all("\n" not in reason for reason in failures.values())


def test_a_broken_recording_is_left_out_and_named(folders):
    (folders / "reference" / "Y_00.wav").write_bytes(b"RIFF")
    metrics = score(folders, sanity=())
    assert metrics["references"]["n"] == 11
    assert "Y_00" in metrics["references"]["failures"]
    cells = metrics["systems"]["a"]["cells"]
    assert [cells[column]["n"] for column in ("fad", "kl")] == [12, 11]


def test_extra_files_and_missing_captions_are_noted(folders):
    sounds(folders / "a", ["Y_99"])
    text = (folders / "captions.csv").read_text().splitlines()
    (folders / "captions.csv").write_text("\n".join(text[:-2]) + "\n")
    metrics = score(folders, captions=folders / "captions.csv", sanity=())
    assert "a: 1 file without a reference left out (Y_99)" in metrics["notes"]
    assert "2 clips without a caption (Y_10, Y_11)" in metrics["notes"]
    assert metrics["systems"]["a"]["cells"]["clap"]["n"] == 10


def test_folders_that_are_not_there_or_hold_no_wav(folders):
    with pytest.raises(MissingError, match=r"a: folder .* is not there"):
        score(folders, outputs={"a": folders / "nowhere"})
    (folders / "empty").mkdir()
    with pytest.raises(MissingError, match=r"holds no \.wav file"):
        score(folders, reference=folders / "empty")


def test_a_stem_twice_is_refused(folders):
    (folders / "a" / "Y_00.WAV").write_bytes(b"")
    with pytest.raises(StabenchError, match="2 files with the stem 'Y_00'"):
        score(folders)


def test_a_csv_without_its_columns_is_refused(folders):
    captions(folders / "captions.csv", header="name,text")
    with pytest.raises(StabenchError, match="needs columns id, caption"):
        score(folders, captions=folders / "captions.csv")


def test_channels_are_mixed_by_the_rule_of_the_protocol(folders):
    for file in (folders / "a").glob("*.wav"):
        samples, rate_hz = soundfile.read(file)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, len(samples))
        soundfile.write(file, np.stack([samples, noise], axis=1), rate_hz)
    first = score(folders, sanity=(), protocol=protocols.load("paper", EMBEDDERS))
    mean = score(folders, sanity=())
    kl = [metrics["systems"]["a"]["cells"]["kl"]["value"] for metrics in (first, mean)]
    assert kl[0] != pytest.approx(kl[1])
    assert mean["provenance"]["embedders"]["tagger"]["channels"] == "mean"


def test_the_report_of_folders_shows_scores_without_times(folders, capsys):
    score(folders, captions=folders / "captions.csv")
    report(folders / "out")
    shown = " ".join(capsys.readouterr().out.split())
    assert "numbers comparable only with each other, not with any paper's" in shown
    assert "Processing, Generation of a, b: scored from files, not timed" in shown
    assert "a minus b" in shown
    rows = {row.system: row for row in table(folders / "out")}
    assert rows["a"].paradigm == "unstated"
    assert rows["a"].cells["processing"].value is None
    assert rows["noise"].paradigm == "sanity"


def named(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A table that names the recording of each output."""
    lines = [",".join(row) for row in rows]
    path.write_text("\n".join(["id,caption,reference", *lines]) + "\n")
    return path


def test_several_captions_of_one_recording_are_several_outputs_of_one_group(folders):
    """As AudioCaps has it: outputs are named by caption, and share their recording."""
    ids = [f"{name}-{k}" for name in IDS for k in range(2)]
    folder = folders / "many"
    for index, name in enumerate(ids):
        sounds(folder, [name], seed=index)
        samples = tone(EVENTS[index // 2 % 4], np.random.default_rng(index))
        soundfile.write(folder / f"{name}.wav", samples, 16_000, subtype="PCM_16")
    table = named(folders / "many.csv", [(name, "a tone", name[:-2]) for name in ids])
    metrics = score(folders, outputs={"many": folder}, captions=table, sanity=("noise",))
    cells = metrics["systems"]["many"]["cells"]
    assert {cells[column]["n"] for column in ("fad", "kl", "clap")} == {24}
    assert metrics["references"]["n"] == 12
    assert (metrics["n_clips"], metrics["provenance"]["groups"]) == (24, 12)
    assert metrics["sanity"]["noise"]["n"] == 12
    alone = {
        name: score(folders, outputs={"one": _copy(folders, folder, name)}, sanity=())
        for name in "01"
    }
    halves = [alone[name]["systems"]["one"]["cells"]["kl"]["value"] for name in "01"]
    assert cells["kl"]["value"] == pytest.approx(np.mean(halves))


def _copy(folders: Path, folder: Path, k: str) -> Path:
    """The outputs for one caption of each recording, under the recording's name."""
    target = folders / f"only{k}"
    target.mkdir()
    for name in IDS:
        (target / f"{name}.wav").write_bytes((folder / f"{name}-{k}.wav").read_bytes())
    return target


def test_several_recordings_of_one_caption_share_their_clip(folders):
    rows = [(name, "a tone", name) for name in IDS] + [("Y_00", "a tone", "Y_04")]
    table = named(folders / "two.csv", rows)
    metrics = score(folders, captions=table, sanity=())
    one = score(folders, captions=named(folders / "one.csv", rows[:-1]), sanity=())
    swapped = [("Y_00", "a tone", "Y_04"), *rows[1:-1]]
    other = score(folders, captions=named(folders / "other.csv", swapped), sanity=())
    each = [m["systems"]["a"]["per_clip"]["Y_00"]["kl"] for m in (metrics, one, other)]
    assert each[0] == pytest.approx((each[1] + each[2]) / 2)
    assert metrics["provenance"]["groups"] == 11


def test_a_table_with_the_same_row_twice_or_an_unknown_recording(folders):
    rows = [(name, "a tone", name) for name in IDS]
    with pytest.raises(StabenchError, match="'Y_03' has the same caption and reference twice"):
        score(folders, captions=named(folders / "t.csv", [*rows, rows[3]]))
    lost = named(folders / "t.csv", [*rows[1:], ("Y_00", "a tone", "Y_77")])
    metrics = score(folders, captions=lost, sanity=())
    assert "no such file" in metrics["references"]["failures"]["Y_77"]
    assert metrics["systems"]["a"]["cells"]["kl"]["n"] == 11


@pytest.mark.parametrize("asked", [False, True])
def test_unpaired_folders_are_compared_as_sets(folders, asked):
    """Other file names, or the same ones that mean nothing."""
    names = IDS if asked else [f"gen{index}" for index in range(12)]
    sounds(folders / "set", [*names, "more"], seed=5)
    table = folders / "captions.csv" if asked else None
    metrics = score(folders, outputs={"set": folders / "set"}, captions=table, unpaired=asked)
    cells = metrics["systems"]["set"]["cells"]
    assert metrics["systems"]["set"]["failed"] == 0
    assert {cells[column]["n"] for column in ("fad", "fd")} == {13}
    assert cells["fad"]["low"] < cells["fad"]["value"] < cells["fad"]["high"]
    assert cells["kl"]["reason"] == "the outputs are not paired with the recordings"
    assert cells["clap"]["value" if asked else "reason"] != 0
    assert any("scored as a set; KL needs pairs" in note for note in metrics["notes"])
    assert metrics["sanity"]["noise"]["n"] == 12


def test_pairing_makes_the_interval_of_a_distance_narrower(folders):
    """Outputs that are nearly the recordings: what moves one moves the other."""
    near = folders / "near"
    near.mkdir()
    for name in IDS:
        samples, rate_hz = soundfile.read(folders / "reference" / f"{name}.wav")
        soundfile.write(near / f"{name}.wav", 0.8 * samples, rate_hz, subtype="FLOAT")
    asked = {"outputs": {"near": near}, "sanity": ()}
    paired, apart = (score(folders, **asked, unpaired=unpaired) for unpaired in (False, True))
    cells = [m["systems"]["near"]["cells"]["fd"] for m in (paired, apart)]
    assert cells[0]["value"] == cells[1]["value"]
    assert cells[0]["high"] - cells[0]["low"] < 0.7 * (cells[1]["high"] - cells[1]["low"])


def test_names_that_nothing_registers_and_weights_that_are_not_there(folders, monkeypatch):
    with pytest.raises(StabenchError, match="unknown embedder 'vgish'; did you mean 'vggish'"):
        protocols.load("paper", {"fad": "vgish"})
    with pytest.raises(StabenchError, match=r"Frames' has only its own weights, not 'random'"):
        score(folders, hearing=Hearing(weights="random"))
    monkeypatch.setenv("STABENCH_WEIGHTS", str(folders / "nothing"))
    monkeypatch.setenv("TORCH_HOME", str(folders / "nothing"))
    with pytest.raises(MissingError, match="stabench weights fetch vggish"):
        score(folders, protocol=protocols.load("paper"), columns=("fad",))
