"""The promise of a comparison, by simulation: few false alarms, and real changes found."""

from functools import partial

import numpy as np
import pytest

from stabench.harness.compare import paired_latency
from stabench.harness.compare.compare import compare
from stabench.harness.compare.evidence import SystemEvidence
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.verdict import Options
from stabench.metrics.frechet import fit, frechet_two_sample
from tests.harness import worlds
from tests.harness.worlds import evidence, mean, system, times, whole

N, WIDTH = 144, 6
QUICK = Options(sampling=Sampling(resamples=100, draws=999))


class World:
    """Clips with recordings; each run draws outputs of a quality, and every metric hears them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.recordings = self.rng.normal(size=(N, WIDTH)) * np.arange(1, WIDTH + 1)
        self.reference = fit("reference", self.recordings)
        self.hardness = self.rng.gamma(2, 1, N)

    def run(self, latency: dict[str, np.ndarray], worse: float = 0.0) -> SystemEvidence:
        """FD, and means that go with it: skewed, bounded, and of a few steps."""
        outputs = self.recordings + self.rng.normal(size=(N, WIDTH)) * 0.7 + worse
        distance = frechet_two_sample(fit("generated", outputs), self.reference)
        error = np.mean((outputs - self.recordings) ** 2, axis=1)
        kl = self.hardness * error * self.rng.lognormal(0, 0.3, N)
        clap = np.tanh(1 - 0.4 * error + self.rng.normal(0, 0.1, N))
        recall = np.clip(np.round(2 - error + self.rng.normal(0, 0.5, N)), 0, 2) / 2
        columns = {
            "fd": whole(distance.value, (distance.gen + distance.ref) / N),
            "kl": mean(kl),
            "clap": mean(clap, "higher"),
            "recall": mean(recall, "higher"),
        }
        samples = {phase: times(logs) for phase, logs in latency.items()}
        stages = {"generate/sampler": times(latency["generate"] - 0.5)}
        return system(n=N, columns=columns, samples_ns=samples, stages_ns=stages)


@pytest.mark.slow
def test_unchanged_systems_are_rarely_called_regressed_or_improved() -> None:
    """1,000 comparisons of two runs of one system: new outputs, new times, bursts and all.

    The row is FD through the shares of clips, three means, two latencies, and a stage. An alarm is
    any line called, of which about half are called regressed.
    """
    world, called, regressed = World(0), 0, 0
    noise = worlds.separate(world.rng, 4000, N).reshape(1000, 4, N)
    for index, logs in enumerate(noise):
        world = World(index) if index % 50 == 0 else world
        pair = [
            evidence(world.run({"represent": logs[i], "generate": logs[i + 1]})) for i in (0, 2)
        ]
        words = compare(*pair, QUICK).words
        called += bool(words & {"regressed", "improved"})
        regressed += "regressed" in words
    assert regressed / 1000 <= 0.05
    assert called / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert called > 2, "a test that never calls anything is no test"


@pytest.mark.slow
def test_where_only_times_are_tested_false_alarms_are_few_too() -> None:
    """The same audio twice, so that two phases share the 5 %: one run after the other, bursts."""
    rng, regressed = np.random.default_rng(8), 0
    for logs in worlds.separate(rng, 4 * 500, N).reshape(500, 4, N):
        pair = [
            evidence(system(n=N, samples_ns={"represent": times(a), "generate": times(b)}))
            for a, b in (logs[:2], logs[2:])
        ]
        regressed += "regressed" in compare(*pair, QUICK).words
    assert 0 < regressed / 500 <= 0.05


def _count_detected(share: float, runs: int, apart: bool, rng: np.random.Generator) -> float:
    """How often a slowdown of the generation by a share is called regressed."""
    world = World(1)
    if apart:
        old, new = worlds.separate(rng, runs, N), worlds.separate(rng, runs, N)
    else:
        old, new = worlds.interleaved(rng, runs, N)
    steady = {"represent": np.zeros(N)}
    detected = 0
    for before, now in zip(old, new + np.log1p(share), strict=True):
        pair = [evidence(world.run({**steady, "generate": logs})) for logs in (before, now)]
        words = {line.key: line.verdict for line in compare(*pair, QUICK).systems[0].lines}
        detected += words["generation"] == words["generate/sampler"] == "regressed"
    return detected / runs


def test_ten_percent_slower_is_found_where_old_and_new_take_turns() -> None:
    """n = 144, the pocket's noise, one run that takes each clip by both: phase and stage named."""
    assert _count_detected(0.10, 60, apart=False, rng=np.random.default_rng(2)) >= 0.9


def test_runs_one_after_the_other_on_a_busy_machine_show_twenty_percent() -> None:
    """Bursts hit the runs apart: 10 % is found two times in three (0.67 of 200), 20 % always."""
    rng = np.random.default_rng(3)
    assert _count_detected(0.10, 60, apart=True, rng=rng) >= 0.35
    assert _count_detected(0.20, 60, apart=True, rng=rng) >= 0.9


def test_a_quality_regression_is_found_and_named() -> None:
    world = World(5)
    steady = {"represent": np.zeros(N), "generate": np.zeros(N)}
    lines = compare(
        evidence(world.run(steady)), evidence(world.run(steady, worse=1.0)), QUICK
    ).systems[0]
    assert {line.key for line in lines.having("regressed")} == {"fd", "kl", "clap", "recall"}
    assert lines.pareto == "dominated"


@pytest.mark.parametrize("kind", ["independent", "interleaved", "separate"])
def test_the_interval_of_a_ratio_covers_it(kind: str) -> None:
    """95 % of intervals hold the true 10 %."""
    rng, runs = np.random.default_rng(6), 300
    if kind == "interleaved":
        old, new = worlds.interleaved(rng, runs, N)
    else:
        draw = partial(rng.normal, 0, 0.2, (runs, N))
        old, new = (
            draw() if kind == "independent" else worlds.separate(rng, runs, N) for _ in "ab"
        )
    inside = 0
    for before, now in zip(old, new + np.log(1.1), strict=True):
        change = paired_latency.measure_change(
            times(before), times(now), Sampling(resamples=300, draws=99)
        )
        inside += change.low <= 1.1 <= change.high
    least = 0.92 if kind != "separate" else 0.90
    assert least <= inside / runs <= 0.98
