"""Blocks: as long as the noise remembers, drawn whole, around the end too."""

import numpy as np
import pytest

from harness.blocks import block_length, block_means, drawn, integrated_time


def autoregressive(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    noise = rng.standard_normal(n)
    series = np.zeros(n)
    for index in range(1, n):
        series[index] = rho * series[index - 1] + noise[index]
    return series


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_memory_of_a_series_is_known(rho: float) -> None:
    """Of an autoregressive series it is (1 + rho) / (1 - rho)."""
    rng = np.random.default_rng(1)
    found = np.median([integrated_time(autoregressive(rng, 2000, rho)) for _ in range(20)])
    assert found == pytest.approx((1 + rho) / (1 - rho), rel=0.2)


def test_a_block_is_three_memories_long_and_twelve_remain() -> None:
    rng = np.random.default_rng(2)
    assert np.median([block_length(rng.standard_normal(144)) for _ in range(50)]) == 1
    assert block_length(autoregressive(rng, 3000, 0.5)) in range(7, 13)
    assert block_length(autoregressive(rng, 144, 0.97)) == 12
    assert block_length(np.ones(50)) == block_length(np.array([1.0, 2.0])) == 1


def test_the_means_of_blocks() -> None:
    assert block_means(np.array([1.0, 3, 5, 7, 9]), 2).tolist() == [2, 6, 9]


def test_blocks_are_drawn_whole_and_every_clip_as_often() -> None:
    index = drawn(10, 4, resamples=5000, seed=3)
    assert index.shape == (5000, 10)
    assert ((index[:, 1:4] - index[:, :3]) % 10 == 1).all()
    assert ((index[:, 5:8] - index[:, 4:7]) % 10 == 1).all()
    share = np.bincount(index.ravel(), minlength=10) / index.size
    assert share == pytest.approx(np.full(10, 0.1), abs=0.005)
    assert (drawn(10, 4, resamples=5000, seed=3) == index).all()
    assert not (drawn(10, 4, resamples=5000, seed=4) == index).all()
