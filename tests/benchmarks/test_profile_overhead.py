"""What counting costs the timed clips, which should be nothing: the bar is 1 %.

`make benchmark` prints the figures. The three ways to time a clip take turns, each first as often
as the others, so that drift of the machine hits all alike, and in processor time of the one thread
that works, which a busy machine does not lengthen as it does wall time.
"""

import time
from collections import deque
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from stabench.harness.device import Cpu
from stabench.harness.runner.adapter import Order
from stabench.harness.runner.clock import Clock
from stabench.harness.runner.worker import Job, Worker
from stabench.metrics.audio import encode
from stabench.systems.contract import Utterance

TOY = f"{Path(__file__).parents[1] / 'harness' / 'profiling' / 'torch_toy.py'}:Multiplier"
STEPS = 10_000
ROUNDS = 60
NOW = time.thread_time_ns


@pytest.fixture
def job(tmp_path: Path) -> Job:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)
    path = tmp_path / "speech.wav"
    path.write_bytes(encode(samples, 16_000))
    return Job("clip", 1, False, 1, str(path), None)


def _worker(folder: Path) -> Worker:
    order = Order("toy", TOY, {"steps": STEPS}, "cpu", "float32", 1, str(folder), "all")
    worker = Worker(order)
    worker._clock = Clock(Cpu(), NOW)
    torch.set_num_threads(1)
    return worker


def _bare_ns(worker: Worker, job: Job) -> int:
    """The clip between two looks at a clock, its stages marked by nothing."""
    utterance = Utterance("clip", worker._read_utterance(job).samples, 16_000)
    start_ns = NOW()
    representation = worker._system.represent(utterance, lambda _: nullcontext())
    worker._system.generate([representation], [1], lambda _: nullcontext())
    return NOW() - start_ns


def _timed_ns(worker: Worker, job: Job) -> int:
    [row] = worker.run([job])
    return row.phase_ns["represent"] + row.phase_ns["generate"]


def test_clips_timed_by_the_engine_bare_and_after_a_profile(
    benchmark: BenchmarkFixture, tmp_path: Path, job: Job
) -> None:
    """Of a worker that was never profiled, without any clock, and of one that was profiled."""
    fresh, profiled = _worker(tmp_path), _worker(tmp_path)
    assert profiled.profile(job).failures == ()
    ways = deque(
        {
            "engine": lambda: _timed_ns(fresh, job),
            "bare": lambda: _bare_ns(fresh, job),
            "profiled": lambda: _timed_ns(profiled, job),
        }.items()
    )
    times_ns = {name: [] for name, _ in ways}

    def turn() -> None:
        ways.rotate()
        for name, way in ways:
            times_ns[name].append(way())

    benchmark.pedantic(turn, rounds=ROUNDS)
    found = {name: np.array(times, dtype=float) for name, times in times_ns.items()}
    for one, other in (("engine", "bare"), ("profiled", "engine")):
        excess = float(np.median(found[one] / found[other])) - 1
        benchmark.extra_info[f"{one}_over_{other}_percent"] = round(100 * excess, 3)
    benchmark.extra_info["bar_percent"] = 1


def test_a_profile_in_clips(benchmark: BenchmarkFixture, tmp_path: Path, job: Job) -> None:
    """How long a profile takes on a CPU, in times of one clip."""
    worker = _worker(tmp_path)
    clip_ns = min(_timed_ns(worker, job) for _ in range(3))
    benchmark.pedantic(lambda: worker.profile(job), rounds=3)
    if benchmark.stats:
        benchmark.extra_info["clips"] = round(benchmark.stats.stats.min * 1e9 / clip_ns, 1)
