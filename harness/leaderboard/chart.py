"""Charts of a board: quality against latency, drawn as in a report (report/html/scatter.py).

Only what a check recomputed over all clips is drawn: a claim would move the front.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from stabench.harness.leaderboard.entries import Entry
from stabench.harness.leaderboard.tables import MOST_DIGITS, QUALITY, Board, hardware
from stabench.harness.report.html.scatter import (
    Chart,
    First,
    Pair,
    assign_markers,
    choose_first,
    draw_chart,
    find_front,
    name_latencies,
)
from stabench.harness.report.table import Row
from stabench.harness.runs.journal import JOINED
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import TOTAL, UNSTATED, Column, Task, load_task

CLAIMED = "claimed: no check has recomputed it"


class Drawing(NamedTuple):
    """The charts of one machine's latencies, that of the metric `first` before all others."""

    machine: str
    latency: str
    first: First
    charts: tuple[Chart, ...]
    markers: dict[str, str]
    told: tuple[str, ...]


def draw_board(board: Board, number: int) -> list[Drawing]:
    """Return a drawing for each machine on which two checked systems of a board were timed.

    `number` is the board's in its page, where no two charts may have one address.
    """
    members = [line.entry for line in board.lines]
    task = load_task(members[0].submission.suite.task)
    by_machine: dict[str, list[Entry]] = {}
    for entry in members:
        by_machine.setdefault(hardware(entry.submission.hardware), []).append(entry)
    drawings = []
    for place, (machine, entries) in enumerate(sorted(by_machine.items())):
        pairs_by_column = [
            (column, _pair_numbers(column.key, most, entries, task))
            for column, most in _list_columns(board, members)
        ]
        charts = [
            _draw(column, pairs, task, f"{number}-{place}")
            for column, pairs in pairs_by_column
            if len(_list_drawn(pairs)) > 1
        ]
        separated = {column.key: _count_apart(pairs, task) for column, pairs in pairs_by_column}
        rivals = [e for e in entries if e.submission.system.paradigm not in task.told]
        most_pairs = len(rivals) * (len(rivals) - 1) // 2
        first = choose_first(charts, separated, most_pairs, "intervals that do not overlap")
        if first is not None:
            charts.sort(key=lambda chart: chart.metric != first.metric)
            label = name_latencies(task)[TOTAL.key]
            markers = assign_markers(task)
            drawings.append(Drawing(machine, label, first, tuple(charts), markers, task.told))
    return drawings


def _list_columns(board: Board, members: Sequence[Entry]) -> Iterator[tuple[Column, int]]:
    """Yield the board's columns of quality, with the most clips over which one was recomputed."""
    for head in (head for head in board.heads if head.group == QUALITY):
        key = head.key
        cards = [e.submission.metrics[key] for e in members if key in e.submission.metrics]
        unit = f" ({cards[0].unit})" if cards[0].unit else ""
        # As in the table: digits are the submitter's claim.
        digits = min(max(card.digits for card in cards), MOST_DIGITS)
        checked = (e.submission.metrics[key].n for e in members if e.recomputed(key))
        column = Column(key, f"{cards[0].label}{unit}", "", head.better, digits, "quality")
        yield column, max(checked, default=0)


def _pair_numbers(key: str, most: int, entries: Sequence[Entry], task: Task) -> list[Pair]:
    """Return a metric and the time of every entry, each with a value or why there is none."""
    labels = Counter(entry.submission.system.label for entry in entries)
    pairs = []
    for entry in entries:
        system = entry.submission.system
        # Two versions of a system are told apart.
        alone = labels[system.label] == 1
        label = system.label if alone else f"{system.label}, {system.version}"
        paradigm = system.paradigm if system.paradigm in task.paradigms else UNSTATED
        n, failed = len(entry.submission.outputs), len(entry.submission.failed)
        row = Row(entry.id, label, paradigm, n, failed, {})
        pairs.append(Pair(row, _read_total(entry, task), _read_quality(entry, key, most)))
    return pairs


def _read_quality(entry: Entry, key: str, most: int) -> Estimate:
    """Return a metric as it holds a place: recomputed, over as many clips as any other's."""
    card = entry.submission.metrics.get(key)
    if card is None or card.value is None:
        return Estimate.missing((card and card.reason) or "not measured")
    if not entry.recomputed(key):
        return Estimate.missing(CLAIMED)
    if card.n < most:
        return Estimate.missing(f"{card.n} of {most} clips")
    return Estimate(card.value, card.low, card.high, card.n)


def _read_total(entry: Entry, task: Task) -> Estimate:
    """Return the mean time of a clip in all phases, ms.

    Means add up. The ends of the intervals are added up too, which is as wide as the interval of
    the sum can be (phases that vary together), and wider where they do not.
    """
    claim = entry.submission
    phases = claim.latency.phases
    if not entry.timed:
        return Estimate.missing(CLAIMED if phases else claim.latency.reason or "not timed")
    if set(JOINED.join(phases).split(JOINED)) != set(task.phase_names):
        return Estimate.missing("not timed in every phase")
    counts = {phase.clips for phase in phases.values()}
    if counts != {claim.dataset.clips}:
        return Estimate.missing(f"timed on {min(counts)} of {claim.dataset.clips} clips")
    means = [phase.mean_ns for phase in phases.values()]
    lows = [mean.low for mean in means if mean.low is not None]
    highs = [mean.high for mean in means if mean.high is not None]
    whole = len(lows) == len(highs) == len(means)
    low, high = (sum(lows), sum(highs)) if whole else (None, None)
    total_ns = sum(mean.value for mean in means)
    return Estimate(total_ns, low, high, claim.dataset.clips).scaled(1e-6)


def _list_drawn(pairs: Sequence[Pair]) -> list[Pair]:
    return [
        pair for pair in pairs if pair.latency.value is not None and pair.quality.value is not None
    ]


def _draw(column: Column, pairs: Sequence[Pair], task: Task, key: str) -> Chart:
    shown = _list_drawn(pairs)
    missing = []
    for pair in (pair for pair in pairs if pair not in shown):
        number = pair.quality if pair.quality.value is None else pair.latency
        missing.append(f"{pair.row.label} ({number.reason})")
    front = find_front(shown, column.better, task.told)
    label = name_latencies(task)[TOTAL.key]
    return draw_chart(column, label, key, shown, front, tuple(missing))


def _count_apart(pairs: Sequence[Pair], task: Task) -> int:
    """Return how many pairs of competing systems have intervals that do not overlap."""
    ends = [
        (pair.quality.low, pair.quality.high)
        for pair in _list_drawn(pairs)
        if pair.row.paradigm not in task.told
    ]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    return sum(a[1] < b[0] or b[1] < a[0] for a, b in combinations(known, 2))
