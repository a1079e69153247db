"""How long the Frechet distance and its bootstrap take; run with --benchmark-enable."""

import numpy as np
import pytest

from metrics.bootstrap import Draws
from metrics.frechet import frechet_distance
from metrics.frechet_bootstrap import FrechetReference


@pytest.mark.parametrize(("rows", "width"), [(4000, 128), (900, 2048)])
def test_distance(benchmark, rows, width):
    gen, ref = np.random.default_rng(0).standard_normal((2, rows, width))
    assert benchmark(frechet_distance, gen, ref) > 0


@pytest.mark.parametrize(("frames", "width"), [(4, 64), (4, 128), (1, 256)])
def test_hundred_replicates_of_144_clips(benchmark, frames, width):
    gen, ref = np.random.default_rng(0).standard_normal((2, 144, frames, width))
    draws = Draws.of(144, replicates=100)
    replicates = benchmark(lambda: FrechetReference(ref, draws).replicates(gen))
    assert len(replicates.samples) == 100
