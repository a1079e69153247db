"""The figures of a paper's table beside those of a run: cells, ratios of times, claims."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from stabench.harness.report.table import Table
from stabench.harness.reproduce.matching import (
    Standing,
    explain_latency,
    explain_quality,
    find_standings,
)
from stabench.harness.reproduce.paper import Claim, Column, Conditions, Paper, PaperRow
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED
from stabench.harness.stats.estimate import Estimate

Kind = Literal["cell", "ratio", "claim"]
Outcome = Literal["reproduced", "off", "not comparable", "not run", "not rated"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "off", "not comparable", "not run", "not rated")
Z = 1.96
"""Sigmas from the middle of a normal distribution to the ends of its 95 % interval."""
NO_INTERVAL = "the run's figure has no interval"


class Published(NamedTuple):
    """A published figure and the ends of what it can be before rounding; None: a printed dash."""

    value: float | None
    low: float
    high: float
    digits: int
    unit: str = ""
    pm: float | None = None


class Verdict(NamedTuple):
    """One figure of a paper beside one system of a run.

    `group` and `figure` say which figure it is, `systems` whose are the run's. `sigmas` are with
    outcome "off", `reasons` with the last three outcomes.
    """

    kind: Kind
    group: str
    figure: str
    published: Published
    systems: tuple[str, ...]
    run: Estimate
    outcome: Outcome
    sigmas: float | None = None
    reasons: tuple[str, ...] = ()


def make_published(
    value: float | None, digits: int, unit: str = "", pm: float | None = None
) -> Published:
    """A figure as a paper prints it, with `digits` decimals."""
    if value is None:
        return Published(None, 0.0, 0.0, digits, unit)
    half = 0.5 * 10.0**-digits
    return Published(value, value - half, value + half, digits, unit, pm)


def judge(published: Published, run: Estimate) -> tuple[Outcome, float | None, tuple[str, ...]]:
    """Outcome, sigmas and reasons of two figures that may be compared."""
    if published.value is None:
        raise ValueError("judge: there is no published figure")
    if run.value is None:
        return "not run", None, (run.reason or "not measured",)
    if run.low is None or run.high is None:
        return "not comparable", None, (run.reason or NO_INTERVAL,)
    if published.low <= run.high and run.low <= published.high:
        return "reproduced", None, ()
    below = published.high < run.low
    distance = run.value - published.high if below else published.low - run.value
    reach = run.value - run.low if below else run.high - run.value
    if reach <= 0:
        return "not comparable", None, (NO_INTERVAL,)
    return "off", Z * distance / reach, ()


RATIO_DIGITS = 3
NO_SYSTEM = "no system of the run stands for it"
NOT_RATED = "the paper prints a dash: its listeners did not rate this system"
NO_SUITE = "scored from folders, which name no system"


def judge_paper(paper: Paper, results: Results, table: Table) -> list[Verdict]:
    """Every figure of the paper: its cells row by row, then its ratios, then its claims."""
    cells = [
        verdict
        for row in paper.rows
        for column in paper.columns
        for verdict in _judge_cell(paper, row, column, results, table)
    ]
    ratios = [
        verdict
        for ratio in paper.ratios
        for over in ratio.over
        for verdict in _judge_ratio(paper, ratio.column, ratio.of, over, results)
    ]
    return [
        *cells,
        *ratios,
        *(v for claim in paper.claims for v in _judge_claim(paper, claim, results)),
    ]


def _judge_cell(
    paper: Paper, row: PaperRow, column: Column, results: Results, table: Table
) -> Iterator[Verdict]:
    """One cell beside each system that stands for its row."""
    cell = row.cells.get(column.key)
    if cell is None:
        dash = make_published(None, column.digits, column.unit)
        verdict = _make_not_run("cell", row.label, column.label, dash, (NOT_RATED,))
        yield verdict._replace(outcome="not rated")
        return
    published = make_published(cell.value, column.digits, column.unit, cell.pm)
    standings = find_standings(row, results)
    if column.kind == "unmeasured" or not standings:
        why = column.why or _nobody(results)
        yield _make_not_run("cell", row.label, column.label, published, (why,))
        return
    rows = {one.system: one for one in table.rows if one.paradigm != "sanity"}
    for one in standings:
        estimate = rows[one.use.name].cells.get(column.key)
        run, reasons = _find_measured(paper.conditions, results, row, one, column, estimate)
        yield _judge_beside(
            "cell", row.label, column.label, published, (one.use.name,), run, reasons
        )


def _find_measured(
    conditions: Conditions | None,
    results: Results,
    row: PaperRow,
    use: Standing,
    column: Column,
    cell: Estimate | None,
) -> tuple[Estimate, tuple[str, ...]]:
    """The run's figure of a cell, and why it is not to be compared."""
    if cell is None or conditions is None:
        return Estimate.missing("not scored in this run"), ()
    if column.kind == "latency":
        return cell, (conditions.hardware,)
    if cell.value is None and cell.reason == REFUSED:
        return cell, (REFUSED,)
    if results.metrics is None or column.key not in results.metrics.columns:
        return cell, ()
    return cell, tuple(explain_quality(conditions, results, row, use, column.key, cell))


def _nobody(results: Results) -> str:
    return NO_SUITE if results.run is None else NO_SYSTEM


def _judge_ratio(paper: Paper, key: str, of: str, over: str, results: Results) -> Iterator[Verdict]:
    """One ratio beside each pair of systems that stand for its two rows."""
    column, rows = paper.column(key), (paper.row(of), paper.row(over))
    published = _divide_published(column, *rows)
    figure = f"{column.label}, over {rows[1].label}"
    yield from _judge_pairs(paper, "ratio", rows, figure, published, key, results)


def _judge_claim(paper: Paper, claim: Claim, results: Results) -> Iterator[Verdict]:
    """A claim as it is worded, and as the table's own figures give it."""
    rows = paper.row(claim.of), paper.row(claim.over)
    worded = make_published(claim.value, claim.digits, claim.unit)
    quoted = f"\N{LEFT DOUBLE QUOTATION MARK}{claim.quote}\N{RIGHT DOUBLE QUOTATION MARK}"
    yield from _judge_pairs(paper, "claim", rows, quoted, worded, claim.column, results)
    exact = _divide_published(paper.column(claim.column), *rows)
    computed = _reduce(Estimate(exact.value, exact.low, exact.high))
    if computed.value is None or computed.low is None or computed.high is None:
        return
    ends = Published(computed.value, computed.low, computed.high, claim.digits, claim.unit)
    label = f"the same, 100 (1 \N{MINUS SIGN} {rows[0].label} / {rows[1].label}) of the table"
    yield from _judge_pairs(paper, "claim", rows, label, ends, claim.column, results)


def _judge_pairs(
    paper: Paper,
    kind: Kind,
    rows: tuple[PaperRow, PaperRow],
    figure: str,
    published: Published,
    column: str,
    results: Results,
) -> Iterator[Verdict]:
    """Beside each pair of systems of the run: their ratio, or for a claim the reduction."""
    group = f"{'Ratios' if kind == 'ratio' else 'Claims'}: {rows[0].label}"
    above, below = find_standings(rows[0], results), find_standings(rows[1], results)
    if not (above and below):
        lacking = [
            row.label for row, standings in zip(rows, (above, below), strict=True) if not standings
        ]
        why = NO_SUITE if results.run is None else f"{NO_SYSTEM}: {', '.join(lacking)}"
        yield _make_not_run(kind, group, figure, published, (why,))
        return
    if results.untimed:
        yield _make_not_run(kind, group, figure, published, (results.untimed,))
        return
    phase = results.task.phase_of(column)
    if phase is None:
        lack = f"the task {results.task.name} does not time {column}"
        yield _make_not_run(kind, group, figure, published, (lack,))
        return
    conditions = paper.conditions
    assert conditions is not None, "Paper asks for them with a ratio or a claim"
    for a in above:
        for b in below:
            run = results.latency_ratio(a.use.name, b.use.name, phase.name)
            reasons = [
                reason
                for row, one in zip(rows, (a, b), strict=True)
                for reason in explain_latency(conditions, results, row, one)
            ]
            figure_of_run = run if kind == "ratio" else _reduce(run)
            names = (a.use.name, b.use.name)
            yield _judge_beside(
                kind, group, figure, published, names, figure_of_run, tuple(dict.fromkeys(reasons))
            )


def _judge_beside(
    kind: Kind,
    group: str,
    figure: str,
    published: Published,
    systems: tuple[str, ...],
    run: Estimate,
    reasons: Sequence[str],
) -> Verdict:
    """The verdict: reasons against a comparison come first, then that there is nothing to judge."""
    if reasons:
        why = (*reasons, *([run.reason] if run.value is None and run.reason else []))
        why = tuple(dict.fromkeys(why))
        return Verdict(kind, group, figure, published, systems, run, "not comparable", reasons=why)
    outcome, sigmas, why = judge(published, run)
    return Verdict(kind, group, figure, published, systems, run, outcome, sigmas, why)


def _make_not_run(
    kind: Kind, group: str, figure: str, published: Published, reasons: tuple[str, ...]
) -> Verdict:
    run = Estimate.missing(reasons[0])
    return Verdict(kind, group, figure, published, (), run, "not run", reasons=reasons)


def _divide_published(column: Column, of: PaperRow, over: PaperRow) -> Published:
    """The ratio of two cells, between the ends that their rounding allows."""
    above = make_published(of.cells[column.key].value, column.digits)
    below = make_published(over.cells[column.key].value, column.digits)
    value = of.cells[column.key].value / over.cells[column.key].value
    return Published(value, above.low / below.high, above.high / below.low, RATIO_DIGITS)


def _reduce(ratio: Estimate) -> Estimate:
    """A ratio as a reduction in percent."""
    value, high, low = (None if end is None else 100 * (1 - end) for end in ratio[:3])
    return ratio._replace(value=value, low=low, high=high)
