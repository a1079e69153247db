"""The fast replicates of the Frechet distance are the slow ones; their interval is honest."""

import numpy as np
import pytest

from metrics.bootstrap import Draws, centred_interval, replicate_difference
from metrics.frechet import frechet_distance
from metrics.frechet_bootstrap import FrechetReference, frechet_interval


def world(rng, clips, frames, width, decay=0.0):
    """Generated and reference embeddings [clips, frames, width] that share what a clip is about."""
    scale = np.arange(1, width + 1) ** -decay
    about = rng.standard_normal((clips, 1, width))
    noise = 0.5 * rng.standard_normal((2, clips, frames, width))
    gen = 0.8 * about + 0.3 + noise[0] + 0.4 * rng.standard_normal((clips, 1, width))
    return gen * scale, (about + noise[1]) * scale


def resampled(clips, counts):
    """The frames of a replicate written out, each as often as its clip was drawn."""
    return np.concatenate([np.tile(clip, (n, 1)) for clip, n in zip(clips, counts, strict=True)])


@pytest.mark.parametrize(("frames", "width"), [(1, 40), (1, 12), (4, 12), (3, 300)])
def test_replicates_equal_distances_of_resampled_clips(frames, width):
    """Both ways, Gram matrix (fewer frames than dimensions) and covariances."""
    gen, ref = world(np.random.default_rng(0), 24, frames, width)
    draws = Draws.of(24, replicates=20)
    replicates = FrechetReference(100 + ref, draws).replicates(100 + gen)
    slow = [frechet_distance(resampled(gen, c), resampled(ref, c)) for c in draws.counts]
    assert replicates.samples == pytest.approx(slow, rel=1e-6)
    whole = frechet_distance(np.concatenate(gen), np.concatenate(ref))
    assert replicates.value == pytest.approx(whole, rel=1e-9)
    assert replicates.n == 24


def test_ragged_clips_failed_clips_and_a_reference_drawn_apart():
    rng = np.random.default_rng(1)
    gen, ref = (
        [rng.standard_normal((frames, 6)) + shift for frames in rng.integers(1, 5, clips)]
        for clips, shift in ((17, 0.5), (20, 0.0))
    )
    draws = Draws.of(20, replicates=10)
    present = draws.at(range(3, 20))
    paired = FrechetReference(ref, draws).replicates(gen, present)
    slow = [
        frechet_distance(resampled(gen, g), resampled(ref, r))
        for g, r in zip(present.counts, draws.counts, strict=True)
    ]
    assert paired.samples == pytest.approx(slow, rel=1e-6)
    apart = Draws.of(17, replicates=10, seed=9)
    interval = frechet_interval(gen, ref, apart, draws)
    assert interval == centred_interval(FrechetReference(ref, draws).replicates(gen, apart))


def test_a_reference_serves_several_systems_and_differences_are_paired():
    rng = np.random.default_rng(2)
    gen, ref = world(rng, 60, 2, 8)
    draws = Draws.of(60, replicates=100)
    reference = FrechetReference(ref, draws)
    one = reference.replicates(gen)
    other = reference.replicates(gen + 0.01 * rng.standard_normal(gen.shape))
    assert reference.replicates(gen).samples.tolist() == one.samples.tolist()
    difference, alone = replicate_difference(other, one), centred_interval(one)
    assert difference.value == pytest.approx(other.value - one.value)
    assert difference.high - difference.low < (alone.high - alone.low) / 5


@pytest.mark.parametrize(
    ("frames", "width", "decay", "largest"),
    [(1, 6, 0.0, 0.99), (4, 8, 0.5, 0.99), (1, 200, 0.5, 1.0)],
)
def test_coverage_of_the_plug_in_expectation(frames, width, decay, largest):
    """What 144 clips give on average lies within; wider than needed only below one clip a dim."""
    draws = Draws.of(144, replicates=80)
    worlds = (world(np.random.default_rng(seed), 144, frames, width, decay) for seed in range(100))
    intervals = [frechet_interval(gen, ref, draws) for gen, ref in worlds]
    truth = np.mean([interval.value for interval in intervals])
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.88 <= covered <= largest


def test_without_centring_the_doubled_bias_would_leave_the_value_outside():
    gen, ref = world(np.random.default_rng(5), 144, 1, 100, 0.5)
    replicates = FrechetReference(ref, Draws.of(144, replicates=100)).replicates(gen)
    assert np.quantile(replicates.samples, 0.025) > replicates.value
    interval = centred_interval(replicates)
    assert interval.low < replicates.value < interval.high


def test_refusals():
    gen, ref = world(np.random.default_rng(0), 5, 2, 4)
    draws = Draws.of(5, replicates=8)
    reference = FrechetReference(ref, draws)
    with pytest.raises(ValueError, match="generated: 4 clips, draws are for 5"):
        reference.replicates(gen[:4])
    with pytest.raises(ValueError, match="3 columns and reference 4"):
        reference.replicates(gen[:, :, :3])
    with pytest.raises(ValueError, match="expected as many"):
        reference.replicates(gen, Draws.of(5, replicates=9))
    with pytest.raises(ValueError, match="reference clip 0: 2 of 2 rows hold NaN"):
        FrechetReference(ref * np.nan, draws)
