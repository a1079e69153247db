"""The Frechet distance itself, on embeddings that need no network."""

from typing import NamedTuple

import numpy as np

from crosscheck.comparison import Comparison, numbers
from stabench.metrics.backends.backend import package
from stabench.metrics.frechet import frechet_distance

PEER = "frechet-audio-distance"


class Case(NamedTuple):
    """Two sets of embeddings: rows of each, width, and whether they went through a ReLU."""

    rows: tuple[int, int]
    width: int
    rectified: bool
    note: str


CASES = (
    Case((400, 500), 128, False, "more rows than dimensions"),
    Case((80, 96), 512, True, "fewer rows than dimensions: the peer's matrix root is singular"),
)


def compare(_work: object = None) -> list[Comparison]:
    """Compare each case through the package's statistics and distance, and through ours."""
    distance = package(PEER).FrechetAudioDistance
    peer = object.__new__(distance)  # the constructor would ask for a network
    return [_compare_case(peer, case) for case in CASES]


def _compare_case(peer, case: Case) -> Comparison:
    rng = np.random.default_rng(case.width)
    sets = [rng.standard_normal((rows, case.width)).astype(np.float32) for rows in case.rows]
    sets[1] = sets[1] * np.float32(1.2) + np.float32(0.1)
    if case.rectified:
        sets = [np.maximum(table, 0) for table in sets]
    statistics = [value for table in sets for value in peer.calculate_embd_statistics(table)]
    theirs = float(np.real(peer.calculate_frechet_distance(*statistics)))
    name = f"Frechet distance {case.rows[0]} x {case.width}"
    return numbers(name, PEER, theirs, frechet_distance(*sets), 1e-6, case.note)
