"""The Frechet distance against other projects, closed forms and its own symmetries."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.metrics.frechet import distance, fit, frechet_distance, frechet_two_sample

PEERS = {
    "audioldm_eval.calculate_fid": 32.72382714412106,
    "audioldm_eval.fad.calculate_frechet_distance": 32.72382714412106,
    "av_bench.compute_fd": 32.72382714412106,
    "frechet_audio_distance-0.3.4": 32.72382714411867,
    "fadtk.calc_frechet_distance": 32.72382714412436,
    "torchmetrics._compute_fid(float64)": 32.72382708600048,
    "_exact_nuclear_norm": 32.72382708599366,
}


@pytest.mark.parametrize(("peer", "value"), PEERS.items())
def test_peers(parity, peer, value):
    arrays = parity("fad128")
    assert frechet_distance(arrays["gen"], arrays["ref"]) == pytest.approx(value, rel=1e-7), peer


def test_float32_peer(parity):
    arrays = parity("fad128")
    kadtk = 32.723907470703125
    assert frechet_distance(arrays["gen"], arrays["ref"]) == pytest.approx(kadtk, rel=1e-5)


def test_identical_sets_are_at_zero(parity):
    ref = parity("fad128")["ref"]
    assert 0 <= frechet_distance(ref, ref) < 1e-9


@pytest.mark.parametrize("dead", [0, 40])
def test_closed_form_with_and_without_dead_dimensions(dead):
    """Rows +s e_i and -s e_i have mean 0 and a diagonal covariance that is known exactly."""
    rng = np.random.default_rng(0)
    gen_scale, ref_scale, shift = rng.uniform(0.5, 2, (3, 30))
    gen, ref = (
        np.pad(np.vstack([np.diag(s), -np.diag(s)]), ((0, 0), (0, dead)))
        for s in (gen_scale, ref_scale)
    )
    gen[:, :30] += shift
    expected = np.sum(shift**2) + 2 / 59 * np.sum((gen_scale - ref_scale) ** 2)
    assert frechet_distance(gen, ref) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("clips", "width"), [(40, 128), (96, 512)])
def test_fewer_clips_than_dimensions(clips, width):
    """The singular regime, against a nuclear norm taken by another library and driver."""
    rng = np.random.default_rng(clips)
    mixing = rng.standard_normal((width, width)) / np.sqrt(width)
    gen, ref = np.maximum(rng.standard_normal((2, clips, width)) @ mixing, 0)
    gen *= 1.2
    a, b = ((x - x.mean(0)) / np.sqrt(clips - 1) for x in (gen, ref))
    nuclear = scipy.linalg.svd(a @ b.T, compute_uv=False, lapack_driver="gesvd").sum()
    direct = np.sum((gen.mean(0) - ref.mean(0)) ** 2) + np.trace(np.cov(gen.T) + np.cov(ref.T))
    assert frechet_distance(gen, ref) == pytest.approx(direct - 2 * nuclear, rel=1e-10)


def test_unequal_counts_around_the_width_agree_with_the_matrix_root():
    rng = np.random.default_rng(3)
    gen, ref = rng.standard_normal((25, 32)), 0.5 + 2 * rng.standard_normal((400, 32))
    root = np.linalg.eigvals(np.cov(gen.T) @ np.cov(ref.T)).astype(complex) ** 0.5
    traces = np.trace(np.cov(gen.T)) + np.trace(np.cov(ref.T)) - 2 * root.real.sum()
    expected = np.sum((gen.mean(0) - ref.mean(0)) ** 2) + traces
    assert frechet_distance(gen, ref) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("decay", [0, 3, 6, 9])
def test_many_frames_of_any_conditioning_lose_no_digits(decay):
    """Against Householder's triangles, where the quick way holds and where it gives up."""
    rng = np.random.default_rng(decay)
    rotation = np.linalg.qr(rng.standard_normal((48, 48)))[0]
    scale = np.logspace(0, -decay, 48)
    gen, ref = (rng.standard_normal((n, 48)) * scale @ rotation for n in (400, 300))
    gen, ref = np.insert(1.1 * gen, [5, 20], 0.7, axis=1), np.insert(ref, [5, 20], 0.7, axis=1)
    triangles = [np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r") for x in (gen, ref)]
    overlap = scipy.linalg.svdvals(triangles[0] @ triangles[1].T).sum()
    traces = sum(np.sum(triangle**2) for triangle in triangles)
    direct = np.sum((gen.mean(0) - ref.mean(0)) ** 2) + traces - 2 * overlap
    # Sums of 400 products in float64 may differ by 400 x 2e-16; lost digits would be 1e-8.
    assert abs(frechet_distance(gen, ref) - direct) < 1e-12 * traces


@pytest.mark.parametrize(("gen_rows", "ref_rows"), [(300, 300), (280, 400), (400, 280), (700, 300)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 3.0])
def test_roots_of_eigenvalues_are_taken_only_where_they_are_exact(gen_rows, ref_rows, decay):
    """Against gesvd; spectra that fall steeply, and sets with copies, must go the slow way."""
    rng = np.random.default_rng(gen_rows)
    scale = np.arange(1, 601.0) ** -decay
    gen, ref = (rng.standard_normal((n, 600)) * scale for n in (gen_rows, ref_rows))
    gen[7] = gen[8] if decay == 1 else gen[7]
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (1.2 * gen, ref))
    nuclear = scipy.linalg.svd(a @ b.T, compute_uv=False, lapack_driver="gesvd").sum()
    direct = np.sum((1.2 * gen.mean(0) - ref.mean(0)) ** 2) + np.sum(a**2) + np.sum(b**2)
    assert frechet_distance(1.2 * gen, ref) == pytest.approx(direct - 2 * nuclear, rel=1e-10)


def test_a_large_set_against_itself_is_at_zero():
    rows = np.maximum(np.random.default_rng(0).standard_normal((400, 900)), 0)
    assert frechet_distance(rows, rows) < 1e-9
    assert frechet_distance(rows, rows[::-1]) < 1e-9


def test_sets_that_do_not_vary_differ_by_their_means():
    gen, ref = np.full((9, 3), 1.0), np.full((7, 3), 3.0)
    assert frechet_distance(gen, ref) == 12
    found = frechet_two_sample(gen[:, None], ref[:, None])
    assert found.value == 12
    assert not found.gen.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 30), st.integers(1, 20))
def test_symmetries(seed, n, m, width):
    rng = np.random.default_rng(seed)
    gen, ref = rng.standard_normal((n, width)), 1 + 3 * rng.standard_normal((m, width))
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0]
    shift = 10 * rng.standard_normal(width)
    base = frechet_distance(gen, ref)
    close = pytest.approx(base, rel=1e-9, abs=1e-9)
    assert base >= 0
    assert frechet_distance(ref, gen) == close
    assert frechet_distance(gen + shift, ref + shift) == close
    assert frechet_distance(gen @ rotation, ref @ rotation) == close
    assert frechet_distance(rng.permutation(gen), ref) == close
    assert frechet_distance(2 * gen, 2 * ref) == pytest.approx(4 * base, rel=1e-9, abs=1e-9)


def test_a_reference_fitted_once_serves_many():
    rng = np.random.default_rng(1)
    gen, ref = rng.standard_normal((2, 50, 8))
    assert distance(fit("generated", gen), fit("reference", ref)) == frechet_distance(gen, ref)


@pytest.mark.parametrize(
    ("gen", "ref", "message"),
    [
        (np.ones((1, 4)), np.ones((5, 4)), "generated: 1 rows, expected at least 2"),
        (np.ones((5, 4)), np.ones((5, 3)), "generated has 4 columns and reference 3"),
        (np.ones(4), np.ones((5, 4)), r"generated: shape is \(4,\)"),
        (np.ones((5, 4)), np.full((5, 4), np.nan), "reference: 5 of 5 rows hold NaN"),
    ],
)
def test_refusals(gen, ref, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(gen, ref)
