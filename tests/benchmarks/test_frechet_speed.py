"""The Frechet distance and its interval against scipy's sqrtm, which other tools take.

`make benchmark` prints the figures; `speedup` in the extra information is the ratio of medians
in one run, the two alternating.
"""

import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from stabench.harness.stats.bootstrap import Draws, Statistic, interval, shares
from stabench.metrics.frechet import fit_clips, frechet_distance, frechet_two_sample


def sets(rows: int, width: int) -> np.ndarray:
    """Rectified embeddings [2, rows, width] with a few dead units, as PANNs gives them."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((width, width)) / np.sqrt(width)
    found = np.maximum(rng.standard_normal((2, rows, width)) @ mixing, 0)
    found[..., ::50] = 0
    return found


def by_matrix_root(gen: np.ndarray, ref: np.ndarray) -> float:
    """The formula as pytorch-fid writes it, from which the audio tools have it."""
    from scipy.linalg import sqrtm

    covariances = [np.cov(rows, rowvar=False) for rows in (gen, ref)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the product is singular
        root = np.real(sqrtm(covariances[0] @ covariances[1]))
    shift = gen.mean(0) - ref.mean(0)
    return float(shift @ shift + np.trace(covariances[0] + covariances[1]) - 2 * np.trace(root))


def median_s(call: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def compare(
    benchmark: BenchmarkFixture, slow: Callable[[], object], times: int, width: int
) -> None:
    """Note how much longer `times` calls of `slow` take than what was measured."""
    if benchmark.enabled:
        slow_s = median_s(slow, 1 if width > 1000 else 5)
        benchmark.extra_info["sqrtm_s"] = round(slow_s, 4)
        benchmark.extra_info["speedup"] = round(times * slow_s / benchmark.stats.stats.median, 1)


@pytest.mark.parametrize(("rows", "width"), [(4000, 128), (900, 512), (900, 2048)])
def test_distance_against_sqrtm(benchmark: BenchmarkFixture, rows: int, width: int) -> None:
    gen, ref = sets(rows, width)
    benchmark(frechet_distance, gen, ref)
    compare(benchmark, lambda: by_matrix_root(gen, ref), 1, width)


@pytest.mark.parametrize(("clips", "frames", "width"), [(900, 1, 2048), (900, 10, 128)])
def test_interval_of_a_thousand_replicates_against_a_thousand_sqrtm(
    benchmark: BenchmarkFixture, clips: int, frames: int, width: int
) -> None:
    gen, ref = (rows.reshape(clips, frames, width) for rows in sets(clips * frames, width))
    fitted = fit_clips("reference", ref)
    draws, each = Draws.of(clips), np.arange(clips)

    def whole() -> None:
        found = frechet_two_sample(gen, fitted)
        both = shares(found.gen, each, clips) + shares(found.ref, each, clips)
        interval(Statistic(found.value, both, clips), draws)

    flat = [rows.reshape(-1, width) for rows in (gen, ref)]
    benchmark(whole)
    compare(benchmark, lambda: by_matrix_root(*flat), 1000, width)
