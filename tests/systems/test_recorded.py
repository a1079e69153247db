"""The recorded system: it returns what lies in its folder, and says what does not."""

import hashlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.systems.contract import Utterance
from stabench.systems.recorded import Recorded

SPEECH = np.zeros(100, np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips at 24 kHz: a mono, b stereo."""
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", rng.uniform(-1, 1, 300), 24_000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", rng.uniform(-1, 1, (200, 2)), 24_000, subtype="FLOAT")
    return tmp_path


def _play(system: Recorded, *clips: str) -> list:
    utterances = [Utterance(clip, SPEECH, 16_000) for clip in clips]
    shown = [system.represent(utterance, nullcontext) for utterance in utterances]
    return system.generate(shown, [0] * len(clips), nullcontext)


def test_recordings_come_back_at_their_own_rate(folder: Path) -> None:
    system = Recorded(str(folder))
    system.load("cpu", "float32")
    mono, stereo = _play(system, "a", "b")
    assert system.sample_rate == mono.rate_hz == stereo.rate_hz == 24_000
    np.testing.assert_array_equal(mono.samples, soundfile.read(folder / "a.wav")[0].astype("f4"))
    both = soundfile.read(folder / "b.wav")[0]
    np.testing.assert_allclose(stereo.samples, both.mean(axis=1), atol=1e-7)
    assert (mono.samples.dtype, stereo.samples.shape) == (np.float32, (200,))


def test_a_clip_that_was_not_recorded_is_named(folder: Path) -> None:
    system = Recorded(str(folder))
    system.load("cpu", "float32")
    with pytest.raises(FileNotFoundError, match="clip 'zebra'"):
        _play(system, "zebra")


def test_a_folder_without_recordings_cannot_be_loaded(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=r"no \.wav file in"):
            Recorded(str(folder)).load("cpu", "float32")


def test_provenance_follows_names_and_bytes(folder: Path) -> None:
    system = Recorded(str(folder))
    system.load("cpu", "float32")
    parts = [name.encode() + b"\0" + (folder / name).read_bytes() for name in ("a.wav", "b.wav")]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    assert system.provenance() == {"files": 2, "sha256": digest}
