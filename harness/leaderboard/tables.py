"""Tables of the leaderboard: one for each provenance, so that what is in it is comparable."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stabench.harness.formatting import NOTHING, decimals, figure, interval
from stabench.harness.leaderboard.entries import Entry
from stabench.harness.stats.ranks import Ends, Rank, ranks
from stabench.harness.submission.schema import (
    HardwareCard,
    MetricCard,
    Number,
    PhaseCard,
    Submission,
)
from stabench.harness.tasks.task import Better, load_task

MOST_DIGITS = 4
QUALITY = "Quality"


class Head(NamedTuple):
    """One column: its `group` is quality, or the hardware of a latency."""

    key: str
    title: str
    group: str
    better: Better


class Place(NamedTuple):
    """One cell. `sort` is its value, `rank` its places, `claimed` that no check recomputed it.

    `under` is its interval, or why there is no value; `n` is said where clips are missing.
    """

    text: str = NOTHING
    under: str = ""
    sort: float | None = None
    rank: Rank | None = None
    claimed: bool = False
    n: str = ""


class Line(NamedTuple):
    """One system's row."""

    entry: Entry
    places: tuple[Place, ...]


class Board(NamedTuple):
    """One table, and the `facts` that all its numbers share."""

    title: str
    facts: dict[str, str]
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Groups of columns in order, each with its width."""
        widths: dict[str, int] = {}
        for head in self.heads:
            widths[head.group] = widths.get(head.group, 0) + 1
        return tuple(widths.items())


def boards(entries: Iterable[Entry]) -> list[Board]:
    """Make the tables, by suite. An entry joins the first whose facts its own do not contradict.

    Audited entries come first, so that no claim decides what a table holds.
    """
    tables: list[tuple[dict[str, str], list[Entry]]] = []

    def order(entry: Entry) -> tuple[str, bool, str]:
        return entry.submission.suite.name, entry.verdict is None, entry.id

    # A fact that one of two entries does not state contradicts nothing, so an entry may fit into
    # several tables: the fixed order makes the same entries give the same tables.
    for entry in sorted(entries, key=order):
        stated = facts(entry.submission)
        fitting = (
            table
            for table in tables
            if all(table[0].get(key, fact) == fact for key, fact in stated.items())
        )
        shared, members = next(fitting, ({}, []))
        if not members:
            tables.append((shared, members))
        shared.update(stated)
        members.append(entry)
    return _number_titles([_make_board(shared, members) for shared, members in tables])


def _number_titles(tables: list[Board]) -> list[Board]:
    """Return the same tables; the second of a title says that it is of other judges or rules."""
    titles = [board.title for board in tables]
    times = [titles[: index + 1].count(title) for index, title in enumerate(titles)]
    return [
        board._replace(title=f"{board.title}, other judges or rules ({time})")
        if time > 1
        else board
        for board, time in zip(tables, times, strict=True)
    ]


def facts(submission: Submission) -> dict[str, str]:
    """Return what numbers must agree in to be in one table."""
    suite, data, scoring = submission.suite, submission.dataset, submission.scoring
    return {
        "suite": f"{suite.name}, sha256 {suite.digest}",
        "dataset": f"{data.name} {data.version}, {data.clips} clips, sha256 {data.digest}",
        "protocol": f"{scoring.protocol.name} {scoring.protocol.version}, sha256 "
        f"{scoring.protocol.digest}",
        **{
            f"network {role}": f"{net.name}, identity {net.identity}, {net.precision}"
            for role, net in sorted(scoring.embedders.items())
        },
        **{
            f"column {key}": f"{card.label}, version {card.version}, {card.better} is better"
            + (f", {card.unit}" if card.unit else "")
            for key, card in sorted(submission.metrics.items())
        },
    }


def hardware(card: HardwareCard) -> str:
    """Return what two latencies must share to be compared."""
    cpu = f"{card.cpu}, {card.threads} of {card.cpu_cores} cores"
    if card.device == "cpu":
        return cpu
    gpus = ", ".join(gpu.name for gpu in card.gpus[:1]) or "a GPU of unknown name"
    return f"{gpus}, with {cpu}"


def _make_board(shared: dict[str, str], members: Sequence[Entry]) -> Board:
    first = members[0].submission
    columns = [*_make_quality_columns(members), *_make_latency_columns(members)]
    return Board(
        f"{first.suite.name}: {first.dataset.name} {first.dataset.version}, "
        f"{first.dataset.clips} clips, protocol {first.scoring.protocol.title}",
        shared,
        tuple(head for head, _ in columns),
        _order_lines(members, [places for _, places in columns]),
    )


def _order_lines(members: Sequence[Entry], columns: list[list[Place]]) -> tuple[Line, ...]:
    """Order rows by their places in the first column that has any, those without one last."""
    first = next((places for places in columns if any(place.rank for place in places)), None)
    rows = list(zip(*columns, strict=True)) if columns else [() for _ in members]
    lines = [Line(entry, places) for entry, places in zip(members, rows, strict=True)]

    def order(index: int) -> tuple[object, ...]:
        rank = first[index].rank if first else None
        label = members[index].submission.system.label
        return rank is None, rank or (), members[index].verdict is None, label, members[index].id

    return tuple(lines[index] for index in sorted(range(len(lines)), key=order))


def _make_quality_columns(members: Sequence[Entry]) -> Iterator[tuple[Head, list[Place]]]:
    task = load_task(members[0].submission.suite.task)
    known = [column.key for column in task.columns]
    keys = {key: None for entry in members for key in entry.submission.metrics}
    # Columns that the task knows in its order, then all others as they come.
    for key in sorted(keys, key=lambda key: known.index(key) if key in known else len(known)):
        cards = [entry.submission.metrics.get(key) for entry in members]
        first = next(card for card in cards if card)
        # Digits are the submitter's claim: a large one must not fill the table.
        digits = min(max(card.digits for card in cards if card), MOST_DIGITS)
        arrow = "\N{DOWNWARDS ARROW}" if first.better == "lower" else "\N{UPWARDS ARROW}"
        unit = f" ({first.unit})" if first.unit else ""
        places = [
            _format_metric(entry, key, card, digits)
            for entry, card in zip(members, cards, strict=True)
        ]
        checked = (entry.submission.metrics[key].n for entry in members if entry.recomputed(key))
        most = max(checked, default=0)
        # Ranked is what a check recomputed, over as many clips as any other's: values of fewer
        # clips are of other content, and FAD, FD and IS depend on the number itself.
        ends = [
            _find_ends(entry, card)
            if card and card.value is not None and card.n >= most and entry.recomputed(key)
            else None
            for entry, card in zip(members, cards, strict=True)
        ]
        head = Head(key, f"{first.label}{unit} {arrow}", QUALITY, first.better)
        yield head, _rank_places(places, ends, first.better)


def _format_metric(entry: Entry, key: str, card: MetricCard | None, digits: int) -> Place:
    if card is None or card.value is None:
        return Place(under=(card and card.reason) or "not measured")
    whole = entry.submission.dataset.clips
    n = f"n {card.n}" if card.n != whole else ""
    ends = interval(card.low, card.high, digits)
    claimed = not entry.recomputed(key)
    return Place(figure(card.value, digits), ends, card.value, None, claimed, n)


def _find_ends(entry: Entry, number: MetricCard | Number) -> Ends | None:
    submission = entry.submission
    # Who reads the true caption holds no place.
    unranked = submission.system.paradigm in load_task(submission.suite.task).told
    if unranked or number.low is None or number.high is None:
        return None
    return Ends(number.low, number.high)


def _rank_places(places: list[Place], ends: list[Ends | None], better: Better) -> list[Place]:
    """Give places to those that have an interval to rank; a single one gets none."""
    rankable = [pair for pair in ends if pair]
    # Alone, a system would hold the first place with nobody behind it.
    if len(rankable) < 2:
        return places
    ranked = iter(ranks(rankable, better))
    return [
        place._replace(rank=next(ranked)) if pair else place
        for place, pair in zip(places, ends, strict=True)
    ]


def _make_latency_columns(members: Sequence[Entry]) -> Iterator[tuple[Head, list[Place]]]:
    """Medians, a group of columns for each hardware."""
    cards = [entry.submission for entry in members]
    machines = {
        hardware(card.hardware)
        for card in cards
        if any(phase.median_ns for phase in card.latency.phases.values())
    }
    for machine in sorted(machines):
        for phase, column, unit_ns in load_task(cards[0].suite.task).phases:
            here = [card if hardware(card.hardware) == machine else None for card in cards]
            times = [card.latency.phases.get(phase) if card else None for card in here]
            medians = [time.median_ns.value / unit_ns for time in times if time and time.median_ns]
            if not medians:
                continue
            digits = decimals(medians)
            pairs = list(zip(members, times, strict=True))
            places = [_format_time(entry, time, unit_ns, digits) for entry, time in pairs]
            # Ranked is what a check recomputed, over all clips: failing on slow ones is not faster.
            ends = [
                _find_ends(entry, time.median_ns)
                if time
                and time.median_ns
                and entry.timed
                and time.clips >= entry.submission.dataset.clips
                else None
                for entry, time in pairs
            ]
            title = f"{column.label}, median ({column.unit}) \N{DOWNWARDS ARROW}"
            head = Head(f"{column.key} {machine}", title, f"Latency on {machine}", "lower")
            yield head, _rank_places(places, ends, "lower")


def _format_time(entry: Entry, phase: PhaseCard | None, unit_ns: float, digits: int) -> Place:
    if phase is None or phase.median_ns is None:
        return Place()
    median, whole = phase.median_ns, entry.submission.dataset.clips
    value = median.value / unit_ns
    low, high = (end if end is None else end / unit_ns for end in (median.low, median.high))
    n = f"n {phase.clips}" if phase.clips != whole else ""
    ends = interval(low, high, digits)
    return Place(figure(value, digits), ends, value, None, not entry.timed, n)
