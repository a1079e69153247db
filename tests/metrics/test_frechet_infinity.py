"""The extrapolated Frechet distance: worlds of known truth, and what it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest

from stabench.metrics import frechet_infinity as module
from stabench.metrics.contract import Features
from stabench.metrics.frechet import fit_clips, frechet_two_sample
from stabench.metrics.frechet_infinity import frechet_infinity, measure
from stabench.metrics.registry import METRICS
from stabench.metrics.sets import NotMeasurable

WIDTH = 24
SCALE = np.linspace(0.5, 1.5, WIDTH)


def world(seed, clips=80, frames=7, shift=0.0):
    """Frames [clips, frames, WIDTH] of a known Gaussian, half of whose variance is the clip's."""
    rng = np.random.default_rng(seed)
    about = rng.standard_normal((clips, 1, WIDTH))
    apart = rng.standard_normal((clips, frames, WIDTH))
    return shift + SCALE * (about + apart) / np.sqrt(2)


@pytest.fixture(scope="module")
def ref():
    return fit_clips("reference", world(0, clips=300))


def truth(ref, shift):
    """Distance of the generated population to this very reference, by its matrix root."""
    values, vectors = np.linalg.eigh(ref.rows.T @ ref.rows)
    root = (vectors * np.sqrt(values)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ np.diag(SCALE**2) @ root)).sum()
    return np.sum((shift - ref.mean) ** 2) + np.sum(SCALE**2) + values.sum() - 2 * overlap


def test_the_bias_goes_and_influences_give_the_spread(ref):
    plain, values, predicted = [], [], []
    for seed in range(1, 41):
        gen = world(seed, shift=0.3)
        plain.append(plainly(gen, ref))
        sample = frechet_infinity(gen, ref, sizes=8, seed=seed).sample
        values.append(sample.value)
        predicted.append(np.sum(sample.gen**2) / len(gen) ** 2)
    expected = truth(ref, 0.3)
    before, after = np.mean(plain) - expected, np.mean(values) - expected
    assert before > 0.5
    assert abs(after) < 0.1 * before + 2 * np.std(values) / np.sqrt(40)
    assert np.sqrt(np.mean(predicted)) == pytest.approx(np.std(values), rel=0.2)


def plainly(gen, ref):
    return frechet_two_sample(gen, ref).value


def test_the_line_is_the_least_squares_line_of_what_is_returned(ref):
    line = frechet_infinity(world(1, shift=0.3), ref)
    slope, intercept = np.polyfit(1 / line.frames, line.values, 1)
    assert line.sample.value == pytest.approx(intercept, rel=1e-9)
    assert line.slope == pytest.approx(slope, rel=1e-9)
    assert line.r2 == pytest.approx(np.corrcoef(1 / line.frames, line.values)[0, 1] ** 2)
    assert line.slope > 0
    assert line.clips.tolist() == np.rint(np.linspace(40, 80, 15)).tolist()
    assert line.frames == pytest.approx(7 * line.clips)


def test_the_last_value_is_that_of_all_clips(ref):
    gen = world(1, shift=0.3)
    assert frechet_infinity(gen, ref).values[-1] == pytest.approx(plainly(gen, ref), rel=1e-12)


def test_subsets_hold_no_clip_twice_and_all_clips_alike_often():
    subsets = module._draw_subsets(50, 30, 5, np.random.default_rng(0))
    assert len(subsets) == 5
    assert all(len(set(subset.tolist())) == 30 for subset in subsets)
    assert (np.bincount(np.concatenate(subsets)) == 3).all()
    assert module._draw_subsets(4, 4, 5, np.random.default_rng(0))[0].tolist() == [0, 1, 2, 3]


def test_values_are_distances_of_the_subsets_drawn(ref):
    gen = world(2, shift=0.3)
    line = frechet_infinity(gen, ref, sizes=5, draws=2, seed=4)
    random = np.random.default_rng(4)
    for size, value in zip(line.clips, line.values, strict=True):
        subsets = module._draw_subsets(80, int(size), 2, random)
        expected = np.mean([plainly(gen[subset], ref) for subset in subsets])
        assert value == pytest.approx(expected, rel=1e-12)


def test_influences_are_the_fits_sum_of_the_subsets_influences(ref):
    """The intercept is linear in distances: their derivatives in a clip's weight add up."""
    gen = world(3, shift=0.3)
    line = frechet_infinity(gen, ref, sizes=5, draws=2, seed=4)
    random, x = np.random.default_rng(4), 1 / line.frames
    weights = np.linalg.pinv(np.stack([np.ones(5), x], axis=1))[0]
    own, other = np.zeros(80), np.zeros(300)
    for weight, size in zip(weights, line.clips, strict=True):
        subsets = module._draw_subsets(80, int(size), 2, random)
        for subset in subsets:
            sample = frechet_two_sample(gen[subset], ref)
            own[subset] += weight * sample.gen / len(subset) / len(subsets)
            other += weight * sample.ref / len(subsets)
    assert line.sample.gen == pytest.approx(80 * own, rel=1e-6)
    assert line.sample.ref == pytest.approx(other, rel=1e-6)
    assert line.sample.gen.sum() == pytest.approx(0, abs=1e-8)


def test_seeds_ragged_clips_and_float32(ref):
    rng = np.random.default_rng(5)
    gen = [clip[: rng.integers(5, 8)] for clip in world(6, clips=100, shift=0.3)]
    line = frechet_infinity(gen, ref, seed=1)
    again = frechet_infinity(gen, ref, seed=1)
    assert line.values.tolist() == again.values.tolist()
    assert frechet_infinity(gen, ref, seed=2).sample.value != line.sample.value
    assert line.frames[-1] == pytest.approx(sum(map(len, gen)))
    single = frechet_infinity([clip.astype(np.float32) for clip in gen], ref, seed=1)
    assert single.sample.value == pytest.approx(line.sample.value, rel=1e-5)


def test_a_reference_may_be_given_as_clips():
    gen, clips = world(7, shift=0.3), world(0, clips=90)
    fitted = frechet_infinity(gen, fit_clips("reference", clips)).sample
    assert frechet_infinity(gen, clips).sample.value == fitted.value


def test_the_metric_of_a_run_uses_the_protocols_seed_and_the_fitted_reference(ref):
    gen = world(7, shift=0.3)
    run = SimpleNamespace(
        gen=lambda role: [Features(clip) for clip in gen] * (role == "fad"),
        once=lambda key, make: {"frechet fad": ref}[key],
        rules=SimpleNamespace(subset_seed=3),
    )
    sample = measure(METRICS["fad_inf"], run)
    assert sample.value == frechet_infinity(gen, ref, seed=3).sample.value


@pytest.mark.parametrize(
    ("gen", "message"),
    [
        (world(1, clips=60, frames=8), "480 generated frames, expected at least 500"),
        (world(1, clips=29, frames=20), "29 generated clips, expected at least 30 for 15 subset"),
        (np.ones((60, 10, WIDTH)), "r2 of the line is 0.00, expected at least 0.9"),
    ],
)
def test_refused_where_there_is_no_answer(ref, gen, message):
    with pytest.raises(NotMeasurable, match=message):
        frechet_infinity(gen, ref)


def test_a_line_that_does_not_fit_is_refused():
    """One dimension far away: the distance hardly knows how many clips there are."""
    rng = np.random.default_rng(8)
    gen, ref = 5 + rng.standard_normal((60, 10, 1)), rng.standard_normal((60, 10, 1))
    with pytest.raises(NotMeasurable, match=r"r2 of the line is -?0\.\d\d, expected at least 0.9"):
        frechet_infinity(gen, ref)


@pytest.mark.parametrize(
    ("gen", "options", "message"),
    [
        (np.full((60, 10, WIDTH), np.nan), {}, "generated clip 0: 10 of 10 rows hold NaN"),
        (np.ones((60, 10, 3)), {}, "generated has 3 columns and reference 24"),
        (world(1), {"sizes": 2}, "4 draws of 2 sizes, expected at least 1 of 3"),
        (world(1), {"draws": 0}, "0 draws of 15 sizes"),
    ],
)
def test_refusals(ref, gen, options, message):
    with pytest.raises(ValueError, match=message):
        frechet_infinity(gen, ref, **options)
