"""Bootstrap of the Frechet distance: many replicates without refitting from scratch.

With at most D frames a replicate is a submatrix of one Gram matrix between the two sets (the
frames drawn, weighted by the root of their count) and costs one small SVD, whatever D. With more,
it is two weighted covariances, and the root of the reference's is shared by all systems.

Simulated at 144 clips, the intervals cover what as many clips give on average in 93 to 97 of 100
worlds while frames outnumber dimensions. With fewer they are too wide, never too narrow: 1.3
times where the spectrum decays as in real embeddings, up to 2.7 times where it is flat.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from metrics.bootstrap import Draws, Interval, Replicates, centred_interval
from metrics.frechet import frechet_distance, not_negative
from metrics.rows import rows, same_width

Clips = Sequence[np.ndarray] | np.ndarray
"""Embeddings of each clip, [F, D]; F may differ from clip to clip."""
LARGEST_CACHE_BYTES = 1 << 29


class Drawn(NamedTuple):
    """Distinct frames of a replicate (`index` [k]), how often each, their `total` and `mean`."""

    index: np.ndarray
    counts: np.ndarray
    total: int
    mean: np.ndarray


class Moments(NamedTuple):
    """`mean` [D] of a replicate, the `root` [D, D] and `trace` of its covariance."""

    mean: np.ndarray
    root: np.ndarray
    trace: float


class Frames:
    """All frames of a set, `rows` [T, D], under the draws of the clips they belong to."""

    def __init__(self, name: str, clips: Clips, draws: Draws) -> None:
        tables = [rows(f"{name} clip {index}", clip) for index, clip in enumerate(clips)]
        if len(tables) != draws.counts.shape[1]:
            raise ValueError(
                f"{name}: {len(tables)} clips, draws are for {draws.counts.shape[1]}; "
                "use Draws.of(clips) or draws.at(positions)"
            )
        for index, table in enumerate(tables):
            same_width(f"{name} clip 0", tables[0], f"clip {index}", table)
        self.name, self.clips, self.rows = name, len(tables), np.concatenate(tables)
        self._owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        self._counts = draws.counts

    def drawn(self, replicate: int) -> Drawn:
        """The frames of one replicate. Raises ValueError when it holds fewer than 2."""
        counts = self._counts[replicate][self._owner]
        index, total = np.flatnonzero(counts), int(counts.sum())
        if total < 2:
            raise ValueError(
                f"{self.name}: bootstrap replicate {replicate} holds {total} frames, expected at "
                "least 2; score more clips"
            )
        counts = counts[index].astype(np.float64)
        return Drawn(index, counts, total, counts @ self.rows[index] / total)

    def covariance(self, drawn: Drawn) -> np.ndarray:
        """Covariance [D, D] of one replicate, ddof 1."""
        spread = (self.rows[drawn.index] - drawn.mean) * np.sqrt(drawn.counts)[:, None]
        return spread.T @ spread / (drawn.total - 1)


class FrechetReference:
    """A reference set under its draws: made once, then asked for the replicates of each system."""

    def __init__(self, clips: Clips, draws: Draws) -> None:
        """Raises ValueError for frames that are not finite or draws for another set."""
        self.draws = draws
        frames = Frames("reference", clips, draws)
        # The distance does not change when both sets move; small numbers lose fewer digits.
        self._origin = frames.rows.mean(axis=0)
        frames.rows -= self._origin
        self._frames = frames
        self._moments: dict[int, Moments] = {}

    def replicates(self, clips: Clips, draws: Draws | None = None) -> Replicates:
        """The distance of `clips` to this set, and that of each replicate.

        Without `draws` the clips are those of the reference, in its order, and drawn with it.
        """
        draws = self.draws if draws is None else draws
        if len(draws.counts) != len(self.draws.counts):
            raise ValueError(
                f"bootstrap: {len(draws.counts)} replicates of the generated set and "
                f"{len(self.draws.counts)} of the reference, expected as many"
            )
        gen = Frames("generated", clips, draws)
        same_width("generated", gen.rows, "reference", self._frames.rows)
        gen.rows -= self._origin
        few = max(len(gen.rows), len(self._frames.rows)) <= gen.rows.shape[1]
        distance = _by_gram(gen, self._frames) if few else self._by_covariance(gen)
        # Threads that wait on matrices this small cost up to 15 times the work on a busy machine.
        with threadpool_limits(1, user_api="blas"):
            samples = np.array([distance(replicate) for replicate in range(len(draws.counts))])
        return Replicates(frechet_distance(gen.rows, self._frames.rows), samples, gen.clips)

    def _by_covariance(self, gen: Frames) -> Callable[[int], float]:
        def distance(replicate: int) -> float:
            drawn, ref = gen.drawn(replicate), self._reference_moments(replicate)
            covariance = gen.covariance(drawn)
            squares = np.linalg.eigvalsh(ref.root @ covariance @ ref.root)
            overlap = np.sqrt(np.maximum(squares, 0.0)).sum()
            traces = float(np.trace(covariance)) + ref.trace
            return _assemble(drawn.mean - ref.mean, traces, overlap)

        return distance

    def _reference_moments(self, replicate: int) -> Moments:
        if replicate in self._moments:
            return self._moments[replicate]
        drawn = self._frames.drawn(replicate)
        values, vectors = np.linalg.eigh(self._frames.covariance(drawn))
        values = np.maximum(values, 0.0)
        root = (vectors * np.sqrt(values)) @ vectors.T
        moments = Moments(drawn.mean, root, float(values.sum()))
        if (len(self._moments) + 1) * root.nbytes <= LARGEST_CACHE_BYTES:
            self._moments[replicate] = moments
        return moments


def frechet_interval(
    gen: Clips, ref: Clips | FrechetReference, draws: Draws, ref_draws: Draws | None = None
) -> Interval:
    """Frechet distance of `gen` to `ref` with its centred interval.

    Clip i of both sets is the same clip, drawn together, unless `ref_draws` are given.
    """
    if not isinstance(ref, FrechetReference):
        ref = FrechetReference(ref, draws if ref_draws is None else ref_draws)
    return centred_interval(ref.replicates(gen, draws))


def _by_gram(gen: Frames, ref: Frames) -> Callable[[int], float]:
    gram = gen.rows @ ref.rows.T
    gen_squares, ref_squares = (np.sum(frames.rows**2, axis=1) for frames in (gen, ref))

    def distance(replicate: int) -> float:
        one, other = gen.drawn(replicate), ref.drawn(replicate)
        products = _centred(gram[np.ix_(one.index, other.index)], one, other)
        overlap = np.linalg.svd(products, compute_uv=False).sum()
        traces = _trace(one, gen_squares) + _trace(other, ref_squares)
        return _assemble(one.mean - other.mean, traces, overlap)

    return distance


def _centred(products: np.ndarray, gen: Drawn, ref: Drawn) -> np.ndarray:
    """Dot products [k, l] of frames drawn, about both means, weighted by the roots of counts."""
    by_ref = products @ ref.counts / ref.total
    by_gen = gen.counts @ products / gen.total
    middle = products - by_ref[:, None] - by_gen + by_gen @ ref.counts / ref.total
    weights = np.sqrt(gen.counts / (gen.total - 1)), np.sqrt(ref.counts / (ref.total - 1))
    return middle * weights[0][:, None] * weights[1]


def _trace(drawn: Drawn, squares: np.ndarray) -> float:
    about_origin = drawn.counts @ squares[drawn.index]
    return float(about_origin - drawn.total * drawn.mean @ drawn.mean) / (drawn.total - 1)


def _assemble(shift: np.ndarray, traces: float, overlap: float) -> float:
    return not_negative(float(shift @ shift) + traces - 2 * float(overlap), traces)
