"""The worker in this process: its rows, its checks of outputs, and what it leaves on the disk."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runner.adapter import LoadFailed, Order
from stabench.harness.runner.worker import Job, Worker
from stabench.harness.runs.journal import Row

TOYS = Path(__file__).parents[1] / "toys.py"


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    """An order for a toy: `order(fault="nan")`."""

    def make(kind: str = "Toy", phase: str = "all", device: str = "cpu", **options: Any) -> Order:
        audio = tmp_path / "audio"
        audio.mkdir(exist_ok=True)
        return Order("toy", f"{TOYS}:{kind}", options, device, "float32", 1, str(audio), phase)

    return make


@pytest.fixture
def jobs(speech: Path) -> Callable[..., list[Job]]:
    """Jobs for the first clips: `jobs(3, repeat=1)`."""

    def make(count: int = 1, repeat: int = 0, warmup: bool = False, first: int = 0) -> list[Job]:
        return [
            Job(f"clip{i}", repeat, warmup, 40 + i, str(speech / f"clip{i}.wav"), f"caption {i}")
            for i in range(first, first + count)
        ]

    return make


def _only(rows: list[Row]) -> Row:
    [row] = rows
    return row


def test_a_row_tells_everything(order: Any, jobs: Any, tmp_path: Path) -> None:
    row = _only(Worker(order()).run(jobs()))
    assert (row.status, row.error, row.seed, row.batch) == ("ok", None, 40, 1)
    assert (row.text, row.tokens) == ("clip0 said", 3)
    assert (row.samples, row.rate_hz, row.speech_s) == (1_600, 16_000, 0.1)
    assert [(span.phase, span.name) for span in row.spans] == [
        ("represent", "listen"),
        ("generate", "speak"),
    ]
    assert min(row.remainder_ns("represent"), row.remainder_ns("generate")) >= 0
    assert row.peak_memory_bytes > 1_000_000


def test_the_hash_is_of_the_samples_and_the_file_holds_them(
    order: Any, jobs: Any, tmp_path: Path
) -> None:
    row = _only(Worker(order()).run(jobs()))
    samples, rate_hz = soundfile.read(tmp_path / "audio/clip0.wav", dtype="float32")
    assert rate_hz == row.rate_hz
    assert hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest() == row.audio_sha256
    loudness = np.abs(soundfile.read(tmp_path / "speech/clip0.wav")[0]).mean()
    noise = 0.1 * np.random.default_rng(40).standard_normal(1_600)
    np.testing.assert_allclose(samples, noise + loudness, atol=1e-6)


def test_only_the_first_measured_repeat_is_written(order: Any, jobs: Any, tmp_path: Path) -> None:
    worker = Worker(order())
    rows = worker.run(jobs(repeat=1)) + worker.run(jobs(warmup=True))
    assert all(row.ok and row.audio_sha256 for row in rows)
    assert list((tmp_path / "audio").iterdir()) == []


def test_a_batch_gives_the_audio_of_single_calls(order: Any, jobs: Any) -> None:
    single = [_only(Worker(order()).run([job])) for job in jobs(4)]
    batch = Worker(order()).run(jobs(4))
    assert [row.audio_sha256 for row in batch] == [row.audio_sha256 for row in single]
    assert {row.batch for row in batch} == {4}
    assert len({row.phase_ns["generate"] for row in batch}) == 1
    assert len({row.phase_ns["represent"] for row in batch}) > 1


def test_represent_alone_makes_no_audio(order: Any, jobs: Any, tmp_path: Path) -> None:
    row = _only(Worker(order(phase="represent")).run(jobs()))
    assert (row.status, list(row.phase_ns)) == ("ok", ["represent"])
    assert (row.samples, row.audio_sha256) == (None, None)
    assert list((tmp_path / "audio").iterdir()) == []


OUTPUTS = {
    "nan": "1 of 1600 samples are NaN or infinite",
    "empty": "the output is empty",
    "2-d": "samples have shape [1, 1600], expected [T]",
    "rate": "output is 8000 Hz, expected 16000 Hz",
    "int16": "samples are numpy.ndarray int16 [1600], expected numpy.ndarray float32 [T]",
    "list": "samples are a list of 1600 float",
    "dict": "represent returned dict, expected a Representation",
}


@pytest.mark.parametrize("fault", OUTPUTS)
def test_a_bad_output_fails_its_clip(order: Any, jobs: Any, tmp_path: Path, fault: str) -> None:
    row = _only(Worker(order(fault=fault)).run(jobs()))
    assert (row.status, row.error.kind) == ("failed", "bad-output")
    assert OUTPUTS[fault] in row.error.message
    assert row.audio_sha256 is None
    assert list((tmp_path / "audio").iterdir()) == []


@pytest.mark.parametrize("fault", ["raise", "leave"])
@pytest.mark.parametrize("phase", ["represent", "generate"])
def test_a_system_that_raises_fails_that_clip_only(
    order: Any, jobs: Any, fault: str, phase: str
) -> None:
    worker = Worker(order(fault=fault, where=phase, clips=["clip1"]))
    rows = [_only(worker.run([job])) for job in jobs(3)]
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    line = {"raise": "RuntimeError: out of idea for this clip", "leave": "SystemExit: 3"}[fault]
    assert rows[1].error == ("raised", line)


def test_in_a_batch_a_clip_that_cannot_be_represented_leaves_the_others(
    order: Any, jobs: Any
) -> None:
    rows = Worker(order(fault="raise", where="represent", clips=["clip1"])).run(jobs(3))
    assert [(row.status, row.batch) for row in rows] == [("ok", 2), ("failed", 1), ("ok", 2)]


def test_bad_speech_fails_its_clip(order: Any, jobs: Any, speech: Path) -> None:
    (speech / "clip1.wav").write_bytes(b"")
    (speech / "clip2.wav").unlink()
    rows = Worker(order()).run([*jobs(3), Job("none", 0, False, 1, None, None)])
    assert [row.status for row in rows] == ["ok", "failed", "failed", "failed"]
    assert [row.error.kind for row in rows[1:]] == ["bad-speech"] * 3
    assert "empty" in rows[1].error.message
    assert "no such file" in rows[2].error.message
    assert "no speech file" in rows[3].error.message


def test_captions_are_for_systems_that_declare_it(order: Any, jobs: Any) -> None:
    assert _only(Worker(order("Reader")).run(jobs())).text == "caption 0"
    without = jobs()[0]._replace(caption=None)
    row = _only(Worker(order("Reader")).run([without]))
    assert row.error.kind == "no-caption"


def test_a_system_that_runs_elsewhere_has_no_memory_and_no_versions(order: Any, jobs: Any) -> None:
    worker = Worker(order("Whole"))
    about = worker.about()
    assert (about["python"], about["packages"]) == (None, {})
    assert _only(worker.run(jobs())).peak_memory_bytes is None


def test_a_phase_that_cannot_be_told_apart_has_no_time(order: Any, jobs: Any) -> None:
    row = _only(Worker(order("Whole")).run(jobs()))
    assert (row.status, [*row.phase_ns]) == ("ok", ["represent+generate"])
    assert [span.phase for span in row.spans] == ["represent+generate"]
    assert row.remainder_ns("represent+generate") >= 0
    with pytest.raises(StabenchError, match="does everything at once: there is no 'represent'"):
        Worker(order("Whole", phase="represent"))


def test_a_system_may_say_that_it_can_run_no_more(order: Any) -> None:
    assert Worker(order("Whole")).usable()
    assert not Worker(order("Whole", fault="broken")).usable()


def test_what_the_worker_tells_about_a_system(order: Any) -> None:
    about = Worker(order()).about()
    assert about["provenance"] == {"sha256": "0" * 64}
    assert (about["sample_rate_hz"], about["speech_rate_hz"]) == (16_000, 16_000)
    assert about["packages"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("kind", "options", "error", "line"),
    [
        ("Toi", {}, StabenchError, "unknown attribute 'Toi'; did you mean 'Toy'"),
        ("Toy", {"fualt": "x"}, StabenchError, "unknown option 'fualt'; did you mean 'fault'"),
        ("Partial", {}, StabenchError, "no method 'generate'"),
        ("Toy", {"fault": "missing", "where": "load"}, MissingError, "'toy.safetensors'"),
        ("Toy", {"fault": "raise", "where": "load"}, LoadFailed, "RuntimeError: out of idea"),
        ("Toy", {"fault": "leave", "where": "load"}, LoadFailed, "SystemExit: 3"),
    ],
)
def test_a_system_that_cannot_be_loaded(
    order: Any, kind: str, options: dict[str, str], error: type[Exception], line: str
) -> None:
    with pytest.raises(error) as caught:
        Worker(order(kind, **options))
    assert line in str(caught.value)
    assert str(caught.value).startswith("system 'toy' (")
    assert "\n" not in str(caught.value)


def test_an_output_that_cannot_be_written_is_not_the_systems_fault(
    order: Any, jobs: Any, tmp_path: Path
) -> None:
    worker = Worker(order())
    (tmp_path / "audio").rmdir()
    with pytest.raises(OSError, match="No such file"):
        worker.run(jobs())


def test_a_device_that_is_broken_for_good_is_noticed(
    order: Any, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(order())
    assert worker.usable()
    monkeypatch.setattr(worker._device, "synchronize", _illegal_access, raising=False)
    assert not worker.usable()
    assert _only(worker.run(jobs())).error.kind == "raised"


def _illegal_access() -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")
