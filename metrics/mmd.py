"""Squared maximum mean discrepancy between two sets of clips, unbiased (Gretton et al., 2012).

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y)       (their equation 3)

Means run over all pairs of frames; of the pairs within a set only a frame with itself is left out.
That is unbiased for independent frames; frames of one clip, where they are alike, raise the value
by the order of 1 / clips. It may be negative, and a set against itself is below 0, not at 0: the
last mean holds every frame with itself. The kernel is evaluated once, tile by tile, and summed over
the frames of each pair of clips; value, influences, subsets and permutations come from those sums.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from stabench.metrics.checks import Clips, check_rows, require_same_width
from stabench.metrics.sets import NotMeasurable, Tested, TwoSample

# Kernel [A, B] between every row of [A, D] and every row of [B, D], in a new array.
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
TILE = 512
PERMUTATIONS = 1000


class Pooled(NamedTuple):
    """Frames `rows` [T, D] of both sets, generated clips first; clip i has `frames[i]` of them.

    `gen` of the clips are generated; the others are the reference.
    """

    rows: np.ndarray
    frames: np.ndarray
    gen: int


class _Tile(NamedTuple):
    """Kernel `sums` between `clips` and `others`; `mirrored` if the converse is due, too."""

    clips: slice
    others: slice
    sums: np.ndarray
    mirrored: bool


def pool(gen: Clips, ref: Clips) -> Pooled:
    """Return both sets together; an array [N, D] is N clips of one frame.

    Raises ValueError for fewer than two clips, values that are not finite, or unequal widths.
    """
    gen, ref = _check_clips("generated", gen), _check_clips("reference", ref)
    require_same_width("generated", gen[0], "reference", ref[0])
    clips = gen + ref
    return Pooled(
        np.concatenate(clips, dtype=np.float64, casting="unsafe"),
        np.array([len(clip) for clip in clips]),
        len(gen),
    )


def mmd(pooled: Pooled, kernel: Kernel) -> TwoSample:
    """Return the squared discrepancy and the influence of every clip of both sets on it.

    Raises NotMeasurable, a ValueError, where the kernel overflows.

    A clip weighs as its frames do, and a frame's pair with itself stays out at every weight.
    Where both sets come from one distribution the first order vanishes and the variance that
    follows from influences is up to twice the true one, never too small.

    With the linear kernel of sets of equal clips it is |m1 - m2|^2:

    >>> mmd(pool([[[3.0]], [[3.0]]], [[[1.0]], [[1.0]]]), lambda left, right: left @ right.T).value
    4.0
    """
    toward, _ = _sum_kernel(pooled, kernel, np.empty((len(pooled.frames), 0)))
    return _derive_sample(pooled, toward)


def mmd_test(
    pooled: Pooled,
    kernel: Kernel,
    *,
    permutations: int = PERMUTATIONS,
    paired: bool = False,
    units: np.ndarray | None = None,
    seed: int = 0,
) -> Tested:
    """Test `mmd` by permutation: p is (b + 1) / (B + 1), of which 1 / (B + 1) is the least.

    Whole clips change sides, never frames; clips of one set with one number in `units` [N + M] are
    copies and change sides together. With `paired`, clip i of both sets is about the same thing
    and only such pairs are swapped. Raises ValueError for sets that cannot be paired.
    """
    random = np.random.default_rng(seed)
    if units is None:
        picks = _draw_labels(pooled.gen, len(pooled.frames), permutations, paired, random)
    else:
        sides = np.arange(len(units)) < pooled.gen
        # A unit is numbered where it first occurs: without copies the clips are the units.
        keys = [*zip(~sides, units, strict=True)]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        members = np.array([numbers[key] for key in keys])
        gen = len({*members[sides].tolist()})
        picks = _draw_labels(gen, len(numbers), permutations, paired, random)[members]
    toward, within = _sum_kernel(pooled, kernel, picks)
    whole = toward.sum(axis=1)
    across = whole @ picks - within
    beyond = whole.sum() - within - 2 * across
    count = pooled.frames @ picks
    means = _average_kernel(within, beyond, across, count, pooled.frames.sum() - count)
    values = _combine_means(means)
    # What only rounding tells apart counts as equal, or constant sets would look different.
    as_large = values[1:] >= values[0] - 1e-12 * np.abs(means[:, 0]).sum()
    return Tested(_derive_sample(pooled, toward), float(as_large.sum() + 1) / (permutations + 1))


def mmd_of_subsets(pooled: Pooled, kernel: Kernel, gen: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """Return the squared discrepancy [B] of the clips in each column of `gen` [N, B], `ref` [M, B].

    Columns hold 0 or 1. The kernel is evaluated once, however many subsets there are.
    """
    gen_picks, ref_picks = (
        np.vstack(pair) for pair in ((gen, np.zeros_like(ref)), (np.zeros_like(gen), ref))
    )
    _, sums = _sum_kernel(pooled, kernel, np.hstack([gen_picks, ref_picks, gen_picks + ref_picks]))
    within, beyond, together = np.split(sums, 3)
    across = (together - within - beyond) / 2
    counts = pooled.frames @ gen_picks, pooled.frames @ ref_picks
    return _combine_means(_average_kernel(within, beyond, across, *counts))


def _check_clips(name: str, clips: Clips) -> list[np.ndarray]:
    if isinstance(clips, np.ndarray) and clips.ndim == 2:
        clips = check_rows(name, clips)[:, None]
    if len(clips) < 2:
        raise ValueError(
            f"{name}: {len(clips)} clips, expected at least 2; score more clips together"
        )
    tables = [np.asarray(clip) for clip in clips]
    for index, table in enumerate(tables):
        check_rows(f"{name} clip {index}", table)
        require_same_width(f"{name} clip 0", tables[0], f"clip {index}", table)
    return tables


def _draw_labels(
    gen: int, clips: int, permutations: int, paired: bool, random: np.random.Generator
) -> np.ndarray:
    """Draw which of `clips`, of which `gen` are, are called generated, 0/1 [P, 1 + B].

    First as they are, then shuffled.
    """
    if permutations < 1:
        raise ValueError(f"permutation test: {permutations} permutations, expected at least 1")
    ref = clips - gen
    labels = np.repeat(np.repeat([[1.0], [0.0]], [gen, ref], axis=0), 1 + permutations, axis=1)
    shuffled = labels[:, 1:]
    if not paired:
        random.permuted(shuffled, axis=0, out=shuffled)
        return labels
    if gen != ref:
        raise ValueError(
            f"permutation test: {gen} generated and {ref} reference clips, expected as many to "
            "swap within pairs; pair them by clip id first, or leave paired=False"
        )
    shuffled[:gen] = random.integers(0, 2, size=(gen, permutations))
    shuffled[gen:] = 1 - shuffled[:gen]
    return labels


def _sum_kernel(pooled: Pooled, kernel: Kernel, picks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel sums of each clip to either set [P, 2], and within the clips of each pick [B].

    `picks` [P, B] are 0/1. The kernel is symmetric, so tiles below the diagonal are mirrored.
    """
    sides = np.zeros((len(pooled.frames), 2))
    sides[: pooled.gen, 0] = sides[pooled.gen :, 1] = 1
    toward, within = np.zeros_like(sides), np.zeros(picks.shape[1])
    for tile in _evaluate_tiles(pooled, kernel):
        toward[tile.clips] += tile.sums @ sides[tile.others]
        if tile.mirrored:
            toward[tile.others] += tile.sums.T @ sides[tile.clips]
        seen = tile.sums @ picks[tile.others]
        within += (1 + tile.mirrored) * np.einsum("pb,pb->b", picks[tile.clips], seen)
    return toward, within


def _evaluate_tiles(pooled: Pooled, kernel: Kernel) -> Iterator[_Tile]:
    owner = np.repeat(np.arange(len(pooled.frames)), pooled.frames)
    starts = range(0, len(owner), TILE)
    tiles = [slice(start, start + TILE) for start in starts]
    for number, tile in enumerate(tiles):
        for other in tiles[number:]:
            block = kernel(pooled.rows[tile], pooled.rows[other])
            if not np.isfinite(block).all():
                raise NotMeasurable(
                    "discrepancy: the kernel overflows, expected finite values; check the scale "
                    "of the embeddings"
                )
            if other is tile:
                # A frame with itself stays out: that makes the value unbiased.
                np.fill_diagonal(block, 0.0)
            ours, theirs = owner[tile], owner[other]
            sums = _sum_by_clip(_sum_by_clip(block, ours, 0), theirs, 1)
            yield _Tile(_span_clips(ours), _span_clips(theirs), sums, other is not tile)


def _sum_by_clip(block: np.ndarray, owner: np.ndarray, axis: int) -> np.ndarray:
    """Return sums over the frames of each clip along one axis."""
    firsts = np.flatnonzero(np.diff(owner, prepend=-1))
    # Where every clip is one frame, the sums are the block itself.
    return block if len(firsts) == len(owner) else np.add.reduceat(block, firsts, axis=axis)


def _span_clips(owner: np.ndarray) -> slice:
    return slice(owner[0], owner[-1] + 1)


def _average_kernel(within, beyond, across, count, other) -> np.ndarray:
    """Mean kernel [3, B] within either set and across, from sums over `count` and `other` frames"""
    return np.array(
        [within / (count * (count - 1)), beyond / (other * (other - 1)), across / (count * other)]
    )


def _combine_means(means: np.ndarray) -> np.ndarray:
    return means[0] + means[1] - 2 * means[2]


def _derive_sample(pooled: Pooled, toward: np.ndarray) -> TwoSample:
    """Derive value and influences from kernel sums of each clip to either set [P, 2]."""
    gen, ref = slice(None, pooled.gen), slice(pooled.gen, None)
    count, other = (int(pooled.frames[side].sum()) for side in (gen, ref))
    within, beyond, across = toward[gen, 0].sum(), toward[ref, 1].sum(), toward[gen, 1].sum()
    value = float(_combine_means(_average_kernel(within, beyond, across, count, other)))
    return TwoSample(
        value,
        _compute_influence(toward[gen, 0], toward[gen, 1], pooled.frames[gen], other),
        _compute_influence(toward[ref, 1], toward[ref, 0], pooled.frames[ref], count),
    )


def _compute_influence(
    inside: np.ndarray, across: np.ndarray, frames: np.ndarray, other: int
) -> np.ndarray:
    """Return the influence [N] of a set's clips from kernel sums inside it and across."""
    total = frames.sum()
    share = frames / total
    moved = (inside - share * inside.sum()) / (total - 1) - (across - share * across.sum()) / other
    return 2 * len(frames) / total * moved
