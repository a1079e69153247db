"""Scores of a run against numbers calculated another way, from the same sounds."""

import json
import shutil
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
from scipy.linalg import sqrtm
from scipy.special import rel_entr, softmax

from stabench.checkpoints.cache import cache_folder
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs import influence_file
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from stabench.harness.scoring.score_systems import Entrant, Scored, pairs
from stabench.harness.stats.bootstrap import Draws
from stabench.harness.stats.permutation import sign_flip
from stabench.harness.tasks.speech_to_audio import TASK
from stabench.metrics.resample import resample
from tests.harness.fake_run import LISTENERS, FakeRun, write_wav
from tests.harness.listeners import EVENTS, Frames, Listener, Matcher, Tagger

SANITY = ["other-half", "noise", "silence", "shuffled"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, dict[str, Any]]:
    """A scored run in which one clip of star failed."""
    # IS needs 72 clips.
    run = FakeRun(tmp_path_factory.mktemp("run"), n=73, failed={"star": ["clip005"]})
    folder = run.make()
    return folder, score(folder)


def score(folder: RunFolder) -> dict[str, Any]:
    return json.loads(score_run(folder.path, replace=True).read_text())


def heard(path: Path, listener: Listener) -> Any:
    """What a listener makes of a file, without the harness; only a CLAP keeps the mean."""
    samples, rate_hz = soundfile.read(path, dtype="float32")
    offset = 0 if isinstance(listener, Matcher) else samples.mean()
    return listener.one(resample(samples - offset, rate_hz, listener.rate_hz))


def both(folder: RunFolder, system: str, listener: Listener, skip: str = "") -> tuple[list, list]:
    """Features of the outputs and of their references, in the same order of clips."""
    clips = [clip for clip in folder.clips if clip.id != skip]
    outputs = [heard(folder.audio_path(system, clip.id), listener) for clip in clips]
    return outputs, [heard(clip.reference, listener) for clip in clips]


def divergences(references: list, outputs: list) -> np.ndarray:
    """KL(reference || output) of each pair."""
    logits = (np.array([f.logits for f in found], float) for found in (references, outputs))
    return rel_entr(*(softmax(rows, axis=1) for rows in logits)).sum(axis=1)


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """The textbook formula, by matrix square root (well conditioned here)."""
    covariances = [np.cov(rows.astype(float), rowvar=False) for rows in (one, other)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    means = one.astype(float).mean(0) - other.astype(float).mean(0)
    return float(means @ means + np.trace(covariances[0] + covariances[1] - 2 * root))


def value(metrics: dict[str, Any], system: str, column: str) -> float:
    return metrics["systems"][system]["cells"][column]["value"]


@pytest.mark.parametrize(("column", "listener"), [("fad", Frames()), ("fd", Tagger())])
def test_frechet_columns_are_those_of_the_matrix_square_root(scored, column, listener):
    folder, metrics = scored
    outputs, references = both(folder, "cascade", listener)
    rows = [np.concatenate([f.embeddings for f in found]) for found in (outputs, references)]
    assert value(metrics, "cascade", column) == pytest.approx(frechet(*rows), rel=1e-6)


def test_kl_is_reference_to_output_paired_by_id(scored):
    folder, metrics = scored
    outputs, references = both(folder, "cascade", Tagger())
    each = divergences(references, outputs)
    assert value(metrics, "cascade", "kl") == pytest.approx(each.mean(), rel=1e-6)
    by_clip = metrics["systems"]["cascade"]["per_clip"]
    assert [by_clip[clip.id]["kl"] for clip in folder.clips] == pytest.approx(list(each), rel=1e-5)


def test_inception_score_takes_rows_in_the_order_of_ids(scored):
    folder, metrics = scored
    clips = sorted(clip.id for clip in folder.clips)
    logits = [heard(folder.audio_path("cascade", clip), Tagger()).logits for clip in clips]
    shuffled = softmax(np.array(logits, float), axis=1)
    shuffled = shuffled[np.random.RandomState(2020).permutation(len(clips))]
    parts = [shuffled[i * len(clips) // 10 : (i + 1) * len(clips) // 10] for i in range(10)]
    each = [np.exp(rel_entr(part, part.mean(0)).sum(1).mean()) for part in parts]
    assert value(metrics, "cascade", "is") == pytest.approx(np.mean(each), rel=1e-6)


def test_clap_and_recall_belong_to_the_clip_s_own_caption_and_labels(scored):
    folder, metrics = scored
    cosines, shares = [], []
    for clip in folder.clips:
        path = folder.audio_path("cascade", clip.id)
        text = Matcher().embed_text([clip.caption])[0]
        cosines.append(text @ heard(path, Matcher()).embeddings[0])
        loud = heard(path, Tagger()).logits >= Tagger.thresholds
        shares.append(np.mean([loud[EVENTS.index(label)] for label in clip.labels]))
    assert value(metrics, "cascade", "clap") == pytest.approx(np.mean(cosines), rel=1e-5)
    assert value(metrics, "cascade", "recall") == pytest.approx(np.mean(shares))


def test_intervals_resample_clips_with_draws_that_all_systems_share(scored):
    folder, metrics = scored
    counts = Draws.of(73, replicates=100, seed=0).counts
    ids = sorted(clip.id for clip in folder.clips)
    for system, part in metrics["systems"].items():
        cell, each = part["cells"]["kl"], part["per_clip"]
        kept = [index for index, clip in enumerate(ids) if clip in each]
        values = np.zeros(73)
        values[kept] = [each[ids[index]]["kl"] for index in kept]
        # The share of each clip; of one that failed none.
        parts = np.where(np.isin(range(73), kept), values - values[kept].mean(), 0) / len(kept)
        moved = counts @ parts
        errors = [np.repeat(parts, times).std() for times in counts]
        tails = np.quantile(moved / errors, [0.975, 0.025])
        ends = values[kept].mean() - parts.std() * tails
        assert [cell["low"], cell["high"]] == pytest.approx(ends, rel=1e-4), system


def test_a_failed_clip_is_left_out_and_counted(scored):
    folder, metrics = scored
    star = metrics["systems"]["star"]
    assert (star["n"], star["failed"]) == (72, 1)
    assert star["failures"] == {"clip005": "timeout: no answer within 120 s"}
    assert "clip005" not in star["per_clip"]
    assert {cell["n"] for key, cell in star["cells"].items() if key != "wer"} == {72}
    outputs, references = both(folder, "star", Tagger(), skip="clip005")
    expected = divergences(references, outputs).mean()
    assert star["cells"]["kl"]["value"] == pytest.approx(expected)


def test_paired_differences_use_the_clips_that_both_have(scored):
    _, metrics = scored
    systems = metrics["systems"]
    lines = {(line["a"], line["b"], line["column"]): line for line in metrics["paired"]}
    line = lines["star", "cascade", "kl"]["difference"]
    pairs = [
        (systems["star"]["per_clip"][clip]["kl"], systems["cascade"]["per_clip"][clip]["kl"])
        for clip in systems["star"]["per_clip"]
    ]
    assert line["n"] == 72
    assert line["value"] == pytest.approx(np.mean([a - b for a, b in pairs]))
    assert line["low"] < line["value"] < line["high"] < 0
    fad = lines["oracle", "cascade", "fad"]
    own = value(metrics, "oracle", "fad") - value(metrics, "cascade", "fad")
    assert fad["difference"]["value"] == pytest.approx(own)
    assert {(a, b) for a, b, _ in lines} == {
        ("star", "oracle"),
        ("star", "cascade"),
        ("oracle", "cascade"),
    }


def test_the_p_value_of_a_difference_is_that_of_its_clips_with_their_signs_turned(tmp_path):
    folder = FakeRun(tmp_path, n=24, noise={"cascade": 0.1, "star": 0.09}).make()
    metrics = score(folder)
    tested = [
        line
        for line in metrics["paired"]
        if {line["a"], line["b"]} == {"cascade", "star"} and line["column"] in ("kl", "clap")
    ]
    assert len(tested) == 2
    for line in tested:
        values = [metrics["systems"][line[side]]["per_clip"] for side in ("a", "b")]
        clips = sorted(values[0].keys() & values[1].keys())
        minus = np.array([[v[clip][line["column"]] for clip in clips] for v in values])
        test = sign_flip(minus[0] - minus[1])
        # The same signs are drawn; equal sums may be counted otherwise by rounding.
        assert line["difference"]["p_value"] == pytest.approx(test.p_value, abs=5e-4)


def test_word_error_rate_is_that_of_the_corpus(scored):
    folder, metrics = scored
    texts = {row.clip: row.text for row in folder.rows() if row.system == "cascade"}
    captions = [clip.caption.lower().rstrip(".") for clip in folder.clips]
    heard_texts = [texts[clip.id].lower().rstrip(".") for clip in folder.clips]
    cell = metrics["systems"]["cascade"]["cells"]["wer"]
    assert cell["value"] == pytest.approx(jiwer.wer(captions, heard_texts))
    assert cell["low"] < cell["value"] < cell["high"]
    for system in ("star", "oracle"):
        assert metrics["systems"][system]["cells"]["wer"]["reason"] == "no transcripts"
    assert "lower case" in metrics["columns"]["wer"]["about"]


def test_scoring_again_hears_nothing_again_and_writes_the_same_bytes(tmp_path):
    folder = FakeRun(tmp_path, n=12).make()
    first = score_run(folder.path).read_bytes()
    before = (len(counted("calls")), len(counted("loads")))
    assert score_run(folder.path).read_bytes() == first
    assert (len(counted("calls")), len(counted("loads"))) == before
    shutil.rmtree(cache_folder() / "features")
    assert score_run(folder.path).read_bytes() == first
    assert len(counted("calls")) > before[0]


def test_new_audio_under_an_old_name_is_never_scored_from_old_features(tmp_path):
    folder = FakeRun(tmp_path, n=12).make()
    first = score(folder)["systems"]["star"]["per_clip"]
    other = FakeRun(tmp_path / "again", n=12, noise={"star": 0.3}).make()
    for clip in folder.clips:
        shutil.copy(other.audio_path("star", clip.id), folder.audio_path("star", clip.id))
    shutil.copy(other.journal_path, folder.journal_path)
    second = score(folder)["systems"]["star"]["per_clip"]
    assert second == score(other)["systems"]["star"]["per_clip"]
    assert all(second[clip]["kl"] != first[clip]["kl"] for clip in first)


def counted(name: str) -> list:
    """The class that the registry loaded from the file, not the one imported here."""
    from stabench.harness import registry

    return getattr(registry.attribute(f"{LISTENERS}:Listener"), name)


def test_changed_missing_and_broken_outputs_count_as_failed(tmp_path):
    folder = FakeRun(tmp_path, n=14).make()
    changed, missing, cut, fast = (folder.audio_path("star", f"clip00{i}") for i in (1, 2, 3, 4))
    write_wav(changed, np.ones(8000, np.float32) * 0.1)
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:5000])
    write_wav(fast, soundfile.read(fast, dtype="float32")[0], 22_050)
    star = score(folder)["systems"]["star"]
    assert (star["n"], star["failed"]) == (10, 4)
    assert "sha256 differs" in star["failures"]["clip001"]
    assert "no such file" in star["failures"]["clip002"]
    assert "truncated" in star["failures"]["clip003"]
    assert "22050 Hz, the run returned 16000 Hz" in star["failures"]["clip004"]


def test_a_network_that_gives_nan_fails_the_clip_not_the_run(tmp_path):
    folder = FakeRun(tmp_path, n=12, metrics={"fad": f"{LISTENERS}:Broken"}).make()
    loud = np.full(8000, 0.95, np.float32)
    loud[::2] *= -1
    write_wav(folder.clips[0].reference, loud)
    metrics = score(folder)
    assert metrics["references"]["n"] == 11
    assert "gives NaN" in next(iter(metrics["references"]["failures"].values()))
    cells = metrics["systems"]["star"]["cells"]
    assert [cells[column]["n"] for column in ("fad", "kl", "clap")] == [12, 11, 12]


def test_nothing_is_heard_of_a_system_on_random_weights(tmp_path):
    use = {"use": "recorded", "options": {"tta": {"weights": "random"}}}
    folder = FakeRun(tmp_path, n=4, use=use).make()
    folder.audio_path("star", "clip001").unlink()
    star = score(folder)["systems"]["star"]
    assert {cell["reason"] for name, cell in star["cells"].items() if name != "wer"} == {
        "random weights: latency only"
    }
    assert (star["n"], star["failed"], star["per_clip"]) == (4, 0, {})


def test_without_references_and_captions_the_columns_say_why(tmp_path):
    run = FakeRun(tmp_path, n=72, references=False, captions=False, metrics={"sanity": SANITY})
    metrics = score(run.make())
    cells = metrics["systems"]["star"]["cells"]
    assert {cells[column]["reason"] for column in ("fad", "fd", "kl")} == {
        "no reference recordings"
    }
    assert cells["clap"]["reason"] == "no captions"
    assert cells["is"]["value"] > 1
    assert metrics["sanity"] == {}
    assert "wer" in cells


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_clips_give_reasons_not_crashes(tmp_path, n):
    metrics = score(FakeRun(tmp_path, n=n, metrics={"sanity": SANITY}).make())
    cells = metrics["systems"]["star"]["cells"]
    assert cells["is"]["reason"] == f"needs at least 72 clips, has {n}"
    assert (cells["kl"]["value"] is None) == (n == 1)
    assert n > 1 or cells["fad"]["reason"] == "needs at least 2 clips, has 1"


def test_a_run_of_represent_only_has_transcripts_but_no_quality(tmp_path):
    folder = FakeRun(tmp_path, n=12).make()
    rows = [json.loads(line) for line in folder.journal_path.read_text().splitlines()]
    heard = {"audio_sha256": None, "phase_ns": {"represent": 5}, "spans": []}
    silent = [{**row, **heard} for row in rows]
    folder.journal_path.write_text("".join(json.dumps(row) + "\n" for row in silent))
    part = score(folder)["systems"]["cascade"]
    assert (part["n"], part["failed"]) == (12, 0)
    assert part["cells"]["kl"]["value"] is None
    assert part["cells"]["wer"]["value"] > 0


def test_missing_weights_and_unknown_labels_end_in_one_line(tmp_path):
    folder = FakeRun(tmp_path, n=12, metrics={"fad": f"{LISTENERS}:Absent"}).make()
    with pytest.raises(MissingError, match=r"Absent.*model.safetensors is missing"):
        score_run(folder.path)
    text = (folder.path / "run.json").read_text().replace('"middle"', '"mitten"')
    (folder.path / "run.json").write_text(text.replace("Absent", "Frames"))
    with pytest.raises(StabenchError, match="unknown label 'mitten'"):
        score_run(folder.path)


def test_damaged_features_are_refused(tmp_path, monkeypatch):
    folder = FakeRun(tmp_path, n=12).make()
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    score_run(folder.path)
    next((tmp_path / "cache/features").glob("*.sqlite")).write_bytes(b"SQLite format 2" * 99)
    with pytest.raises(StabenchError, match=r"cannot be read.*remove the file"):
        score_run(folder.path)


def test_a_cache_that_cannot_be_written_ends_in_one_line(tmp_path, monkeypatch):
    folder = FakeRun(tmp_path, n=4).make()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StabenchError, match="set STABENCH_CACHE to a folder with room"):
        score_run(folder.path)


def test_provenance_names_network_rate_resampler_channel_seed_and_versions(scored):
    _, metrics = scored
    fad = metrics["columns"]["fad"]
    assert fad["embedder"] == "fad"
    assert metrics["provenance"]["embedders"]["fad"] == {
        "name": f"{LISTENERS}:Frames",
        "origin": "made for a test",
        "licence": "Apache-2.0",
        "sha256": "ab" * 32,
        "identity": "Frames " + "ab" * 32,
        "width": 3,
        "rate_hz": 16_000,
        "resampler": "sinc-hann-6-0.99",
        "channels": "mean",
        "mean_removed": True,
        "int16": False,
        "long": "windows",
        "device": "cpu",
        "precision": "float32",
    }
    assert fad["protocol"].startswith("pocket 3 (")
    assert fad["protocol"].endswith(", fad and tagger and clap replaced)")
    shared = metrics["provenance"]
    assert shared["protocol"]["kl_epsilon"] is None
    assert metrics["systems"]["cascade"]["frames"] == {"fad": 73 * 5, "tagger": 73, "clap": 73}
    assert (shared["clips"], shared["seed"], shared["bootstrap"]) == (73, 0, 100)
    assert {"numpy", "jiwer"} <= shared["versions"].keys()
    assert metrics["notes"][0] == (
        "listeners embedders: numbers comparable only with each other, not with any paper's"
    )
    assert metrics["notes"][1].startswith("not examined: the networks of fad, tagger, clap. ")
    # The noisiest system's tones are a little too loud.
    assert [note.split(":")[0] for note in metrics["notes"][2:]] == ["Whisper + tones"]


def fake_scored(*paradigms: str) -> list[Scored]:
    names = [f"{paradigm}{index}" for index, paradigm in enumerate(paradigms)]
    entrants = [Entrant(name, "", p, {}) for name, p in zip(names, paradigms, strict=True)]
    return [Scored(entrant, None, {}) for entrant in entrants]


def test_up_to_six_systems_are_all_compared_beyond_it_those_that_answer_a_question():
    few = pairs(fake_scored("cascade", "oracle", "end-to-end", "end-to-end"), TASK.minuends)
    names = [(a.entrant.name, b.entrant.name) for a, b in few]
    assert len(names) == 6
    assert ("oracle1", "cascade0") in names
    assert ("end-to-end2", "end-to-end3") in names
    paradigms = ("cascade", "cascade", "cascade", "oracle", *["end-to-end"] * 4)
    many = pairs(fake_scored(*paradigms), TASK.minuends)
    names = {(a.entrant.name, b.entrant.name) for a, b in many}
    assert ("end-to-end4", "end-to-end7") in names
    assert ("oracle3", "cascade2") in names
    assert ("cascade0", "cascade1") not in names
    assert ("end-to-end5", "end-to-end6") not in names


def test_shares_of_clips_are_kept_for_the_columns_of_whole_sets(scored):
    folder, metrics = scored
    kept = influence_file.read(folder.path)
    assert list(kept.shares) == ["cascade", "star", "oracle"]
    for name, columns in kept.shares.items():
        assert set(columns) == {"fad", "fd", "is"}
        for column, shares in columns.items():
            assert kept.values[name][column] == metrics["systems"][name]["cells"][column]["value"]
            assert sorted(shares) == sorted(clip.id for clip in folder.clips)
            assert sum(shares.values()) == pytest.approx(0, abs=1e-9)
    assert kept.shares["star"]["is"]["clip005"] == 0, "it failed, and IS has no references"
    assert kept.groups == {}
    before = (folder.path / influence_file.NAME).read_bytes()
    score(folder)
    assert (folder.path / influence_file.NAME).read_bytes() == before
