"""The extremes: the clips that a system did best and worst, to be listened to first."""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite, nan

from harness.figures import figure
from harness.metrics_file import ColumnRecord, MetricsFile, SystemRecord
from harness.page import Grid, Head, Line, Printed, Section

JUDGES = ("kl", "clap")
"""Columns by which clips are ranked, as far as they were measured."""
SHOWN = 5
FEWEST = 4 * SHOWN
"""With fewer clips there is nothing to choose."""


def extremes(
    metrics: MetricsFile, captions: Mapping[str, str], random: Collection[str] = ()
) -> Section | None:
    """The best and worst clips of each system by each judge, with their captions where known.

    `random` are systems on random weights: they have no quality.
    """
    lines: list[Line] = []
    judges = [column for column in JUDGES if column in metrics.columns]
    for system in (one for name, one in metrics.systems.items() if name not in random):
        for column in judges:
            ranked = _ranked(system, column, metrics.columns[column])
            if len(ranked) >= FEWEST:
                lines.append(Line(heading=f"{system.label}, by {metrics.columns[column].label}"))
                lines += _lines("best", ranked[:SHOWN], system, judges, metrics, captions)
                lines += _lines(
                    "worst", ranked[: -SHOWN - 1 : -1], system, judges, metrics, captions
                )
    if not lines:
        return None
    heads = ("", "Clip", *(metrics.columns[column].label for column in judges), "Caption")
    text = ("The clips to listen to first; all of them are in clips.parquet.",)
    return Section(
        "Best and worst clips", text, Grid(tuple(map(Head, heads)), tuple(lines)), only="markdown"
    )


def _ranked(system: SystemRecord, column: str, about: ColumnRecord) -> list[str]:
    """Clips, the best first; equal ones by id."""
    values = {
        clip: found[column]
        for clip, found in system.per_clip.items()
        if isfinite(found.get(column, nan))
    }
    sign = -1 if about.better == "higher" else 1
    return sorted(values, key=lambda clip: (sign * values[clip], clip))


def _lines(
    which: str,
    clips: Sequence[str],
    system: SystemRecord,
    judges: Sequence[str],
    metrics: MetricsFile,
    captions: Mapping[str, str],
) -> list[Line]:
    lines = []
    for clip in clips:
        found = system.per_clip[clip]
        numbers = [
            figure(found[column], metrics.columns[column].digits)
            if isfinite(found.get(column, nan))
            else ""
            for column in judges
        ]
        cells = (which, clip, *numbers, captions.get(clip, ""))
        lines.append(Line(tuple(map(Printed, cells))))
    return lines
