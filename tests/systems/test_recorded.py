"""The recorded system: it returns what lies in its folder, and says what does not."""

import hashlib
import os
import unicodedata
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


def test_one_odd_file_costs_its_own_clip(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A companion of macOS, a pipe, a folder, a name in other bytes: all before the first WAV."""
    (folder / "._a.wav").write_bytes(b"\0\5\x16\7")
    os.mkfifo(folder / "0.wav")
    (folder / "1.wav").mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xe9.wav")).touch()
    (folder / "b.wav").rename(folder / "B.WAV")
    (folder / f"{unicodedata.normalize('NFD', 'é')}.wav").write_bytes(
        (folder / "a.wav").read_bytes()
    )
    system = Recorded(str(folder))
    system.load("cpu", "float32")
    assert system.sample_rate == 24_000
    assert "skipped, of macOS and without sound: 1 (first ._a.wav)" in capsys.readouterr().err
    assert [len(sound.samples) for sound in _play(system, "a", "B", "é")] == [300, 200, 300]
    assert system.provenance()["files"] == 6
    for clip, line in {
        "0": "it is a pipe, not a file",
        "1": "it is a folder, not a file",
        "A": "no recording in .*; 'a' is there: it differs in upper and lower case",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=line):
            _play(system, clip)


def test_a_recording_is_held_to_the_limits_of_all_sounds(folder: Path) -> None:
    content = bytearray((folder / "b.wav").read_bytes())
    content[24:28] = (16).to_bytes(4, "little")
    (folder / "b.wav").write_bytes(content)
    system = Recorded(str(folder))
    system.load("cpu", "float32")
    with pytest.raises(ValueError, match="its header says 16 Hz, allowed are 1000 to 384000 Hz"):
        _play(system, "b")
    (folder / "a.wav").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"that can be read; the first: .*a\.wav"):
        Recorded(str(folder)).load("cpu", "float32")
