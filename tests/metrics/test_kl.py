"""KL divergence: both epsilon rules of other projects, the right direction, the right pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.metrics.kl import AUDIOLDM_EVAL_EPSILON, kl_divergence, kl_divergence_sigmoid

PEERS = {"av_bench.softmax": (None, 1.3695789575576782)} | {
    "audioldm_eval.softmax": (AUDIOLDM_EVAL_EPSILON, 1.3643485307693481)
}
SIGMOID_PEERS = {
    "av_bench.sigmoid": (None, 11.290655136108398),
    "audioldm_eval.sigmoid": (AUDIOLDM_EVAL_EPSILON, 11.289213180541992),
}
WITHOUT_FIRST_5 = 1.3146311044692993  # audioldm_eval.softmax.gen_without_first5
WRONG_DIRECTION, WRONG_PAIRING = 1.1618274450302124, 4.03286075592041


@pytest.fixture
def paired(parity):
    """Generated and reference logits in the order of the generated names, and the raw arrays."""
    arrays = parity("logits527")
    row = {name: index for index, name in enumerate(arrays["names_ref"])}
    order = [row[name] for name in arrays["names_gen"]]
    return arrays["gen"], arrays["ref"][order], arrays["ref"]


@pytest.mark.parametrize(("epsilon", "value"), PEERS.values(), ids=PEERS)
def test_peers(paired, epsilon, value):
    gen, ref, _ = paired
    assert kl_divergence(gen, ref, epsilon=epsilon).mean() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("epsilon", "value"), SIGMOID_PEERS.values(), ids=SIGMOID_PEERS)
def test_sigmoid_peers(paired, epsilon, value):
    gen, ref, unordered = paired
    right = kl_divergence_sigmoid(gen, ref, epsilon=epsilon).mean()
    assert right == pytest.approx(value, rel=1e-6)
    for wrong in (
        kl_divergence_sigmoid(ref, gen, epsilon=epsilon),
        kl_divergence_sigmoid(gen, unordered, epsilon=epsilon),
        kl_divergence(gen, ref, epsilon=epsilon),
    ):
        assert abs(wrong.mean() - right) > 1


def test_a_clip_that_is_missing_leaves_the_other_pairs(paired):
    gen, ref, _ = paired
    value = kl_divergence(gen[5:], ref[5:], epsilon=AUDIOLDM_EVAL_EPSILON).mean()
    assert value == pytest.approx(WITHOUT_FIRST_5, rel=1e-5)


def test_wrong_usages_give_the_wrong_values_and_are_not_what_we_return(paired):
    gen, ref, unordered = paired
    right = kl_divergence(gen, ref, epsilon=AUDIOLDM_EVAL_EPSILON).mean()
    reversed_ = kl_divergence(ref, gen, epsilon=AUDIOLDM_EVAL_EPSILON).mean()
    by_position = kl_divergence(gen, unordered, epsilon=AUDIOLDM_EVAL_EPSILON).mean()
    assert reversed_ == pytest.approx(WRONG_DIRECTION, rel=1e-5)
    assert by_position == pytest.approx(WRONG_PAIRING, rel=1e-5)
    assert abs(right - WRONG_DIRECTION) > 0.1
    assert abs(right - WRONG_PAIRING) > 0.1


def test_two_classes_by_hand():
    """Reference (3/4, 1/4), generated (1/2, 1/2)."""
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    value = kl_divergence(np.zeros((1, 2)), np.log([[3.0, 1.0]]))
    assert value == pytest.approx([expected])


def test_the_sigmoid_variant_by_hand_and_below_zero():
    """Reference 1/2 and 3/4, generated 3/4 and 1/2; then a generated clip sure of everything."""
    gen, ref = np.log([[3.0, 1.0]]), np.log([[1.0, 3.0]])
    expected = 0.5 * np.log(0.5 / 0.75) + 0.75 * np.log(0.75 / 0.5)
    assert kl_divergence_sigmoid(gen, ref) == pytest.approx([expected])
    assert kl_divergence_sigmoid(np.full((1, 4), 90.0), np.zeros((1, 4))) == pytest.approx(
        [4 * 0.5 * np.log(0.5)]
    )


def test_the_sigmoid_variant_at_both_ends_of_the_logits():
    """A class that the generated clip denies costs its logit, or the cap; one all deny, nothing."""
    gen, ref = np.array([[-800.0, -800.0]]), np.array([[40.0, -800.0]])
    assert kl_divergence_sigmoid(gen, ref) == pytest.approx([800])
    assert kl_divergence_sigmoid(gen, ref, epsilon=AUDIOLDM_EVAL_EPSILON) == pytest.approx(
        [-np.log(1e-6)]
    )
    assert kl_divergence_sigmoid(ref, ref) == pytest.approx([0], abs=1e-12)


def test_epsilon_caps_a_class_that_the_generated_clip_denies():
    gen, ref = np.array([[0.0, 80.0]]), np.array([[80.0, 0.0]])
    assert kl_divergence(gen, ref)[0] == pytest.approx(80)
    assert kl_divergence(gen, ref, epsilon=AUDIOLDM_EVAL_EPSILON)[0] == pytest.approx(
        -np.log(1e-6), rel=1e-5
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 300), st.integers(2, 40))
def test_properties(seed, scale, classes):
    rng = np.random.default_rng(seed)
    gen, ref = scale * rng.standard_normal((2, 5, classes))
    values = kl_divergence(gen, ref)
    assert (values >= -1e-9).all()
    assert kl_divergence(ref, ref) == pytest.approx(np.zeros(5), abs=1e-9)
    assert kl_divergence(gen + 7, ref - 3) == pytest.approx(values, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("metric", [kl_divergence, kl_divergence_sigmoid])
@pytest.mark.parametrize(
    ("gen", "ref", "message"),
    [
        (np.ones((3, 4)), np.ones((2, 4)), "3 rows and reference logits 2, expected one a clip"),
        (np.ones((3, 4)), np.ones((3, 5)), "4 columns and reference logits 5"),
        (np.full((3, 4), np.inf), np.ones((3, 4)), "generated logits: 3 of 3 rows hold NaN"),
        (np.ones((0, 4)), np.ones((0, 4)), "generated logits: 0 rows"),
    ],
)
def test_refusals(metric, gen, ref, message):
    with pytest.raises(ValueError, match=message):
        metric(gen, ref)
