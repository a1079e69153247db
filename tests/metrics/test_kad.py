"""The kernel audio distance against kadtk, and the median distance against sorting."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.metrics import kad
from stabench.metrics.contract import Features
from stabench.metrics.kad import (
    kad_test,
    kernel_audio_distance,
    measure,
    median_distance,
    squared_distances,
)
from stabench.metrics.registry import METRICS

# kadtk.<key>; the second value of each pair is x=gen, y=ref, whose bandwidth is the reference's
PEERS = {
    "gaussian": (1.5762805938720703, 2.7059316635131836),
    "iq": (1.4377236366271973, 2.1075844764709473),
    "imq": (0.7320165634155273, 1.147294044494629),
}
GAUSSIAN_AT_10 = 4.600975036621094
MEDIAN_REF, MEDIAN_GEN = 15.824601173400879, 20.729734420776367


@pytest.fixture
def sets(parity):
    arrays = parity("fad128")
    return arrays["gen"], arrays["ref"]


@pytest.mark.parametrize("kernel", PEERS)
def test_peer_as_documented(sets, kernel):
    """The bandwidth is the reference's."""
    assert kernel_audio_distance(*sets, kernel=kernel).value == pytest.approx(
        PEERS[kernel][1], rel=1e-4
    )


@pytest.mark.parametrize("kernel", PEERS)
def test_peer_as_it_behaves(sets, kernel):
    """kadtk's score passes the evaluated set second: its bandwidth is used, both ways round."""
    gen, ref = sets
    sample = kernel_audio_distance(gen, ref, kernel=kernel, bandwidth=median_distance(gen))
    assert sample.value == pytest.approx(PEERS[kernel][0], rel=1e-4)
    assert kernel_audio_distance(ref, gen, kernel=kernel).value == pytest.approx(sample.value)


def test_peer_at_a_given_bandwidth(sets):
    assert kernel_audio_distance(*sets, bandwidth=10).value == pytest.approx(
        GAUSSIAN_AT_10, rel=1e-4
    )


def test_median_of_the_peer(sets):
    assert median_distance(sets[0]) == pytest.approx(MEDIAN_GEN, rel=1e-6)
    assert median_distance(sets[1]) == pytest.approx(MEDIAN_REF, rel=1e-6)


def by_sorting(table):
    one, other = np.triu_indices(len(table), 1)
    distances = np.sort(np.sqrt(np.sum((table[one] - table[other]) ** 2, axis=1)))
    return distances[(len(distances) - 1) // 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 5), st.booleans())
def test_lower_median_of_all_pairs_with_and_without_ties(seed, count, width, tied):
    table = 3 * np.random.default_rng(seed).standard_normal((count, width))
    table = np.rint(table) if tied else table
    assert median_distance(table) == pytest.approx(by_sorting(table), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("sortable", [0, 5, 2000])
@pytest.mark.parametrize("tied", [False, True])
def test_the_median_by_digits_is_the_median_by_sorting(monkeypatch, sortable, tied):
    """As for very large sets: the digits of the binary form, down to the last if they must."""
    table = 3 * np.random.default_rng(0).standard_normal((150, 3))
    table = np.rint(table) if tied else table
    expected = median_distance(table)
    assert expected == pytest.approx(by_sorting(table), rel=1e-12)
    monkeypatch.setattr(kad, "SORTABLE_PAIRS", sortable)
    assert median_distance(table) == expected
    monkeypatch.setattr(kad, "TILE", 13)
    assert median_distance(table) == pytest.approx(expected, rel=1e-12)


def test_the_median_of_two_of_equal_and_of_mostly_equal_rows():
    assert median_distance(np.array([[0.0], [3.0]])) == pytest.approx(3)
    assert median_distance(np.full((50, 4), 0.1)) == 0
    assert median_distance(np.repeat([[0.0], [1.0]], [49, 1], axis=0)) == 0


def test_rows_that_are_equal_are_at_no_distance_at_all():
    rng = np.random.default_rng(1)
    for width in (1, 128, 2048):
        table = 1e3 * rng.standard_normal((40, width))
        assert (np.diag(squared_distances(table, table)) == 0).all()
        moved = squared_distances(table, table + 1e-2)
        assert np.diag(moved) == pytest.approx(np.full(40, width * 1e-4), rel=1e-3)


@pytest.mark.parametrize("kernel", PEERS)
def test_written_out_by_differences(kernel):
    rng = np.random.default_rng(2)
    gen, ref = rng.standard_normal((9, 2)) + 0.5, rng.standard_normal((7, 2))
    shape = {
        "gaussian": lambda e: np.exp(-e),
        "iq": lambda e: 1 / (1 + e),
        "imq": lambda e: (1 + e) ** -0.5,
    }[kernel]

    def k(x, y):
        return shape(np.sum((x[:, None] - y) ** 2, axis=2) / (2 * 0.7**2))

    expected = (k(gen, gen).sum() - 9) / 72 + (k(ref, ref).sum() - 7) / 42 - 2 * k(gen, ref).mean()
    sample = kernel_audio_distance(gen, ref, kernel=kernel, bandwidth=0.7)
    assert sample.value == pytest.approx(100 * expected, rel=1e-6)


def test_moving_and_scaling_both_sets_changes_nothing():
    rng = np.random.default_rng(3)
    gen, ref = rng.standard_normal((30, 2, 4)) + 0.3, rng.standard_normal((25, 2, 4))
    plain = kernel_audio_distance(gen, ref)
    for moved in (
        kernel_audio_distance(gen + 1e6, ref + 1e6),
        kernel_audio_distance(50 * gen, 50 * ref),
    ):
        assert moved.value == pytest.approx(plain.value, rel=1e-7)
        assert moved.gen == pytest.approx(plain.gen, rel=1e-5, abs=1e-7)


def test_a_set_against_itself_is_below_zero_by_what_frames_share_with_themselves():
    ref = np.random.default_rng(4).standard_normal((30, 3))
    bandwidth = median_distance(ref)
    k = np.exp(-squared_distances(ref, ref) / (2 * bandwidth**2))
    apart = (k.sum() - 30) / (30 * 29)
    value = kernel_audio_distance(ref, ref).value
    assert value == pytest.approx(-200 / 30 * (1 - apart), rel=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e8])
def test_constant_sets(constant):
    """The median is 0; kadtk's epsilon keeps the kernel defined."""
    gen, ref = np.full((2, 3), constant), np.full((5, 3), constant)
    assert kernel_audio_distance(gen, ref).value == pytest.approx(0, abs=1e-9)
    assert kad_test(gen, ref).p_value == 1
    apart = kernel_audio_distance(gen + 1, ref)
    assert apart.value == pytest.approx(200, abs=1e-9)
    assert kernel_audio_distance(gen + 1, ref, bandwidth=0).value == apart.value


def test_two_clips_in_one_dimension():
    """Distances 1 within either set and 3, 2, 4, 3 across; the bandwidth is 1."""
    gen, ref = np.array([[3.0], [4.0]]), np.array([[0.0], [1.0]])
    within, across = np.exp(-0.5), np.exp(-np.array([9, 4, 16, 9]) / 2).mean()
    value = kernel_audio_distance(gen, ref).value
    assert value == pytest.approx(100 * (2 * within - 2 * across), rel=1e-7)


def test_influences_and_p_value_are_of_the_scaled_value(sets):
    gen, ref = (rows[:60].reshape(20, 3, 128) for rows in sets)
    tested = kad_test(gen, ref, permutations=99)
    sample = kernel_audio_distance(gen, ref)
    assert tested.sample.value == pytest.approx(sample.value, rel=1e-12)
    assert tested.p_value == 0.01
    held = median_distance(ref.reshape(-1, 128))
    without = np.array(
        [
            kernel_audio_distance(np.delete(gen, i, axis=0), ref, bandwidth=held).value
            for i in range(20)
        ]
    )
    jackknife = 19 * (without.mean() - without)
    assert np.corrcoef(sample.gen, jackknife)[0, 1] > 0.99
    assert sample.gen.std() == pytest.approx(jackknife.std(), rel=0.15)


def test_the_metric_of_a_run_uses_the_tagger_and_the_references_median(sets):
    gen, ref = sets
    run = SimpleNamespace(
        gen=lambda role: [Features(row[None]) for row in gen] * (role == "tagger"),
        ref=lambda role: [Features(row[None]) for row in ref] * (role == "tagger"),
        rules=SimpleNamespace(subset_seed=0),
        once=lambda key, make: make(),
        units=np.arange(900),
    )
    sample, p_value = measure(METRICS["kad"], run)
    assert p_value == 1 / 1001
    assert sample.value == pytest.approx(PEERS["gaussian"][1], rel=1e-4)
    assert (len(sample.gen), len(sample.ref)) == (400, 500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "gausian"}, "unknown kernel 'gausian'; did you mean 'gaussian'"),
        ({"kernel": "x"}, "unknown kernel 'x'; known are gaussian, iq, imq"),
        ({"bandwidth": -1}, "bandwidth is -1, expected 0 or more"),
        ({"bandwidth": np.nan}, "bandwidth is nan, expected 0 or more"),
    ],
)
def test_refused_kernels(options, message):
    with pytest.raises(ValueError, match=message):
        kernel_audio_distance(np.ones((5, 2)), np.ones((5, 2)), **options)


@pytest.mark.parametrize(
    ("gen", "ref", "message"),
    [
        (np.ones((1, 2)), np.ones((5, 2)), "generated: 1 clips, expected at least 2"),
        (np.ones((5, 2)), np.full((5, 2), np.nan), "reference: 5 of 5 rows hold NaN"),
        (np.ones((5, 2)), np.ones((5, 3)), "generated has 2 columns and reference 3"),
    ],
)
def test_refusals(gen, ref, message):
    with pytest.raises(ValueError, match=message):
        kernel_audio_distance(gen, ref)


def test_a_median_needs_two_rows():
    with pytest.raises(ValueError, match="embeddings: 1 rows, expected at least 2"):
        median_distance(np.ones((1, 3)))
