"""The promise of an interval, by simulation: 95 of 100 hold the true value, also of few clips.

The scores are as real ones are: skewed, of a few steps, near a bound; distances are of features
from six clusters with heavy tails (Student's t, 4 degrees of freedom), outputs that are nearer to
their recordings in some clips than in others. Run as a module to print the table of the docstring
in stats/bootstrap.py.
"""

from collections.abc import Callable

import numpy as np
import pytest

from stabench.harness.stats.bootstrap import Draws, Statistic, bound, difference, interval, mean
from stabench.harness.stats.estimate import Estimate
from stabench.metrics.frechet import fit_clips, frechet_two_sample
from stabench.metrics.inception import inception_statistic
from stabench.metrics.kad import kernel_audio_distance
from stabench.metrics.kid import kid
from stabench.metrics.kl import kl_divergence
from stabench.metrics.registry import METRICS
from stabench.metrics.sets import TwoSample

SIZES = (12, 24, 36, 72, 144)
WIDTH, CLASSES, FRAMES = 8, 20, 4
SCALES = np.array([3, 2, 1.5, 1, 0.7, 0.5, 0.4, 0.3])

Draw = Callable[[np.random.Generator, int], np.ndarray]


def draw_logits(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of recordings, and of outputs that are the same sound in three clips of four."""
    ref = rng.normal(size=(n, CLASSES))
    ref[np.arange(n), rng.integers(CLASSES, size=n)] += rng.uniform(3, 8, n)
    gen = ref + 0.6 * rng.normal(size=(n, CLASSES)) * np.sqrt(rng.gamma(1, 1, n))[:, None]
    missed = np.flatnonzero(rng.random(n) < 0.25)
    gen[missed] = rng.normal(size=(len(missed), CLASSES))
    gen[missed, rng.integers(CLASSES, size=len(missed))] += 5
    return gen, ref


def draw_kl(rng: np.random.Generator, n: int) -> np.ndarray:
    return kl_divergence(*draw_logits(rng, n))


def draw_clap(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.tanh(1 - 0.4 * rng.gamma(1, 1, n) + rng.normal(0, 0.1, n))


def draw_steps(values: tuple[float, ...], shares: tuple[float, ...]) -> Draw:
    return lambda rng, n: rng.choice(values, p=shares, size=n)


MEANS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "gamma": lambda rng, n: rng.gamma(1, 1, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    "kl": draw_kl,
    "clap": draw_clap,
    "recall": draw_steps((0, 0.5, 1), (0.1, 0.2, 0.7)),
    "order": draw_steps((0, 1), (0.25, 0.75)),
    "order 0.9": draw_steps((0, 1), (0.1, 0.9)),
}
SHARES = ("recall", "order", "order 0.9")
"""Between 0 and 1."""


def draw_sounds(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [n, FRAMES, WIDTH] of outputs and of their recordings."""
    centres = 1.5 * np.random.default_rng(0).normal(size=(6, WIDTH))
    # At most 2.5 times as far out as a Gaussian's: what a network makes of a sound has an end.
    heavy = np.maximum(np.sqrt(rng.chisquare(4, size=n) / 4), 0.4)[:, None]
    ref = centres[rng.integers(6, size=n)] + rng.normal(size=(n, WIDTH)) / heavy
    gen = ref + rng.normal(size=(n, WIDTH)) * np.sqrt(rng.gamma(1, 1, n))[:, None]
    gen, ref = (rows[:, None] + 0.5 * rng.normal(size=(n, FRAMES, WIDTH)) for rows in (gen, ref))
    return gen * SCALES, ref * SCALES


def measure_frechet(gen: np.ndarray, ref: np.ndarray) -> TwoSample:
    return frechet_two_sample(fit_clips("generated", list(gen)), fit_clips("recorded", list(ref)))


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], TwoSample]] = {
    "fad": measure_frechet,
    # One row a clip.
    "fd": lambda gen, ref: measure_frechet(gen.mean(axis=1, keepdims=True), ref[:, :1]),
    "kad": lambda gen, ref: kernel_audio_distance(gen[:, 0], ref[:, 0]),
    "kid": lambda gen, ref: kid(gen[:, 0], ref[:, 0]),
}


def measure_worlds(kind: str, n: int, worlds: int, seed: int = 0) -> list[Statistic]:
    rng, each = np.random.default_rng(seed), np.arange(n)
    if kind in MEANS:
        return [mean(MEANS[kind](rng, n), each, n) for _ in range(worlds)]
    if kind == "is":
        samples = [inception_statistic(draw_logits(rng, n)[1]) for _ in range(worlds)]
        return [Statistic(sample.value, sample.gen / n, n) for sample in samples]
    if kind == "kl difference":
        pairs = [(draw_logits(rng, n), draw_logits(rng, n)[0]) for _ in range(worlds)]
        return [
            difference(*(mean(kl_divergence(gen, ref), each, n) for gen in (a, b)))
            for (a, ref), b in pairs
        ]
    samples = [DISTANCES[kind](*draw_sounds(rng, n)) for _ in range(worlds)]
    return [Statistic(sample.value, (sample.gen + sample.ref) / n, n) for sample in samples]


def measure_coverage(kind: str, n: int, worlds: int = 400) -> float:
    """The share of intervals that hold the mean value of all worlds."""
    statistics = measure_worlds(kind, n, worlds)
    draws = Draws.of(n)

    def make(statistic: Statistic) -> Estimate:
        limits = (0.0, 1.0) if kind in SHARES else (None, None)
        return bound(interval(statistic, draws), n, *limits)

    truth = np.mean([s.value for s in (*statistics, *measure_truth(kind, n))])
    estimates = [make(statistic) for statistic in statistics]
    return float(np.mean([e.low <= truth <= e.high for e in estimates]))


def measure_truth(kind: str, n: int) -> list[Statistic]:
    """More worlds, which cost little where nothing is decomposed."""
    return measure_worlds(kind, n, 4000, seed=1) if kind in MEANS else []


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", [*MEANS, "kl difference", "fad", "fd"])
def test_intervals_hold_what_they_promise(kind, n):
    """0.92 to 0.98, give or take what so many worlds leave open; steps may hold more."""
    worlds = 1000 if kind in MEANS else 400
    # With a skewness of 6 they hold a little less, as stats/bootstrap.py says.
    least = 0.90 if kind == "lognormal" and n < 144 else 0.92
    coverage = measure_coverage(kind, n, worlds)
    error = 1.5 * (0.95 * 0.05 / worlds) ** 0.5
    assert coverage >= least - error
    assert coverage <= (1.0 if kind in SHARES else 0.98 + error)


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
def test_the_interval_of_kad_holds_at_least_that(n):
    """Where outputs are near the recordings its influence is of second order: too wide."""
    assert measure_coverage("kad", n) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["is", "kid"])
def test_what_needs_more_clips_holds_from_its_least_number_on(kind):
    """And does not below, which is why it is refused there."""
    least = METRICS[kind].least
    for n in (least, 2 * least):
        assert 0.91 <= measure_coverage(kind, n) <= 0.985, n
    assert measure_coverage(kind, least // 3) < 0.92


@pytest.mark.parametrize("kind", ["kl", "fad", "order 0.9"])
def test_few_skewed_clips_are_covered(kind):
    """What the slow tests hold in full: plain percentiles cover 0.90, 0.90 and 0.70."""
    assert measure_coverage(kind, 12, worlds=200) >= 0.90


def main() -> None:
    print(f"{'clips':15}", *(f"{n:>5}" for n in SIZES))
    for kind in (*MEANS, "kl difference", *DISTANCES, "is"):
        # IS has ten splits, of at least two rows.
        sizes = [n for n in SIZES if kind != "is" or n >= 24]
        cells = [f"{100 * measure_coverage(kind, n, 1000):5.1f}" for n in sizes]
        print(f"{kind:15}", *["     "] * (len(SIZES) - len(cells)), *cells, flush=True)


if __name__ == "__main__":
    main()
