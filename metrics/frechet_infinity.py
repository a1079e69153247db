"""Frechet distance extrapolated to infinitely many generated clips (Chong and Forsyth, 2020).

The distance of few clips is too large by about c / frames. Distances of subsets of the clips are
laid along a line in 1 / frames, whose intercept is the answer; fadtk calls it FAD-inf. The
reference stays whole: what few recordings add remains.

Subsets are drawn without replacement: with it, copies would pass for clips. Simulated in 128
dimensions with 200 clips of 10 alike frames, at a true distance of 8.3, the plain distance is 3.7
too high and the intercept 0.2; sizes evenly spaced in N or in 1 / N, and fits with or without
weights, differ by less than that.
"""

from typing import NamedTuple

import numpy as np

from stabench.metrics.checks import Clips
from stabench.metrics.frechet import Gaussian, fit_clips, frechet_two_sample
from stabench.metrics.registry import Metric
from stabench.metrics.sets import NotMeasurable, Sets, TwoSample

SIZES = 15
DRAWS = 4
LEAST_FRAMES = 500
LEAST_R2 = 0.9


class FrechetInfinity(NamedTuple):
    """The line `value + slope / frames` through mean distances `values` [S] of subsets.

    `sample` holds the intercept, which may be negative, and its influences; `r2` is the share of
    the variance of `values` that the line explains. Subset s has `clips[s]` clips and `frames[s]`
    frames (the harmonic mean over its draws).
    """

    sample: TwoSample
    slope: float
    r2: float
    clips: np.ndarray
    frames: np.ndarray
    values: np.ndarray


class _Size(NamedTuple):
    """Means over the draws of one size: distance with influences, and 1 / frames."""

    sample: TwoSample
    inverse: float


def frechet_infinity(
    gen: Clips,
    ref: Gaussian | Clips,
    *,
    sizes: int = SIZES,
    draws: int = DRAWS,
    seed: int = 0,
) -> FrechetInfinity:
    """Return the Frechet distance of `gen` to `ref` for infinitely many generated clips.

    `sizes` subset sizes are evenly spaced from half of the clips to all, `draws` subsets each.
    Raises NotMeasurable, a ValueError, for fewer than 500 frames, fewer clips than twice `sizes`,
    or an r2 below 0.9; ValueError as `frechet_distance`.

    Of 600 clips whose mean lies 1 from the reference's in one of 64 dimensions, which all have
    the same variance, the distance should be 1 and is 3:

    >>> random = np.random.default_rng(0)
    >>> gen, ref = random.standard_normal((600, 64)), random.standard_normal((10_000, 64))
    >>> gen[:, 0] += 1
    >>> clips, reference = gen[:, None], fit_clips("reference", ref[:, None])
    >>> round(frechet_two_sample(clips, reference).value, 1)
    3.0
    >>> round(frechet_infinity(clips, reference, sizes=5).sample.value, 1)
    1.1
    """
    ref = ref if isinstance(ref, Gaussian) else fit_clips("reference", ref)
    frames = np.array(fit_clips("generated", gen).frames)
    _check(frames, sizes, draws)
    random = np.random.default_rng(seed)
    # No smaller than half: below, the line bends.
    clips = np.rint(np.linspace(len(frames) / 2, len(frames), sizes)).astype(int)
    means = [
        _average_subsets(gen, ref, frames, _draw_subsets(len(frames), size, draws, random))
        for size in clips
    ]
    return _fit_line(means, clips)


def measure(metric: Metric, sets: Sets) -> TwoSample:
    """Measure the intercept.

    The network is the first that the metric needs, the reference as for FAD.
    """
    role = metric.needs[0]
    ref = sets.once(
        f"frechet {role}",
        lambda: fit_clips("reference", [clip.embeddings for clip in sets.ref(role)]),
    )
    gen = [clip.embeddings for clip in sets.gen(role)]
    return frechet_infinity(gen, ref, seed=sets.rules.subset_seed).sample


def _check(frames: np.ndarray, sizes: int, draws: int) -> None:
    if sizes < 3 or draws < 1:
        raise ValueError(
            f"Frechet infinity: {draws} draws of {sizes} sizes, expected at least 1 of 3; the "
            f"usual are {DRAWS} of {SIZES}"
        )
    if frames.sum() < LEAST_FRAMES:
        raise NotMeasurable(
            f"Frechet infinity: {frames.sum()} generated frames, expected at least {LEAST_FRAMES}; "
            "score more clips"
        )
    if len(frames) < 2 * sizes:
        raise NotMeasurable(
            f"Frechet infinity: {len(frames)} generated clips, expected at least {2 * sizes} for "
            f"{sizes} subset sizes; score more clips"
        )


def _draw_subsets(
    count: int, size: int, draws: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Draw `draws` subsets of indices: windows on a shuffled ring, so clips occur alike often."""
    if size == count:
        return [np.arange(count)]
    ring = random.permutation(count)
    return [np.roll(ring, -(draw * count // draws))[:size] for draw in range(draws)]


def _average_subsets(
    gen: Clips, ref: Gaussian, frames: np.ndarray, subsets: list[np.ndarray]
) -> _Size:
    value, inverse = 0.0, 0.0
    gen_influence, ref_influence = np.zeros(len(frames)), np.zeros(len(ref.frames))
    for chosen in subsets:
        sample = frechet_two_sample([gen[index] for index in chosen], ref)
        value += sample.value
        inverse += 1 / frames[chosen].sum()
        # A clip's weight within its subset is larger than its weight within the set.
        gen_influence[chosen] += sample.gen * len(frames) / len(chosen)
        ref_influence += sample.ref
    count = len(subsets)
    sample = TwoSample(value / count, gen_influence / count, ref_influence / count)
    return _Size(sample, inverse / count)


def _fit_line(means: list[_Size], clips: np.ndarray) -> FrechetInfinity:
    """Fit least squares in 1 / frames.

    The intercept is a weighted sum, and so are its influences.
    """
    inverse = np.array([size.inverse for size in means])
    values = np.array([size.sample.value for size in means])
    about = inverse - inverse.mean()
    rises = about / (about @ about)
    weights = 1 / len(means) - inverse.mean() * rises
    slope, intercept = float(rises @ values), float(weights @ values)
    fitted = intercept + slope * inverse
    spread = np.sum((values - values.mean()) ** 2)
    # Values that only rounding tells apart are on no line.
    flat = spread <= len(values) * (1e-9 * np.abs(values).max()) ** 2
    r2 = 0.0 if flat else float(1 - np.sum((values - fitted) ** 2) / spread)
    if not r2 >= LEAST_R2:
        raise NotMeasurable(
            f"Frechet infinity: r2 of the line is {r2:.2f}, expected at least {LEAST_R2}; the "
            "distance does not fall in line with 1 / frames: score more clips, or report it plain"
        )
    sample = TwoSample(
        intercept,
        weights @ [size.sample.gen for size in means],
        weights @ [size.sample.ref for size in means],
    )
    return FrechetInfinity(sample, slope, r2, clips, 1 / inverse, values)
