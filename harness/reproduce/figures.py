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
from stabench.harness.reproduce.paper import Claim, Column, Paper, PaperRow
from stabench.harness.reproduce.published import is_trained
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED
from stabench.harness.stats.estimate import Estimate

Kind = Literal["cell", "ratio", "claim"]
Outcome = Literal["reproduced", "off", "not comparable", "not run", "not rated"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "off", "not comparable", "not run", "not rated")
# Sigmas from the middle of a normal distribution to the ends of its 95 % interval.
Z = 1.96
NO_INTERVAL = "the run's figure has no interval"


class Published(NamedTuple):
    """A published figure and the ends of what it can be before rounding; None: a printed dash.

    `below`: the paper prints only that it is less. `trained`: the system was trained on the metric.
    """

    value: float | None
    low: float
    high: float
    digits: int
    unit: str = ""
    pm: float | None = None
    below: bool = False
    trained: bool = False


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
    """Return a figure as a paper prints it, with `digits` decimals."""
    if value is None:
        return Published(None, 0.0, 0.0, digits, unit)
    # What rounds to the printed figure lies within half of its last digit.
    half = 0.5 * 10.0**-digits
    return Published(value, value - half, value + half, digits, unit, pm)


def judge(published: Published, run: Estimate) -> tuple[Outcome, float | None, tuple[str, ...]]:
    """Return outcome, sigmas and reasons of two figures that may be compared.

    Raises ValueError without a published figure.
    """
    if published.value is None:
        raise ValueError("judge: there is no published figure")
    if run.value is None:
        return "not run", None, (run.reason or "not measured",)
    if run.low is None or run.high is None:
        return "not comparable", None, (run.reason or NO_INTERVAL,)
    if published.low <= run.high and run.low <= published.high:
        return "reproduced", None, ()
    # The half of the interval on the side of the published figure: intervals may be skewed.
    below = published.high < run.low
    distance = run.value - published.high if below else published.low - run.value
    reach = run.value - run.low if below else run.high - run.value
    if reach <= 0:
        return "not comparable", None, (NO_INTERVAL,)
    return "off", Z * distance / reach, ()


RATIO_DIGITS = 3
NO_SYSTEM = "no system of the run stands for it"
NOT_RATED = "the paper prints a dash: its listeners did not rate this system"
NO_FIGURE = "the paper prints no figure of this system here"
# Columns of listeners' scores.
LISTENERS = ("ovl", "rel")
NO_SUITE = "scored from folders, which name no system"


def judge_paper(paper: Paper, results: Results, table: Table) -> list[Verdict]:
    """Judge every figure of the paper: its cells row by row, its ratios, then its claims."""
    cells = [
        verdict
        for row in paper.rows
        for column in paper.columns
        for verdict in _judge_cell(paper, row, column, results, table)
    ]
    ratios: list[Verdict] = []
    for ratio in paper.ratios:
        column = paper.column(ratio.column)
        for name in ratio.over:
            rows = paper.row(ratio.of), paper.row(name)
            published = _divide_published(column, *rows)
            figure = f"{column.label}, over {rows[1].label}"
            ratios += _judge_pairs(paper, "ratio", rows, figure, published, column.key, results)
    claims = [v for claim in paper.claims for v in _judge_claim(paper, claim, results)]
    return [*cells, *ratios, *claims]


def _judge_cell(
    paper: Paper, row: PaperRow, column: Column, results: Results, table: Table
) -> Iterator[Verdict]:
    """Yield the verdicts on one cell, one for each system that stands for its row."""
    cell = row.cells.get(column.key)
    if cell is None:
        dash = make_published(None, column.digits, column.unit)
        why = NOT_RATED if column.key in LISTENERS else NO_FIGURE
        verdict = _make_not_run("cell", row.label, column.label, dash, (why,))
        yield verdict._replace(outcome="not rated")
        return
    published = make_published(cell.value, column.digits, column.unit, cell.pm)
    published = published._replace(below=cell.below, trained=is_trained(row, column))
    standings = find_standings(row, results)
    if column.kind in ("probe", "unmeasured") or not standings:
        why = column.why or (NO_SUITE if results.run is None else NO_SYSTEM)
        yield _make_not_run("cell", row.label, column.label, published, (why,))
        return
    # Sanity checks are rows of a run's table too, and no system of the run.
    rows = {entry.system: entry for entry in table.systems}
    for standing in standings:
        name = standing.use.name
        estimate = rows[name].cells.get(column.key)
        run, reasons = _find_measured(paper, results, row, standing, column, estimate)
        yield _judge_beside("cell", row.label, column.label, published, (name,), run, reasons)


def _find_measured(
    paper: Paper,
    results: Results,
    row: PaperRow,
    standing: Standing,
    column: Column,
    cell: Estimate | None,
) -> tuple[Estimate, tuple[str, ...]]:
    """Return the run's figure of a cell, and why it is not to be compared."""
    if cell is None:
        return Estimate.missing("not scored in this run"), ()
    conditions = paper.conditions
    if conditions is None:
        return cell, (paper.incomparable,)
    if column.kind == "latency":
        return cell, (conditions.hardware,)
    if cell.value is None and cell.reason == REFUSED:
        return cell, (REFUSED,)
    if results.metrics is None or column.key not in results.metrics.columns:
        return cell, ()
    return cell, tuple(explain_quality(conditions, results, row, standing, column.key, cell))


def _judge_claim(paper: Paper, claim: Claim, results: Results) -> Iterator[Verdict]:
    """Yield the verdicts on a claim as it is worded, and as the table's figures give it."""
    rows = paper.row(claim.of), paper.row(claim.over)
    worded = make_published(claim.value, claim.digits, claim.unit)
    quoted = f"\N{LEFT DOUBLE QUOTATION MARK}{claim.quote}\N{RIGHT DOUBLE QUOTATION MARK}"
    # As the authors word it, then as their table gives it: rounding sets the two apart.
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
    """Yield a verdict for each pair of systems: on their ratio, or for a claim the reduction."""
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
                for row, standing in zip(rows, (a, b), strict=True)
                for reason in explain_latency(conditions, results, row, standing)
            ]
            figure_of_run = run if kind == "ratio" else _reduce(run)
            names = (a.use.name, b.use.name)
            yield _judge_beside(kind, group, figure, published, names, figure_of_run, reasons)


def _judge_beside(
    kind: Kind,
    group: str,
    figure: str,
    published: Published,
    systems: tuple[str, ...],
    run: Estimate,
    reasons: Sequence[str],
) -> Verdict:
    """Return the verdict; with reasons against a comparison, the figures are not judged."""
    if reasons:
        why = (*reasons, *([run.reason] if run.value is None and run.reason else []))
        # Both systems of a ratio may give the same reason.
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
    """Return the ratio of two cells, between the ends that their rounding allows."""
    above = make_published(of.cells[column.key].value, column.digits)
    below = make_published(over.cells[column.key].value, column.digits)
    # The ratio is least where the upper cell was rounded up and the lower one down.
    value = of.cells[column.key].value / over.cells[column.key].value
    return Published(value, above.low / below.high, above.high / below.low, RATIO_DIGITS)


def _reduce(ratio: Estimate) -> Estimate:
    """Return a ratio as a reduction in percent."""
    # The larger the ratio, the smaller the reduction: the ends change places.
    value, high, low = (None if end is None else 100 * (1 - end) for end in ratio[:3])
    return ratio._replace(value=value, low=low, high=high)
