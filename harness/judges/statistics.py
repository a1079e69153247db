"""What an examination measures of a network: pure functions of embeddings, scores and labels."""

from typing import NamedTuple

import numpy as np

# Of a linear probe, in units of the mean squared length of its standardised rows.
PENALTIES = np.logspace(-4, 4, 17)


class Spread(NamedTuple):
    """How many axes an embedding fills: its effective `dimensions`, the share of the `top_two`."""

    dimensions: float
    top_two: float


def spread(rows: np.ndarray) -> Spread:
    """Return the participation ratio (sum l)^2 / sum l^2 of the covariance of `rows` [N, D].

    1 where all variance lies in one axis, D where it is the same in all; a network whose rows are
    all equal has no axis at all: 0. The ratio cannot exceed N - 1.
    """
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    total = variances.sum()
    if total == 0:
        return Spread(0.0, 1.0)
    ratio = total**2 / np.sum(variances**2)
    return Spread(float(ratio), float(variances[:2].sum() / total))


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the average precision of `scores` [N] for booleans `truth` [N], one of them True.

    The mean over the true clips of the precision among all clips that score at least as high. Of
    clips with equal scores none comes first, so a constant score has the share of true clips.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    # Of clips with equal scores none comes first: each counts down to the last of them.
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    precision = hits[last] / (last + 1)
    return float(precision[truth[order]].mean())


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean over classes of the average precision of `scores` [N, C] for `truth` [N, C].

    Classes that no clip holds are left out.
    """
    held = [index for index in range(truth.shape[1]) if truth[:, index].any()]
    return float(np.mean([average_precision(scores[:, i], truth[:, i]) for i in held]))


def probe(train: np.ndarray, truth: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return class scores [M, C] for rows `test` [M, D] by a ridge regression on `train` [N, D].

    Columns are standardised by the training rows. The penalty is the one of PENALTIES with the
    least leave-one-out error, which the hat matrix gives in closed form (Allen's PRESS): `test`
    plays no part in it. `truth` [N, C] is boolean.
    """
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1.0)
    known, asked = (train - mean) / scale, (test - mean) / scale
    share = truth.mean(axis=0)
    wanted = truth - share
    values, vectors = np.linalg.eigh(known @ known.T)
    values = np.maximum(values, 0.0)
    unit = float(values.mean()) or 1.0  # rows that are all equal have no length

    def press(penalty: float) -> float:
        inverse = (vectors / (values + penalty * unit)) @ vectors.T
        return float(np.sum((inverse @ wanted / np.diag(inverse)[:, None]) ** 2))

    penalty = min(PENALTIES, key=press)
    duals = (vectors / (values + penalty * unit)) @ (vectors.T @ wanted)
    return asked @ known.T @ duals + share


def matched_share(similarity: np.ndarray, wrong: np.ndarray) -> float:
    """Return how often a sound is closer to its own caption than to a wrong one (the AUC by clip).

    `similarity` [N, N] is of sound i and caption j, `wrong` [N, N] marks captions that are not
    true of a sound; ties count half. 0.5 by chance.
    """
    matched = np.diag(similarity)[:, None]
    wins = (matched > similarity) + 0.5 * (matched == similarity)
    return float(wins[wrong].mean())


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rho of two lists [N]: Pearson's r of their ranks, ties sharing the mean.

    0 where one of them is constant, since it orders nothing.
    """
    ranks = []
    for values in (np.asarray(first, float), np.asarray(second, float)):
        ordered = np.sort(values)
        below = np.searchsorted(ordered, values, side="left")
        ranks.append((below + np.searchsorted(ordered, values, side="right") + 1) / 2)
    centred = [each - each.mean() for each in ranks]
    lengths = [np.sqrt(np.sum(each**2)) for each in centred]
    return float(centred[0] @ centred[1] / np.prod(lengths)) if all(lengths) else 0.0
