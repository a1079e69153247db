"""Blocks: as long as the noise remembers, drawn whole, around the end too."""

import numpy as np
import pytest

from stabench.harness.stats.bootstrap import block_length, block_means, draw_blocks, integrated_time
from tests.harness.worlds import noise, separate


def autoregressive(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    series = rng.standard_normal(n)
    series[0] /= np.sqrt(1 - rho**2)
    for index in range(1, n):
        series[index] += rho * series[index - 1]
    return series


@pytest.mark.parametrize(("phi", "known"), [(0.0, 1.0), (0.5, 3.0), (0.7, 17 / 3)])
def test_memory_of_an_autoregression_is_known(phi: float, known: float) -> None:
    """(1 + phi) / (1 - phi); one run of 144 clips says it only roughly, many say it together."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        found.append(integrated_time(autoregressive(rng, 500, phi)))
    assert np.median(found) == pytest.approx(known, rel=0.15, abs=0.15)


def test_blocks_where_noise_comes_in_bursts_and_none_where_it_does_not() -> None:
    rng = np.random.default_rng(3)
    bursts = separate(rng, 50, 144) - separate(rng, 50, 144)
    lengths = [block_length(series) for series in bursts]
    assert 4 <= np.median(lengths) <= 12 == max(lengths)
    assert np.median([block_length(rng.normal(size=144)) for _ in range(50)]) == 1
    assert block_length(np.zeros(144)) == 1
    assert block_length(noise(rng, 1, 20)[0]) == 1, "at least 12 blocks must remain"


def test_a_block_is_three_memories_long_and_twelve_remain() -> None:
    rng = np.random.default_rng(2)
    assert np.median([block_length(rng.standard_normal(144)) for _ in range(50)]) == 1
    assert block_length(autoregressive(rng, 3000, 0.5)) in range(7, 13)
    assert block_length(autoregressive(rng, 144, 0.97)) == 12
    assert block_length(np.ones(50)) == block_length(np.array([1.0, 2.0])) == 1


def test_the_means_of_blocks() -> None:
    assert block_means(np.array([1.0, 3, 5, 7, 9]), 2).tolist() == [2, 6, 9]


def test_blocks_are_drawn_whole_and_every_clip_as_often() -> None:
    index = draw_blocks(10, 4, resamples=5000, seed=3)
    assert index.shape == (5000, 10)
    assert ((index[:, 1:4] - index[:, :3]) % 10 == 1).all()
    assert ((index[:, 5:8] - index[:, 4:7]) % 10 == 1).all()
    share = np.bincount(index.ravel(), minlength=10) / index.size
    assert share == pytest.approx(np.full(10, 0.1), abs=0.005)
    assert (draw_blocks(10, 4, resamples=5000, seed=3) == index).all()
    assert not (draw_blocks(10, 4, resamples=5000, seed=4) == index).all()
