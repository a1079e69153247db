"""The discrepancy against sums written out, a jackknife, and worlds whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.metrics import mmd as module
from stabench.metrics.mmd import mmd, mmd_of_subsets, mmd_test, pool
from stabench.metrics.sets import NotMeasurable


def bell(one, other):
    """A Gaussian kernel of its own, by differences."""
    return np.exp(-0.1 * np.sum((one[:, None] - other) ** 2, axis=2))


def linear(one, other):
    return one @ other.T


def ragged(seed, clips, width=3, shift=0.0, most=5):
    """Clips of 1 to `most` frames that are alike within a clip."""
    rng = np.random.default_rng(seed)
    return [
        shift + rng.standard_normal(width) + rng.standard_normal((frames, width))
        for frames in rng.integers(1, most + 1, clips)
    ]


def written_out(gen, ref, kernel):
    x, y = np.concatenate(gen), np.concatenate(ref)
    within = [
        sum(kernel(z[[i]], z[[j]])[0, 0] for i in range(len(z)) for j in range(len(z)) if i != j)
        / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    return sum(within) - 2 * kernel(x, y).mean()


@pytest.fixture
def small_tiles(monkeypatch):
    """So that clips straddle tiles and tiles are mirrored."""
    monkeypatch.setattr(module, "TILE", 7)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("kernel", [bell, linear])
def test_every_pair_but_a_frame_with_itself(kernel):
    gen, ref = ragged(0, 9), ragged(1, 12, shift=0.5)
    value = mmd(pool(gen, ref), kernel).value
    assert value == pytest.approx(written_out(gen, ref, kernel), rel=1e-10)


def test_the_linear_kernel_is_an_unbiased_distance_of_means():
    """Closed form: |m - n|^2 less the variance of either mean."""
    rng = np.random.default_rng(2)
    gen, ref = rng.standard_normal((40, 6)) + 1, rng.standard_normal((30, 6))
    expected = np.sum((gen.mean(0) - ref.mean(0)) ** 2) - sum(
        np.trace(np.cov(x.T)) / len(x) for x in (gen, ref)
    )
    assert mmd(pool(gen, ref), linear).value == pytest.approx(expected, rel=1e-10)


def test_the_size_of_tiles_changes_nothing(monkeypatch):
    gen, ref = ragged(3, 20, most=40), ragged(4, 30, most=40)
    whole = mmd_test(pool(gen, ref), bell, permutations=50)
    monkeypatch.setattr(module, "TILE", 11)
    tiled = mmd_test(pool(gen, ref), bell, permutations=50)
    assert tiled.sample.value == pytest.approx(whole.sample.value, rel=1e-10)
    assert tiled.sample.gen == pytest.approx(whole.sample.gen, rel=1e-9, abs=1e-12)
    assert tiled.p_value == whole.p_value


def test_an_array_of_rows_is_a_clip_a_row():
    rng = np.random.default_rng(5)
    gen, ref = rng.standard_normal((2, 20, 4))
    rows, clips = mmd(pool(gen, ref), bell), mmd(pool(gen[:, None], list(ref[:, None])), bell)
    assert rows.value == pytest.approx(clips.value, rel=1e-12)
    assert rows.gen == pytest.approx(clips.gen, rel=1e-9, abs=1e-12)


@pytest.mark.usefixtures("small_tiles")
def test_influence_is_the_derivative_in_a_clips_weight():
    """Weighted means with all pairs kept apart from a frame's own, by central differences."""
    gen, ref = ragged(6, 8), ragged(7, 10, shift=0.7)
    sample = mmd(pool(gen, ref), bell)
    step = 1e-5
    for side, influence in ((0, sample.gen), (1, sample.ref)):
        for clip in range(len(influence)):
            ends = []
            for change in (step, -step):
                weights = [np.ones(len(gen)), np.ones(len(ref))]
                weights[side][clip] += change
                ends.append(weighted(gen, ref, *weights))
            derivative = (ends[0] - ends[1]) / (2 * step) * len(influence)
            assert influence[clip] == pytest.approx(derivative, rel=1e-4, abs=1e-7)


def weighted(gen, ref, gen_weights, ref_weights):
    """With T / (T - 1) for the pairs left out, so that equal weights give the plain value."""

    def mean(one, other, u, v):
        u, v = (np.repeat(w, [len(c) for c in s]) for w, s in ((u, one), (v, other)))
        k = bell(np.concatenate(one), np.concatenate(other))
        if one is other:
            np.fill_diagonal(k, 0)
            return u @ k @ v / (u.sum() * v.sum()) * len(u) / (len(u) - 1)
        return u @ k @ v / (u.sum() * v.sum())

    within = mean(gen, gen, gen_weights, gen_weights) + mean(ref, ref, ref_weights, ref_weights)
    return within - 2 * mean(gen, ref, gen_weights, ref_weights)


@pytest.mark.parametrize("most", [1, 4])
def test_influences_agree_with_leaving_clips_out(most):
    """Jackknife: (N - 1) (value - value without clip i) less its mean, to order 1 / N."""
    gen, ref = ragged(8, 60, most=most), ragged(9, 50, shift=0.8, most=most)
    sample = mmd(pool(gen, ref), bell)
    without = (
        [pool(gen[:i] + gen[i + 1 :], ref) for i in range(60)],
        [pool(gen, ref[:i] + ref[i + 1 :]) for i in range(50)],
    )
    for influence, pools in zip((sample.gen, sample.ref), without, strict=True):
        jackknife = [(len(pools) - 1) * (sample.value - mmd(one, bell).value) for one in pools]
        jackknife = np.array(jackknife) - np.mean(jackknife)
        assert np.corrcoef(influence, jackknife)[0, 1] > 0.998
        assert influence.std() == pytest.approx(jackknife.std(), rel=0.05)


@pytest.mark.slow
def test_influences_give_the_standard_deviation_over_worlds():
    """Paired worlds: clip i of both sets is about the same thing, so influences add by clip."""
    values, predicted = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        about = rng.standard_normal((60, 1, 4))
        gen, ref = about + 0.6 * rng.standard_normal((2, 60, 3, 4))
        sample = mmd(pool(gen + 0.8, ref), bell)
        values.append(sample.value)
        predicted.append(np.sum((sample.gen + sample.ref) ** 2) / 60**2)
    assert np.sqrt(np.mean(predicted)) == pytest.approx(np.std(values), rel=0.12)


def test_no_bias_and_never_too_small_a_spread_where_the_sets_are_alike():
    samples = [
        mmd(pool(*np.random.default_rng(seed).standard_normal((2, 40, 3))), bell)
        for seed in range(300)
    ]
    values = np.array([sample.value for sample in samples])
    variance = np.mean([np.sum(s.gen**2 + s.ref**2) / 40**2 for s in samples])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(300)
    assert 1 < variance / values.var() < 2.6


def test_p_values_are_even_where_the_sets_are_alike_and_small_where_not():
    alike, apart = [], []
    for seed in range(200):
        gen, ref = ragged(seed, 15), ragged(1000 + seed, 12)
        alike.append(mmd_test(pool(gen, ref), bell, permutations=79).p_value)
        apart.append(mmd_test(pool([x + 2 for x in gen], ref), bell, permutations=79).p_value)
    assert np.mean(np.array(alike) <= 0.1) == pytest.approx(0.1, abs=0.055)
    assert np.mean(alike) == pytest.approx(0.5, abs=0.07)
    assert np.mean(np.array(apart) <= 0.05) > 0.95


def test_pairs_swapped_are_even_too_and_see_what_shuffling_misses():
    """Clips that vary much, and a small shift of each: only pairs show it."""
    paired, alike, shuffled = [], [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        about = 2 * rng.standard_normal((20, 1, 1))
        gen, ref = about + 0.2 * rng.standard_normal((2, 20, 2, 1))
        alike.append(mmd_test(pool(gen, ref), bell, permutations=79, paired=True).p_value)
        moved = pool(gen + 0.5, ref)
        paired.append(mmd_test(moved, bell, permutations=79, paired=True).p_value)
        shuffled.append(mmd_test(moved, bell, permutations=79).p_value)
    assert np.mean(alike) == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.array(paired) <= 0.05) > 0.9
    assert np.mean(np.array(shuffled) <= 0.05) < 0.3


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("paired", [False, True])
def test_permuted_values_are_those_of_sets_put_together_anew(paired):
    gen, ref = ragged(11, 6), ragged(12, 6, shift=0.6)
    pooled = pool(gen, ref)
    random = np.random.default_rng(0)
    labels = module._draw_labels(pooled.gen, len(pooled.frames), 30, paired, random)[:, 1:]
    clips = gen + ref
    values = np.array(
        [
            written_out(
                [clip for clip, side in zip(clips, column, strict=True) if side],
                [clip for clip, side in zip(clips, column, strict=True) if not side],
                bell,
            )
            for column in labels.T
        ]
    )
    tested = mmd_test(pooled, bell, permutations=30, paired=paired, seed=0)
    assert tested.p_value == (1 + np.sum(values >= tested.sample.value - 1e-12)) / 31
    assert (labels.sum(axis=0) == 6).all()
    if paired:
        assert (labels[:6] + labels[6:] == 1).all()


def test_subsets_are_those_of_sets_cut_down():
    gen, ref = ragged(13, 10), ragged(14, 12)
    rng = np.random.default_rng(0)
    own = rng.permuted(np.repeat([[1.0], [0]], [4, 6], 0).repeat(5, 1), axis=0)
    other = rng.permuted(np.repeat([[1.0], [0]], [7, 5], 0).repeat(5, 1), axis=0)
    values = mmd_of_subsets(pool(gen, ref), bell, own, other)
    for value, one, two in zip(values, own.T, other.T, strict=True):
        chosen = [[s[i] for i in np.flatnonzero(p)] for s, p in ((gen, one), (ref, two))]
        assert value == pytest.approx(written_out(*chosen, bell), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 9), st.integers(1, 4))
def test_properties(seed, n, m, width):
    gen, ref = ragged(seed, n, width), ragged(seed + 1, m, width, shift=0.3)
    sample, swapped = mmd(pool(gen, ref), bell), mmd(pool(ref, gen), bell)
    if sum(map(len, gen)) > 1 < sum(map(len, ref)):
        assert swapped.value == pytest.approx(sample.value, rel=1e-9, abs=1e-12)
        assert swapped.ref == pytest.approx(sample.gen, rel=1e-9, abs=1e-12)
    assert sample.gen.sum() == pytest.approx(0, abs=1e-10)
    assert sample.ref.sum() == pytest.approx(0, abs=1e-10)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = mmd(pool([gen[i] for i in order], ref), bell)
    assert shuffled.gen == pytest.approx(sample.gen[order], rel=1e-9, abs=1e-12)


def test_the_same_constant_clip_everywhere_is_no_difference():
    pooled = pool(np.full((5, 2, 3), 1e6), np.full((4, 2, 3), 1e6))
    tested = mmd_test(pooled, bell, permutations=19)
    assert tested.sample.value == pytest.approx(0, abs=1e-12)
    assert tested.sample.gen == pytest.approx(np.zeros(5), abs=1e-12)
    assert tested.p_value == 1


@pytest.mark.parametrize(
    ("gen", "ref", "message"),
    [
        ([np.ones((9, 2))], np.ones((5, 2)), "generated: 1 clips, expected at least 2"),
        (np.ones((5, 2)), [], "reference: 0 clips"),
        (np.ones((5, 2)), np.ones((5, 3)), "generated has 2 columns and reference 3"),
        ([np.ones((1, 2)), np.ones((1, 3))], np.ones((5, 2)), "generated clip 0 has 2 columns"),
        (np.full((5, 2), np.nan), np.ones((5, 2)), "generated: 5 of 5 rows hold NaN"),
        ([np.ones((1, 2)), np.full((2, 2), np.inf)], np.ones((5, 2)), "generated clip 1: 2 of 2"),
        ([np.ones((1, 2)), np.ones((0, 2))], np.ones((5, 2)), "generated clip 1: 0 rows"),
    ],
)
def test_refusals(gen, ref, message):
    with pytest.raises(ValueError, match=message):
        pool(gen, ref)


def test_refusals_of_the_test():
    pooled = pool(np.ones((5, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="5 generated and 4 reference clips, expected as many"):
        mmd_test(pooled, bell, paired=True)
    with pytest.raises(ValueError, match="0 permutations, expected at least 1"):
        mmd_test(pooled, bell, permutations=0)


def test_a_kernel_that_overflows_has_no_value():
    pooled = pool(np.full((5, 2), 1.0), np.full((4, 2), 2.0))
    with pytest.raises(NotMeasurable, match="the kernel overflows"):
        mmd(pooled, lambda one, other: np.full((len(one), len(other)), np.inf))


def test_copies_change_sides_together():
    """Ten of each clip are as sure as one of each; taken for so many clips, far surer."""
    random = np.random.default_rng(4)
    gen, ref = random.normal(0.4, 1, (14, 3)), random.normal(0, 1, (14, 3))
    [one, alone, together] = [
        mmd_test(pool(*sets), bell, units=units).p_value
        for sets, units in (
            ((gen, ref), None),
            ((np.repeat(gen, 10, axis=0), np.repeat(ref, 10, axis=0)), None),
            ((np.repeat(gen, 10, axis=0), np.repeat(ref, 10, axis=0)), np.repeat(range(28), 10)),
        )
    ]
    assert one > 0.1
    assert alone < 0.01
    assert together == pytest.approx(one, abs=0.05)


def test_without_copies_units_change_nothing():
    pooled = pool(ragged(1, 5), ragged(2, 7, shift=0.3))
    plain, numbered = (mmd_test(pooled, bell, units=u) for u in (None, np.arange(12)))
    assert plain.p_value == numbered.p_value
    # A number may occur in both sets: a copy is one of its own set.
    both = mmd_test(pooled, bell, units=np.array([*range(5), *range(7)]))
    assert both.p_value == plain.p_value
