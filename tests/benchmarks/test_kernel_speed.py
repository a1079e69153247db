"""How long the kernel distances and FAD-infinity take; run with --benchmark-enable."""

import numpy as np
import pytest

from stabench.metrics.frechet import fit_clips
from stabench.metrics.frechet_infinity import frechet_infinity
from stabench.metrics.kad import kad_test, kernel_audio_distance, median_distance
from stabench.metrics.kid import kernel_inception_distance, kid


def sets(clips, frames, width):
    gen, ref = np.random.default_rng(0).standard_normal((2, clips, frames, width))
    return gen + 0.1, ref


def test_median_distance(benchmark):
    _, ref = sets(4000, 1, 128)
    assert benchmark(median_distance, ref[:, 0]) > 0


@pytest.mark.parametrize(("clips", "frames", "width"), [(400, 10, 128), (900, 1, 2048)])
def test_whole_sets(benchmark, clips, frames, width):
    gen, ref = sets(clips, frames, width)
    assert benchmark(kid, gen, ref).value > 0


@pytest.mark.parametrize(("clips", "frames", "width"), [(400, 10, 128), (900, 1, 2048)])
def test_gaussian_kernel_at_a_known_bandwidth(benchmark, clips, frames, width):
    gen, ref = sets(clips, frames, width)
    assert benchmark(kernel_audio_distance, gen, ref, bandwidth=16.0).value > 0


def test_thousand_permutations_of_clips(benchmark):
    gen, ref = sets(400, 10, 128)
    assert benchmark(kad_test, gen, ref, bandwidth=16.0).p_value < 0.01


def test_hundred_subsets(benchmark):
    gen, ref = sets(900, 1, 2048)
    distance = benchmark(kernel_inception_distance, gen[:, 0], ref[:, 0], size=500)
    assert distance.std > 0


def test_frechet_infinity(benchmark):
    gen, ref = sets(200, 10, 128)
    fitted = fit_clips("reference", ref)
    assert benchmark.pedantic(frechet_infinity, (gen, fitted), rounds=3).r2 > 0.9
