"""Influence: how much each clip moves a statistic of whole sets (the infinitesimal jackknife).

The influence of clip i is the derivative of the statistic when its weight grows at the expense
of all (Jaeckel, 1972; Efron, 1982), so its mean over a set is 0 and the statistic's variance is
about sum(influence ** 2) / N ** 2. One evaluation gives all of them, paired by clip.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TwoSample(NamedTuple):
    """A statistic of a generated and a reference set: `value`, influences `gen` [N], `ref` [M]."""

    value: float
    gen: np.ndarray
    ref: np.ndarray


class Tested(NamedTuple):
    """A statistic, and how often sets whose labels are shuffled show one as large."""

    sample: TwoSample
    p_value: float


def clip_influence(frame_influence: np.ndarray, frames: Sequence[int]) -> np.ndarray:
    """Influence of each clip from that of its frames [T]; clip i has `frames[i]` of them, in order.

    Frames weigh alike, so a clip with more of them moves the statistic more.
    """
    owner = np.repeat(np.arange(len(frames)), frames)
    sums = np.bincount(owner, frame_influence, minlength=len(frames))
    return sums * len(frames) / len(owner)
