"""KL divergence between what a tagger hears in a generated clip and in its reference."""

from collections.abc import Callable

import numpy as np

from stabench.metrics.checks import check_rows, require_same_rows, require_same_width
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, class_logits

AUDIOLDM_EVAL_EPSILON = 1e-6


def kl_divergence(
    gen_logits: np.ndarray, ref_logits: np.ndarray, *, epsilon: float | None = None
) -> np.ndarray:
    """Return KL(reference || generated) [N] in nats of softmaxed logits [N, C], paired by row.

    Without `epsilon` the rule is av-benchmark's. `epsilon=AUDIOLDM_EVAL_EPSILON` adds it to the
    generated probabilities as audioldm_eval does, which caps a term near 13.8 nats (0.4 % lower
    on the parity input). Raises ValueError for shapes that differ or values not finite.

    A generated clip at 1/4 and 3/4 where its reference is at 1/2 and 1/2:

    >>> kl_divergence(np.log([[1, 3]]), np.log([[1, 1]])).round(6).tolist()
    [0.143841]
    >>> round(0.5 * np.log(2) + 0.5 * np.log(2 / 3), 6).item()
    0.143841
    """
    gen, ref = _pair_logits(gen_logits, ref_logits)
    return _sum_divergence(log_softmax(gen), log_softmax(ref), epsilon)


def kl_divergence_sigmoid(
    gen_logits: np.ndarray, ref_logits: np.ndarray, *, epsilon: float | None = None
) -> np.ndarray:
    """Sum over classes of p log(p / q) [N], p and q the sigmoids of reference and generated logits.

    The number that audioldm_eval (with its `epsilon`) and av-benchmark (without) call KL sigmoid.
    It is no divergence: each class lacks its (1 - p) log((1 - p) / (1 - q)), so the value is below
    0 where the generated clip is the surer one, and least where q is 1 for every class. Logits
    [N, C] are paired by row. Raises ValueError as `kl_divergence`.

    One class, p = 1/2 and q = 1/4: 1/2 log 2. The other way round it is below 0.

    >>> half, quarter = [[0.0]], [[-np.log(3)]]
    >>> kl_divergence_sigmoid(quarter, half).round(6).tolist()
    [0.346574]
    >>> kl_divergence_sigmoid(half, quarter).round(6).tolist()
    [-0.173287]
    """
    gen, ref = _pair_logits(gen_logits, ref_logits)
    return _sum_divergence(log_sigmoid(gen), log_sigmoid(ref), epsilon)


def measure(metric: Metric, sets: Sets) -> np.ndarray:
    """Measure KL [N] of each clip; the mean over its recordings where it has several."""
    return _average_by_clip(kl_divergence, metric, sets)


def measure_sigmoid(metric: Metric, sets: Sets) -> np.ndarray:
    """Measure the sigmoid variant [N] of each clip, likewise."""
    return _average_by_clip(kl_divergence_sigmoid, metric, sets)


def _average_by_clip(
    divergence: Callable[..., np.ndarray], metric: Metric, sets: Sets
) -> np.ndarray:
    pairs = sets.pairs(metric.needs[0])
    counts = [len(pair.ref) for pair in pairs]
    gen = np.repeat(class_logits([pair.gen for pair in pairs]), counts, axis=0)
    ref = class_logits([recording for pair in pairs for recording in pair.ref])
    values = divergence(gen, ref, epsilon=sets.rules.kl_epsilon)
    return np.bincount(np.repeat(np.arange(len(counts)), counts), values) / counts


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities over the last axis."""
    # Without the shift the exponentials of large logits overflow.
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities of classes that do not exclude each other."""
    return -np.logaddexp(0.0, -logits)


def _pair_logits(gen_logits: np.ndarray, ref_logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gen = check_rows("generated logits", gen_logits)
    ref = check_rows("reference logits", ref_logits)
    require_same_rows("generated logits", gen, "reference logits", ref)
    require_same_width("generated logits", gen, "reference logits", ref)
    return gen, ref


def _sum_divergence(gen: np.ndarray, ref: np.ndarray, epsilon: float | None) -> np.ndarray:
    """Sum p (log p - log q) [N] over classes, from log q [N, C] and log p [N, C]."""
    if epsilon is not None:
        gen = np.log(np.exp(gen) + epsilon)
    return np.sum(np.exp(ref) * (ref - gen), axis=1)
