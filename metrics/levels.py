"""Levels: sounds beyond full scale, and sounds that a clipper has flattened.

Networks hear such sounds as they are, but nobody can play them so, and most tools write them
otherwise: int16 files cut them, players turn them down. So whoever scores them is told.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

# From here on a sample counts as being at full scale: 16 bits end a little below 1.
FULL_SCALE = 0.999
# Share of samples at full scale that is heard as distortion.
CLIPPED = 0.01


class Level(NamedTuple):
    """The largest absolute sample, and the share of samples at full scale or beyond (0 to 1)."""

    peak: float
    clipped: float


def measure_level(samples: np.ndarray) -> Level:
    """Return the level of finite `samples`, [T] or [T, channels]; of none at all, silence.

    >>> measure_level(np.array([0.25, -0.5, 1.0, -2.0]))
    Level(peak=2.0, clipped=0.5)
    """
    if not samples.size:
        return Level(0.0, 0.0)
    sizes = np.abs(samples)
    return Level(float(sizes.max()), float(np.mean(sizes >= FULL_SCALE)))


def describe_levels(what: str, levels: Collection[Level]) -> Iterator[str]:
    """Yield a sentence for each fault of the sounds of `what`, with how many of them have it.

    >>> list(describe_levels("star", [Level(0.5, 0.0), Level(2.0, 0.5)]))[0]
    'star: 1 of 2 clips go beyond full scale, up to 2; networks hear them so, players do not'
    """
    beyond = [level for level in levels if level.peak > 1]
    if beyond:
        peak = max(level.peak for level in beyond)
        yield (
            f"{what}: {len(beyond)} of {len(levels)} clips go beyond full scale, up to {peak:.4g}; "
            "networks hear them so, players do not"
        )
    clipped = [level.clipped for level in levels if level.clipped > CLIPPED]
    if clipped:
        yield (
            f"{what}: {len(clipped)} of {len(levels)} clips are saturated, with up to "
            f"{100 * max(clipped):.0f} % of their samples at full scale"
        )
