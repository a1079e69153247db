"""The figures of a run of probes: mAP with its interval, and the differences between probes.

All probes are judged on the same test clips and share one set of draws, so that what is hard about
a clip cancels in a difference (stats/bootstrap.py).
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from stabench.harness import files
from stabench.harness.errors import StabenchError
from stabench.harness.probing.corpus import SPLITS, load_corpus
from stabench.harness.probing.run_file import (
    FIGURES,
    Difference,
    Figures,
    ProbeFigure,
    ProbeRecord,
    ProbeRun,
)
from stabench.harness.stats.bootstrap import (
    Draws,
    Statistic,
    bound,
    difference,
    interval,
    shares,
)
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites.probes import Bridge, ProbeSuite
from stabench.metrics.average_precision import MEAN_AVERAGE_PRECISION, mean_average_precision
from stabench.metrics.sets import NotMeasurable

Key = tuple[str, Bridge]


class _Judged(NamedTuple):
    figure: ProbeFigure
    statistic: Statistic | None


def make_figures(run: ProbeRun) -> Figures:
    """Judge every probe of a run, write probes.json, return it.

    Raises StabenchError for logits that are not of the test clips.
    """
    suite = run.record.probes
    corpus = load_corpus(suite)
    splits = {split: corpus.read(split) for split in SPLITS}
    test = splits["test"]
    draws = Draws.of(len(test.ids), replicates=suite.probes.bootstrap, seed=suite.probes.seed)
    judged = {
        (use.name, bridge): _judge(run, (use.name, bridge), test.ids, test.labels, draws)
        for use, bridge in product(suite.encoders, suite.probes.bridges)
    }
    figures = Figures(
        suite=suite.name,
        metric=MEAN_AVERAGE_PRECISION.name,
        metric_version=MEAN_AVERAGE_PRECISION.version,
        corpus=corpus.name,
        corpus_version=corpus.version,
        classes=len(corpus.classes),
        present=int(test.labels.any(axis=0).sum()),
        clips={split: len(part.ids) for split, part in splits.items()},
        seed=suite.probes.seed,
        bootstrap=suite.probes.bootstrap,
        probes=tuple(each.figure for each in judged.values()),
        differences=tuple(
            Difference(a=a, b=b, difference=interval(difference(left, right), draws))
            for a, b in list_pairs(suite)
            if (left := judged[a].statistic) and (right := judged[b].statistic)
        ),
    )
    files.write_json(run.path / FIGURES, figures.model_dump(mode="json", by_alias=True))
    return figures


def list_pairs(suite: ProbeSuite) -> Iterator[tuple[Key, Key]]:
    """Yield the probes to compare: with each bridge the first speech encoder and every other one,
    then both bridges of each encoder."""
    bridges, speech = suite.probes.bridges, [u for u in suite.encoders if u.reads == "speech"]
    first = (speech or suite.encoders)[0]
    for bridge, use in product(bridges, suite.encoders):
        if use is not first:
            yield (first.name, bridge), (use.name, bridge)
    for use in suite.encoders if len(bridges) > 1 else ():
        yield (use.name, bridges[1]), (use.name, bridges[0])


def _judge(
    run: ProbeRun, key: Key, ids: tuple[str, ...], labels: np.ndarray, draws: Draws
) -> _Judged:
    probe = run.read_probe(*key) or ProbeRecord(
        encoder=key[0], bridge=key[1], error="not trained yet"
    )
    if probe.error:
        missing = Estimate.missing(probe.error, len(ids))
        return _Judged(ProbeFigure(**dict(probe), cell=missing), None)
    path = run.probe_path(*key).with_suffix(".npy")
    try:
        logits = np.load(path)
    except (OSError, ValueError) as error:
        raise StabenchError(
            f"{path}: no logits ({error}); delete {path.stem}.json and resume"
        ) from None
    if logits.shape != labels.shape:
        raise StabenchError(
            f"{path}: logits of shape {logits.shape}, the test split has {labels.shape}: the "
            "corpus has changed; start a new run"
        )
    try:
        row = mean_average_precision(logits, labels)
    except NotMeasurable as error:
        cell = Estimate.missing(str(error), len(ids))
        return _Judged(ProbeFigure(**dict(probe), cell=cell), None)
    parts = shares(row.influence, np.arange(len(ids)), len(ids))
    statistic = Statistic(row.value, parts, len(ids))
    limits = MEAN_AVERAGE_PRECISION.lowest, MEAN_AVERAGE_PRECISION.highest
    cell = bound(interval(statistic, draws), len(ids), *limits)
    # Their mean is mAP: what a comparison of two runs pairs (compare/evidence.py).
    values = dict(zip(ids, (row.value + row.influence).tolist(), strict=True))
    return _Judged(ProbeFigure(**dict(probe), cell=cell, per_clip=values), statistic)
