"""Sounds as they are read: the two rates of a header, what is a fault, what is noted."""

from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.prepare.progress import Steps
from stabench.harness.prepare.sounds import (
    Reading,
    Sound,
    SoundNotes,
    hear_file,
    read_samples,
)
from stabench.metrics.wav_header import AudioError

SPEECH = Reading(16_000)
RECORDING = Reading(24_000, least_rate_hz=16_000, shortest_s=0.1, longest_s=12.0)


def write(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    soundfile.write(path, samples, rate_hz, "FLOAT")
    return path


def make_noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def test_the_papers_header_makes_speech_slower_by_its_error(tmp_path: Path) -> None:
    """44,100 samples that a voice of 22,050 Hz spoke are 2 s; called 22,000 Hz they are longer."""
    path = write(tmp_path / "a.wav", make_noise(44_100), 22_050)
    true, claimed = (read_samples(path, Reading(16_000, header)) for header in (None, 22_000))
    assert len(true) == 32_000
    assert len(claimed) == 32_073  # 44,100 * 16 / 22, rounded up
    assert len(claimed) / len(true) == pytest.approx(22_050 / 22_000, abs=2e-5)


def test_a_recording_is_mixed_and_resampled_and_left_alone_otherwise(tmp_path: Path) -> None:
    stereo = make_noise(24_000, 2) * 0.01
    samples = read_samples(write(tmp_path / "a.wav", stereo, 24_000), RECORDING)
    np.testing.assert_allclose(samples, stereo.mean(axis=1), atol=1e-7)
    assert len(read_samples(write(tmp_path / "b.wav", make_noise(11_025), 44_100), RECORDING)) == (
        6_000
    )


@pytest.mark.parametrize(
    ("samples", "rate_hz", "message"),
    [
        (make_noise(800), 8_000, "its rate is 8000 Hz, least_rate_hz of the recipe is 16000"),
        (make_noise(16_000 * 13), 16_000, "lasts 13.0 s, longest_s of the recipe is 12; cut the"),
        (make_noise(1_599), 16_000, r"lasts 0.100 s, expected 0.1 s or more; get the whole clip"),
        (np.zeros(16_000), 16_000, "is silent; get another recording"),
        (make_noise(8_000) * 1e-5, 16_000, "is silent"),
    ],
)
def test_faults_are_named_with_file_and_value(
    tmp_path: Path, samples: np.ndarray, rate_hz: int, message: str
) -> None:
    path = write(tmp_path / "a.wav", samples, rate_hz)
    with pytest.raises(AudioError, match=message) as caught:
        read_samples(path, RECORDING)
    assert str(caught.value).startswith(str(path))
    assert hear_file(RECORDING, path).fault == str(caught.value)


def hear(folder: Path, paths: list[Path], calls: list[Path]) -> dict[Path, Sound]:
    """Hear files with the notes of a folder; `calls` gets those that were read."""

    def work(path: Path) -> Sound:
        calls.append(path)
        return hear_file(SPEECH, path)

    notes = SoundNotes(folder / "notes.jsonl")
    jobs = {path: path for path in paths}
    return notes.hear("speech", jobs, work, SPEECH, Steps(StringIO()))


def test_each_file_is_read_once_and_again_when_it_changed(tmp_path: Path) -> None:
    a, b = (write(tmp_path / f"{name}.wav", make_noise(800), 16_000) for name in "ab")
    calls: list[Path] = []
    first = hear(tmp_path, [a, b, a], calls)
    assert first[a] == first[b] == hear_file(SPEECH, a)
    assert hear(tmp_path, [b, a], calls) == first
    assert calls == [a, b]
    write(b, make_noise(801), 16_000)
    assert hear(tmp_path, [a, b], calls)[b].samples == 801
    assert calls == [a, b, b]
    # Another reading of the same file is another sound.
    notes = SoundNotes(tmp_path / "notes.jsonl")
    other = Reading(8_000)
    sounds = notes.hear("x", {a: a}, partial(hear_file, other), other, Steps(StringIO()))
    assert sounds[a].samples == 400


@pytest.mark.parametrize("torn", [b'{"key": "ab', b'{"key": "ab", "sha256": "x"}', b"\xff\n"])
def test_a_torn_last_line_is_no_note(tmp_path: Path, torn: bytes) -> None:
    paths = [write(tmp_path / f"{name}.wav", make_noise(800), 16_000) for name in "ab"]
    hear(tmp_path, paths[:1], [])
    with (tmp_path / "notes.jsonl").open("ab") as file:
        file.write(torn)
    calls: list[Path] = []
    hear(tmp_path, paths, calls)
    assert calls == paths[1:]
    hear(tmp_path, paths, calls)
    assert calls == paths[1:]


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    sounds = hear(tmp_path, [tmp_path / "none.wav"], [])
    assert "no such file" in str(sounds[tmp_path / "none.wav"].fault)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_with_the_time_left() -> None:
    stream = Terminal()
    steps = Steps(stream)
    steps.begin("train: speech", 4, kept=1)
    for _ in range(3):
        steps.advance()
    first, *rest = stream.getvalue().split("\r\033[K")
    assert first == "train: speech: 1 of 4\n"
    assert rest == [
        "train: speech: 2 of 4, 0 s left",
        "train: speech: 3 of 4, 0 s left",
        "train: speech: 4 of 4, took 0 s\n",
    ]
    plain = StringIO()
    steps = Steps(plain)
    steps.begin("x", 2, kept=2)
    steps.begin("y", 2)
    steps.advance()
    steps.advance()
    assert plain.getvalue().splitlines() == [
        "x: 2 of 2, nothing to do",
        "y: 0 of 2",
        "y: 2 of 2, took 0 s",
    ]
