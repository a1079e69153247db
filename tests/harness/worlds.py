"""Runs out of thin air: evidence from arrays, and the noise of a real machine.

The noise is that of two runs of the pocket suite at one commit (5 systems, 144 clips, one thread)
on two cores that were shared with other work, from the `generate_ns` of their journals. A clip is
either quick or, while something else runs, 28 % (of a log) slower: the logs of times lie 0.058 and
0.338 above a block's tenth percentile, 0.065 around each. From one clip to the next a quick
machine turns slow with probability 0.17, a slow one quick with 0.29, means over ten series.
"""

from functools import cache, partial

import numpy as np

from stabench.harness.compare.evidence import (
    ColumnEvidence,
    Evidence,
    Hardware,
    Settings,
    SystemEvidence,
)
from stabench.harness.runs.metrics_file import ColumnHead

TURNS_SLOW, TURNS_QUICK, SLOWER, JITTER = 0.17, 0.29, 0.28, 0.065
BLOCK, SYSTEMS = 12, 5
"""Of the pocket suite: clips in a row, then the other systems have their turn."""


@cache
def clip_ids(n: int) -> tuple[str, ...]:
    return tuple(f"c{index:03}" for index in range(n))


def noise(rng: np.random.Generator, runs: int, n: int, away: int = 0) -> np.ndarray:
    """Logs of times [runs, n]; after every 12 clips `away` others are timed."""
    share = TURNS_SLOW / (TURNS_SLOW + TURNS_QUICK)
    slow = rng.random(runs) < share
    states = np.empty((runs, n), bool)
    for index in range(n):
        states[:, index] = slow
        steps = 1 + (away if index % BLOCK == BLOCK - 1 else 0)
        memory = (1 - TURNS_SLOW - TURNS_QUICK) ** steps
        slow = rng.random(runs) < share + (slow - share) * memory
    return SLOWER * states + rng.normal(0, JITTER, (runs, n))


separate = partial(noise, away=BLOCK * (SYSTEMS - 1))
"""One system of a run of the pocket suite."""


def interleaved(rng: np.random.Generator, runs: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two versions in one run, clip by clip: old new new old old new ..."""
    both = noise(rng, runs, 2 * n).reshape(runs, n, 2)
    turned = np.arange(n) % 2 == 1
    both[:, turned] = both[:, turned, ::-1]
    return both[..., 0], both[..., 1]


def times(logs: np.ndarray, ms: float = 240.0) -> dict[str, tuple[int, ...]]:
    """Samples of a phase from the logs of its noise [n]."""
    walls = (ms * 1e6 * np.exp(logs)).astype(int).tolist()
    return {clip: (wall,) for clip, wall in zip(clip_ids(len(walls)), walls, strict=True)}


def mean(values: np.ndarray, better: str = "lower") -> ColumnEvidence:
    """A column that is a mean over clips."""
    own = dict(zip(clip_ids(len(values)), map(float, values), strict=True))
    return column(own, float(np.mean(values)), "mean", better)


def whole(value: float, shares: np.ndarray, better: str = "lower") -> ColumnEvidence:
    """A column of a set, from the shares of its clips."""
    own = {
        clip: value + len(shares) * float(share)
        for clip, share in zip(clip_ids(len(shares)), shares, strict=True)
    }
    return column(own, value, "set", better)


def column(own: dict[str, float], value: float, kind: str, better: str) -> ColumnEvidence:
    return ColumnEvidence(
        value=value, better=better, kind=kind, per_clip=own, n=len(own), digest="d"
    )


def system(name: str = "star", n: int = 0, **known: object) -> SystemEvidence:
    usual = {"label": name.upper(), "paradigm": "end-to-end"}
    return SystemEvidence(name=name, n=n, **{**usual, **known})


def evidence(*systems: SystemEvidence, name: str = "run", **known: object) -> Evidence:
    columns = {key: one for each in systems for key, one in each.columns.items()}
    heads = {
        key: ColumnHead(label=key.upper(), unit="", digits=2, better=one.better)
        for key, one in columns.items()
    }
    usual = {
        "dataset": "pocket",
        "dataset_version": "v1",
        "settings": Settings(scenario="single-stream", batch_size=1, seed=0, repeats=1, warmups=2),
        "hardware": Hardware(device="cpu", cpu_model="Some CPU", gpu=None, threads=1),
    }
    own = {each.name: each for each in systems}
    return Evidence(name=name, heads=heads, systems=own, **{**usual, **known})
