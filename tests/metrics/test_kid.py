"""The kernel inception distance against other projects, and over all pairs."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.metrics.contract import Features
from stabench.metrics.kid import cubic, kernel_inception_distance, kid, kid_test, measure
from stabench.metrics.registry import METRICS

# audioldm_eval.fad128.subsets100.<key>; av_bench returns the second too
PEERS = {
    "size1000": (1000, 0.15977739572525024, 0.0026686329515473836),
    "size50": (50, 0.1606788730621338, 0.03780969981644599),
}


@pytest.mark.parametrize(("size", "mean", "std"), PEERS.values(), ids=PEERS)
def test_peers(parity, size, mean, std):
    arrays = parity("fad128")
    distance = kernel_inception_distance(arrays["gen"], arrays["ref"], size=size)
    assert distance.mean == pytest.approx(mean, rel=1e-6)
    assert distance.std == pytest.approx(std, rel=1e-5)


def written_out(gen, ref):
    """One subset: both sets whole."""

    def within(x):
        k = (x @ x.T / x.shape[1] + 1) ** 3
        return (k.sum() - np.trace(k)) / (len(x) * (len(x) - 1))

    return within(gen) + within(ref) - 2 * np.mean((gen @ ref.T / gen.shape[1] + 1) ** 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(2, 12), st.integers(2, 15))
def test_subsets_are_drawn_generated_first_without_replacement(seed, n, m, size):
    rng = np.random.default_rng(seed)
    gen, ref = rng.standard_normal((n, 3)) + 1, rng.standard_normal((m, 3))
    legacy, values, least = np.random.RandomState(7), [], min(size, n, m)
    for _ in range(6):
        own = gen[legacy.choice(n, least, replace=False)]
        values.append(written_out(own, ref[legacy.choice(m, least, replace=False)]))
    distance = kernel_inception_distance(gen, ref, subsets=6, size=size, seed=7)
    assert distance.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-10)
    assert distance.std == pytest.approx(np.std(values), rel=1e-6, abs=1e-10)


def test_a_size_above_both_counts_leaves_one_subset_and_no_spread():
    gen, ref = np.random.default_rng(0).standard_normal((2, 30, 4))
    distance = kernel_inception_distance(gen, ref)
    assert distance.mean == pytest.approx(written_out(gen, ref), rel=1e-9)
    assert distance.mean == pytest.approx(kid(gen, ref).value, rel=1e-9)
    assert distance.std == pytest.approx(0, abs=1e-12)


def test_float32_rows_keep_the_precision_of_float64(parity):
    gen, ref = (parity("fad128")[name] for name in ("gen", "ref"))
    doubled = kid(gen.astype(np.float64), ref.astype(np.float64))
    assert kid(gen.astype(np.float32), ref.astype(np.float32)).value == pytest.approx(
        doubled.value, rel=1e-6
    )


def test_whole_sets_against_the_mean_of_many_subsets(parity):
    """Subsets are unbiased for the whole set, within their own standard error."""
    arrays = parity("fad128")
    gen, ref = arrays["gen"], arrays["ref"]
    many = kernel_inception_distance(gen, ref, subsets=1000, size=60, seed=3)
    # The file is float32: so would be the sums written out, and the comparison, without the cast.
    expected = written_out(gen.astype(np.float64), ref.astype(np.float64))
    assert kid(gen, ref).value == pytest.approx(expected, rel=1e-9)
    assert many.mean == pytest.approx(kid(gen, ref).value, abs=4 * many.std / np.sqrt(1000))


def test_the_kernel_in_one_dimension():
    kernel = cubic(np.array([[2.0]]), np.array([[3.0], [-1.0]]))
    assert kernel.tolist() == [[343.0, -1.0]]


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_constant_sets(constant):
    gen, ref = np.full((2, 3), constant), np.full((5, 3), constant)
    assert kid(gen, ref).value == pytest.approx(0, abs=1e-9)
    assert kernel_inception_distance(gen, ref) == pytest.approx((0, 0), abs=1e-9)
    assert kid_test(gen, ref).p_value == 1


def test_the_p_value_of_sets_that_differ(parity):
    arrays = parity("fad128")
    tested = kid_test(arrays["gen"], arrays["ref"], permutations=199)
    assert tested.p_value == 1 / 200
    # The test multiplies by the labels of all permutations at once, another shape of the product.
    assert tested.sample.value == pytest.approx(kid(arrays["gen"], arrays["ref"]).value, rel=1e-9)


def test_the_metric_of_a_run_uses_the_taggers_embeddings(parity):
    gen, ref = (parity("fad128")[name] for name in ("gen", "ref"))
    run = SimpleNamespace(
        gen=lambda role: [Features(row[None]) for row in gen] * (role == "tagger"),
        ref=lambda role: [Features(row[None]) for row in ref] * (role == "tagger"),
        rules=SimpleNamespace(subset_seed=0),
        units=np.arange(len(gen) + len(ref)),
    )
    assert measure(METRICS["kid"], run).sample.value == kid(gen, ref).value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 1}, "100 subsets of 1 rows, expected at least 1 of 2"),
        ({"subsets": 0}, "0 subsets of 1000 rows"),
    ],
)
def test_refused_subsets(options, message):
    with pytest.raises(ValueError, match=message):
        kernel_inception_distance(np.ones((5, 2)), np.ones((5, 2)), **options)


@pytest.mark.parametrize(
    ("gen", "ref", "message"),
    [
        (np.ones((1, 2)), np.ones((5, 2)), "generated: 1 rows, expected at least 2"),
        (np.ones((5, 2)), np.full((5, 2), np.nan), "reference: 5 of 5 rows hold NaN"),
        (np.ones((5, 2)), np.ones((5, 3)), "generated has 2 columns and reference 3"),
        (np.full((5, 2), 1e120), np.ones((5, 2)), "the kernel overflows"),
    ],
)
def test_refusals(gen, ref, message):
    with pytest.raises(ValueError, match=message):
        kernel_inception_distance(gen, ref)
