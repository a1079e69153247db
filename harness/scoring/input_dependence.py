"""Does the output depend on the input? A permutation test of who was given what.

A system that listens makes sounds that fit their own clip better than the clips of others. So the
mean fit of every output to its own clip is compared with that of the same outputs under random
permutations of the clips (Good, 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses).
If outputs are made without the inputs, every pairing is as likely and p is uniform.

All clips take part, also those that ask for the same events: leaving such pairs out of the
permutations would make p inexact. Only the mean fit to "others" is of clips with other content.
"""

from collections.abc import Mapping
from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np

from stabench.harness.runs.metrics_file import DependenceRecord
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import Heard
from stabench.metrics.kl import log_softmax
from stabench.metrics.registry import METRICS
from stabench.metrics.sets import class_logits

# Metrics of one output and one clip: by its recording, by its caption.
COLUMNS = ("kl", "clap")
DRAWS = 1000
# Groups of clips below which no p-value could convince.
LEAST = 10
# Clips that take part, spread evenly over all: a table of more does not fit into memory.
MOST = 4000
ROUNDING = 1e-12


class Fits(NamedTuple):
    """`values` [N, N] of a metric, output i against clip j; which `higher` ones fit better or not.

    Clips of one number in `groups` [N] share a recording; of one in `contents` [N], their events.
    """

    values: np.ndarray
    higher: bool
    groups: np.ndarray
    contents: np.ndarray

    @property
    def better(self) -> np.ndarray:
        """The values, turned so that higher is better."""
        return self.values if self.higher else -self.values


def permutation_p(
    better: np.ndarray, groups: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0
) -> float:
    """Return the p-value that outputs fit their own clips no better than those of others.

    `better` [N, N] is how well output i fits clip j, higher is better; clips of one number in
    `groups` [N] move together. All permutations of at most six groups, else `draws` random ones
    and p = (b + 1) / (draws + 1), b those that fit as well as the data: never 0 (Phipson and
    Smyth, 2010).
    """
    table = better if groups is None else _sum_groups(better, groups)
    size = len(table)
    exact = factorial(size) <= draws
    if exact:
        orders = np.array(list(permutations(range(size))))
    else:
        rng = np.random.default_rng(seed)
        orders = rng.permuted(np.tile(np.arange(size), (draws, 1)), axis=1)
    sums = np.array([table[np.arange(size), order].sum() for order in orders])
    # Equal sums in another order may differ by rounding; they count as equal.
    slack = ROUNDING * size * float(np.abs(table).max())
    extreme = int(np.count_nonzero(sums >= np.trace(table) - slack))
    return extreme / len(orders) if exact else (extreme + 1) / (draws + 1)


def _sum_groups(better: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum over the outputs of a group their mean fit to the clips of another [G, G]."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups.min() - 1))
    sizes = np.diff(starts, append=len(groups))
    if (sizes == 1).all():
        return better
    rows = np.add.reduceat(better[order][:, order], starts, axis=0)
    return np.add.reduceat(rows, starts, axis=1) / sizes


def dependence(fits: Fits, *, seed: int = 0) -> DependenceRecord:
    """Return how much better outputs fit their own clips, or why that cannot be tested."""
    clips, groups = len(fits.values), len(np.unique(fits.groups))
    if groups < LEAST:
        lack = f"needs at least {LEAST} recordings, has {groups}"
        return DependenceRecord(n=clips, reason=lack)
    apart = fits.groups[:, None] != fits.groups
    other = apart & (fits.contents[:, None] != fits.contents)
    if not other.any():
        return DependenceRecord(n=clips, reason="all clips ask for the same events")
    return DependenceRecord(
        own=float(np.mean(np.diagonal(fits.values))),
        others=float(np.mean(fits.values, where=other)),
        p_value=permutation_p(fits.better, fits.groups, seed=seed),
        n=clips,
    )


def dependences(exam: Exam, items: Mapping[str, Item], heard: Heard) -> dict[str, DependenceRecord]:
    """Return the test by every metric whose networks and clips are there, by its name."""
    tests: dict[str, DependenceRecord] = {}
    for column, fits in fit_tables(exam, items, heard).items():
        network = exam.networks[METRICS[column].needs[0]]
        # Random weights hear nothing: that outputs do not depend on the input would mean nothing.
        if network.embedder.origin.startswith("random"):
            tests[column] = DependenceRecord(n=len(fits.values), reason="random weights")
        else:
            tests[column] = dependence(fits, seed=exam.seed)
    return tests


def recordings_dependence(exam: Exam) -> dict[str, DependenceRecord]:
    """Return whether recordings fit their own captions better than others', by column.

    Where they do not, it is the network that does not fit the sounds. A recording's KL to itself
    is 0 whatever the network hears, so that column tells nothing.
    """
    tests = dependences(exam, exam.probes, exam.references)
    return {column: test for column, test in tests.items() if column != "kl"}


def fit_tables(exam: Exam, items: Mapping[str, Item], heard: Heard) -> dict[str, Fits]:
    """Return every output against every clip, by metric: the diagonal is the metric's own.

    A metric is left out where its network, its recordings or its captions are not there.
    """
    answers, tables = Answers(exam, items, heard), {}
    for column, table in zip(COLUMNS, (_measure_divergences, _measure_cosines), strict=True):
        clips = [] if exam.lack(METRICS[column]) else answers.clips(column)
        if clips:
            places = np.linspace(0, len(clips) - 1, min(len(clips), MOST)).round().astype(int)
            clips = [clips[place] for place in places]
            chosen = [items[clip] for clip in clips]
            # The clips of a sanity row are the recordings themselves.
            numbers = exam.groups.clips if items is exam.items else exam.groups.recordings
            groups = np.array([numbers[clip] for clip in clips])
            # A number for each content, the same for the same; their order means nothing.
            known: dict[frozenset[str], int] = {}
            contents = np.array(
                [
                    known.setdefault(frozenset(item.labels or item.captions), len(known))
                    for item in chosen
                ]
            )
            values = table(exam, heard, clips, chosen)
            tables[column] = Fits(values, METRICS[column].better == "higher", groups, contents)
    return tables


def _measure_divergences(
    exam: Exam, heard: Heard, clips: list[str], chosen: list[Item]
) -> np.ndarray:
    """Return KL(recordings of clip j || output i) [N, N] in nats, as metrics/kl.py has it."""
    role, epsilon = METRICS["kl"].needs[0], exam.protocol.kl_epsilon
    logits = class_logits(heard.features(role, clips)).astype(np.float64)
    log_q = log_softmax(logits)
    if epsilon is not None:
        log_q = np.log(np.exp(log_q) + epsilon)
    p, surprise = [], []
    for item in chosen:
        names = [name for name in item.references if name in exam.references.keys]
        wanted = exam.references.features(role, names)
        log_p = log_softmax(class_logits(wanted).astype(np.float64))
        p.append(np.exp(log_p).mean(axis=0))
        surprise.append((np.exp(log_p) * log_p).sum(axis=1).mean())
    return np.array(surprise) - log_q @ np.stack(p).T


def _measure_cosines(exam: Exam, heard: Heard, clips: list[str], chosen: list[Item]) -> np.ndarray:
    """Return the CLAP score of output i with the captions of clip j [N, N], as metrics/clap.py."""
    role = METRICS["clap"].needs[0]
    texts = exam.heard_captions[role]
    sounds = np.concatenate([part.embeddings for part in heard.features(role, clips)])
    captions = [
        _to_unit_length(np.stack([texts[c] for c in item.captions])).mean(axis=0) for item in chosen
    ]
    return _to_unit_length(sounds) @ np.stack(captions).T


def _to_unit_length(rows: np.ndarray) -> np.ndarray:
    """Return rows at length 1, in float64."""
    wide = rows.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
