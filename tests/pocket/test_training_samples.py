"""Sounds rendered on the way of a training, scored by the pocket's judges."""

import math

import numpy as np
import pytest
import soundfile

from stabench.harness.errors import MissingError
from stabench.harness.scoring.training_samples import new_sample_scorer
from stabench.harness.suites import protocols

CLIPS = 12


@pytest.fixture
def recordings(tmp_path, pocket_clips):
    """A folder with more recordings than are rendered."""
    for clip in pocket_clips[: CLIPS + 3]:
        samples, rate_hz = soundfile.read(clip.reference, dtype="float32")
        soundfile.write(tmp_path / f"{clip.id}.wav", samples, rate_hz)
    return tmp_path


def test_sounds_nearer_to_the_recordings_score_better(
    recordings, pocket_clips, tmp_path, monkeypatch
):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    captions = {clip.id: clip.caption for clip in pocket_clips[:CLIPS]}
    score = new_sample_scorer(recordings, captions, protocols.load("pocket"))
    rng, scores = np.random.default_rng(0), {}
    for step, level in ((500, 0.3), (1000, 0.03)):
        folder = tmp_path / "samples" / f"step-{step:06d}"
        folder.mkdir(parents=True)
        for name in captions:
            samples, rate_hz = soundfile.read(recordings / f"{name}.wav", dtype="float32")
            noisy = samples + level * rng.standard_normal(len(samples))
            soundfile.write(folder / f"{name}.wav", noisy, rate_hz, subtype="FLOAT")
        scores[step] = score(folder)
    assert scores[1000]["fad"] < scores[500]["fad"]
    assert scores[1000]["clap"] > scores[500]["clap"]
    # A folder that is scored again, as after a resume, gives the same.
    assert score(folder) == scores[1000]


def test_a_column_without_a_number_is_nan_and_says_why(
    recordings, pocket_clips, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    captions = {pocket_clips[0].id: pocket_clips[0].caption}
    score = new_sample_scorer(recordings, captions, protocols.load("pocket"), ("is",))
    folder = tmp_path / "samples"
    folder.mkdir()
    name = f"{pocket_clips[0].id}.wav"
    (folder / name).write_bytes((recordings / name).read_bytes())
    assert math.isnan(score(folder)["is"])
    assert "no is (needs at least" in capsys.readouterr().out


def test_a_recording_that_is_not_there_is_missed_before_training(recordings):
    with pytest.raises(MissingError, match=r"nowhere\.wav: no such recording \(1 of 1 are missing"):
        new_sample_scorer(recordings, {"nowhere": "rain"}, protocols.load("pocket"))
