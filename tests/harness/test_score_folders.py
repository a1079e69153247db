"""Folders of WAVs as other tools leave them: any rate, any length, some of them broken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from harness.errors import MissingError, StabenchError
from harness.report import report
from harness.scoring import score_folders
from harness.table import table
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
        "embedders": EMBEDDERS,
        "bootstrap": 60,
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
    assert metrics["systems"]["a"]["cells"]["fad"]["n"] == 11


def test_extra_files_and_missing_captions_are_noted(folders):
    sounds(folders / "a", ["Y_99"])
    text = (folders / "captions.csv").read_text().splitlines()
    (folders / "captions.csv").write_text("\n".join(text[:-2]) + "\n")
    metrics = score(folders, captions=folders / "captions.csv", sanity=())
    assert "a: 1 file without a reference left out (first: Y_99)" in metrics["notes"]
    assert "2 clips without a caption (first: Y_10)" in metrics["notes"]
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


def test_the_first_channel_counts_unless_the_mean_is_asked_for(folders):
    for file in (folders / "a").glob("*.wav"):
        samples, rate_hz = soundfile.read(file)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, len(samples))
        soundfile.write(file, np.stack([samples, noise], axis=1), rate_hz)
    first = score(folders, sanity=())
    mean = score(folders, sanity=(), channels="mean")
    kl = [metrics["systems"]["a"]["cells"]["kl"]["value"] for metrics in (first, mean)]
    assert kl[0] != pytest.approx(kl[1])
    assert mean["columns"]["kl"]["embedder"]["channels"] == "mean"


def test_the_report_of_folders_shows_scores_without_times(folders, capsys):
    score(folders, captions=folders / "captions.csv")
    report(folders / "out")
    shown = " ".join(capsys.readouterr().out.split())
    assert "numbers comparable only with each other, not with any paper's" in shown
    assert "Processing, Generation of a, b: scored from files, not timed" in shown
    assert "a \N{MINUS SIGN} b" in shown
    rows = {row.system: row for row in table(folders / "out")}
    assert rows["a"].paradigm == "unstated"
    assert rows["a"].cells["processing"].value is None
    assert rows["noise"].paradigm == "sanity"
