"""What the engine itself costs: the bar is 1 ms a clip and phase, disk flushes (fsync) left out.

`make benchmark` prints the figures. A phase has two stages here, as systems have.
"""

import json
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from stabench.harness import files
from stabench.harness.device import Cpu
from stabench.harness.runner.adapter import Order
from stabench.harness.runner.clock import Clock
from stabench.harness.runner.worker import Job, Worker
from stabench.harness.runner.worker_process import WorkerProcess
from stabench.harness.runs import journal
from stabench.harness.runs.journal import Journal, Row
from stabench.metrics.audio import encode

TOYS = Path(__file__).parents[1] / "harness" / "toys.py"
OUTPUT_SAMPLES = 64_000
SPEECH_SAMPLES = 48_000


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Three seconds of speech at the system's rate."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, SPEECH_SAMPLES).astype(np.float32)
    path = tmp_path / "speech.wav"
    path.write_bytes(encode(samples, 16_000))
    return Job("clip", 0, False, 1, str(path), "a caption")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Four seconds of sound at 16 kHz from a toy."""
    options = {"samples": OUTPUT_SAMPLES}
    return Order("toy", f"{TOYS}:Toy", options, "cpu", "float32", 1, str(tmp_path), "all")


def test_clock_of_one_phase_with_two_stages(benchmark: BenchmarkFixture) -> None:
    clock = Clock(Cpu())

    def phase() -> None:
        clock.reset()
        with clock.phase("represent"):
            with clock("encode"):
                pass
            with clock("bridge"):
                pass

    benchmark(phase)
    benchmark.extra_info["bar_ms"] = 1


@pytest.mark.parametrize("phase", ["represent", "all"])
def test_worker_in_process_without_flushes(
    benchmark: BenchmarkFixture,
    order: Order,
    job: Job,
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading speech, clock, checks, hash and writing: all that is not the system's own time."""
    monkeypatch.setattr(files.os, "fsync", lambda _: None)
    worker = Worker(order._replace(phase=phase))
    overheads_ms = []
    names = (f"clip{number}" for number in count())  # replacing a file would flush it on ext4

    def run() -> None:
        own = job._replace(clip=next(names))
        start_ns = time.perf_counter_ns()
        [row] = worker.run([own])
        wall_ns = time.perf_counter_ns() - start_ns
        system_ns = sum(row.phase_ns.values())
        overheads_ms.append((wall_ns - system_ns) / 1e6)

    benchmark(run)
    _report(benchmark, overheads_ms, phases=2 if phase == "all" else 1)


def test_pipe_of_a_worker_process(benchmark: BenchmarkFixture, order: Order, job: Job) -> None:
    """There and back again with one row, the system and its output left out."""
    process = WorkerProcess(None, 1, Path(order.audio) / "log")
    process.begin(order)
    process.ready(60)
    broken = job._replace(speech=None)
    benchmark(lambda: process.run([broken], 60))
    process.close()


def test_journal_line_without_flush(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row
) -> None:
    monkeypatch.setattr(journal.os, "fsync", lambda _: None)
    book = Journal(tmp_path / "journal.jsonl")
    benchmark(lambda: book.append([row]))
    book.close()


def test_flush_of_a_journal_line(benchmark: BenchmarkFixture, tmp_path: Path, row: Row) -> None:
    """What a row costs on this disk; it is outside every timed phase."""
    book = Journal(tmp_path / "journal.jsonl")
    benchmark(lambda: book.append([row]))
    book.close()


def test_flush_of_an_output(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """What four seconds of float32 cost on this disk; outside every timed phase."""
    data = encode(np.zeros(OUTPUT_SAMPLES, np.float32), 16_000)
    paths = (tmp_path / f"clip{number}.wav" for number in count())
    benchmark(lambda: files.write_bytes(next(paths), data))


@pytest.mark.parametrize("spin_ms", [20.0, 100.0])
def test_share_of_a_phase_that_no_stage_claims(
    benchmark: BenchmarkFixture, order: Order, job: Job, spin_ms: float
) -> None:
    """The bar is 1 % for phases of 20 ms and more; the median says what the clock itself leaves."""
    options = {**order.options, "spin_ms": spin_ms}
    worker = Worker(order._replace(options=options))
    shares = []

    def run() -> None:
        [row] = worker.run([job])
        shares.append(row.remainder_ns("represent") / row.phase_ns["represent"])

    benchmark.pedantic(run, rounds=20)
    benchmark.extra_info["unclaimed_percent_median"] = round(100 * float(np.median(shares)), 4)


def test_reading_a_journal_of_a_thousand_rows(
    benchmark: BenchmarkFixture, tmp_path: Path, row: Row
) -> None:
    path = tmp_path / "journal.jsonl"
    line = json.dumps(journal.to_json(row))
    path.write_text("".join(line.replace("CLIP", f"c{number}") + "\n" for number in range(1000)))
    assert len(benchmark(lambda: journal.read(path))) == 1000


@pytest.fixture
def row(order: Order, job: Job) -> Row:
    [made] = Worker(order).run([job._replace(clip="CLIP")])
    return made


def _report(benchmark: BenchmarkFixture, overheads_ms: list[float], phases: int) -> None:
    benchmark.extra_info["overhead_ms_a_phase_median"] = float(np.median(overheads_ms)) / phases
    benchmark.extra_info["bar_ms"] = 1
