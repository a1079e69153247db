"""Reproduce: every published figure beside a run's, as a page and as JSON."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from stabench.harness import files
from stabench.harness.errors import Inconclusive
from stabench.harness.formatting import NOTHING, counted, decimals, figure, interval
from stabench.harness.probing.run_file import find_probe_run
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.report.table import Table, tabulate
from stabench.harness.reproduce.figures import OUTCOMES, Verdict, judge_paper
from stabench.harness.reproduce.paper import FOLDER, Claim, Paper, choose, read_all
from stabench.harness.reproduce.probe_cells import judge_probes
from stabench.harness.reproduce.published import describe_source, explain_marks
from stabench.harness.runs.results import Results
from stabench.harness.suites.trained_on import TRAINED

SCHEMA = 2
NAME = "reproduce"
RULE = (
    "Reproduced: the run's 95 % interval meets the published figure, as it was before rounding. "
    "Off by k sigma: its distance from the run's value; sigma is the interval's nearer half over "
    "1.96. The published figure's own error is not known and not in k, so k is at its largest; "
    "a published ± is the spread of clips and decides nothing. Not rated: the paper prints a dash."
)


class Subject(NamedTuple):
    """What the figures stand beside: a run's title, suite, and names of its systems."""

    title: str
    suite: str | None
    systems: tuple[str, ...]


class Judged(NamedTuple):
    """A table of a paper and a verdict on each of its figures."""

    paper: Paper
    verdicts: list[Verdict]


def reproduce_run(
    run: Path,
    stream: TextIO | None = None,
    papers: Path = FOLDER,
    strict: bool = False,
    out: Path | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Write reproduce.md and reproduce.json, print the page to `stream`; return reproduce.md.

    They are written into the run folder, or into `out`, which is made. `papers` is a folder of
    tables, `names` those of it that are asked for. Where no figure can be compared one line says
    so; the page is printed then only for tables asked for by name.

    Raises MissingError without results or tables, StabenchError for an unknown name; with `strict`
    Inconclusive when not one figure could be compared.
    """
    from stabench.harness.render.terminal import show

    tables = choose(read_all(papers), names)
    if probe_run := find_probe_run(run):
        folder, suite = probe_run.path, probe_run.record.probes
        subject = Subject(
            suite.title or suite.name, suite.name, tuple(use.name for use in suite.encoders)
        )
        judged = [Judged(paper, judge_probes(paper, probe_run)) for paper in tables]
    else:
        results = Results.read(run)
        folder, subject = results.folder, _describe(results)
        judged = judge_all(results, tables)
    page = build_page(subject, judged)
    out = folder if out is None else out
    out.mkdir(parents=True, exist_ok=True)
    files.write_bytes(out / f"{NAME}.md", to_markdown(page).encode())
    files.write_json(out / f"{NAME}.json", to_json(subject.suite, judged))
    nothing = explain_nothing(judged)
    if names or not nothing:
        show(page, stream or sys.stdout)
    if nothing:
        line = f"run '{folder}': {nothing}; {out / NAME}.md says why of each"
        if strict:
            raise Inconclusive(line)
        print(line, file=stream or sys.stdout)
    return out / f"{NAME}.md"


def reproduce(results: Results, papers: Sequence[Paper]) -> Page:
    """Build the page: every published figure with a verdict."""
    return build_page(_describe(results), judge_all(results, papers))


def judge_all(results: Results, papers: Sequence[Paper]) -> list[Judged]:
    """Judge the figures of every table."""
    table: Table = tabulate(results)
    return [Judged(paper, judge_paper(paper, results, table)) for paper in papers]


def explain_nothing(judged: Sequence[Judged]) -> str:
    """Return that no figure could be compared, and the reason met most often; else nothing."""
    verdicts = [verdict for table in judged for verdict in table.verdicts]
    if any(verdict.outcome in ("reproduced", "off") for verdict in verdicts):
        return ""
    rated = [verdict for verdict in verdicts if verdict.outcome != "not rated"]
    # Why a system of the run is not comparable says more than that others are not in it.
    reasons = Counter(
        verdict.reasons[0] for verdict in rated if verdict.outcome == "not comparable"
    ) or Counter(verdict.reasons[0] for verdict in rated)
    why = f" (most often: {reasons.most_common(1)[0][0]})" if reasons else ""
    return f"none of {len(rated)} published figures could be compared with it{why}"


def _describe(results: Results) -> Subject:
    if results.run is None:
        return Subject("scores", None, ())
    suite = results.run.suite
    return Subject(suite.title or suite.name, suite.name, tuple(use.name for use in suite.systems))


def build_page(subject: Subject, judged: Sequence[Judged]) -> Page:
    """Build the page, a section for each table."""
    counts = _count_outcomes(judged)
    tally = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
    lead = f"{counted(counts.total(), 'verdict')} on what the papers print: {tally}. {RULE}"
    sections = tuple(_build_section(table, subject) for table in judged)
    return Page(f"Published figures beside this run: {subject.title}", lead, sections)


def _count_outcomes(judged: Sequence[Judged]) -> Counter[str]:
    return Counter(verdict.outcome for table in judged for verdict in table.verdicts)


def _build_section(judged: Judged, subject: Subject) -> Section:
    """Build the section of one table, with the systems of the run that no figure is of."""
    paper, figures = judged
    # Many figures share a reason: it is printed once, below the table, and numbered there.
    numbers = {reason: 0 for verdict in figures for reason in verdict.reasons}
    numbers = {reason: index for index, reason in enumerate(numbers, 1)}
    lines = []
    for group, members in groupby(figures, key=lambda verdict: verdict.group):
        lines.append(Line(heading=group))
        lines += [_build_line(verdict, numbers) for verdict in members]
    text = (
        describe_source(paper),
        *paper.source.remarks,
        *(f"{_explain_claim(paper, claim)}." for claim in paper.claims),
    )
    columns = (Head("Published", "figures"), Head("This run", "figures"))
    grid = Grid((Head("Figure"), Head("Verdict"), *columns), tuple(lines))
    points = (
        *explain_marks(paper.rows, paper.columns),
        *(f"{number}: {reason}" for reason, number in numbers.items()),
    )
    known = {name for verdict in figures for name in verdict.systems}
    if others := [name for name in subject.systems if name not in known]:
        listed = ", ".join(others)
        points = (*points, f"Systems of the run that stand for no row of this table: {listed}.")
    return Section(paper.name, paper.title, text, grid, points)


def _explain_claim(paper: Paper, claim: Claim) -> str:
    """Return how a claim follows from the figures, and from them as the authors round them."""
    column = paper.column(claim.column)
    of, over = (paper.row(name).cells[claim.column].value for name in (claim.of, claim.over))
    exact, rounded = (
        figure(100 * (1 - a / b), claim.digits)
        for a, b in ((of, over), (claim.rounded.of, claim.rounded.over))
    )
    return (
        f"The claim of {figure(claim.value, claim.digits)} {claim.unit}: the table's "
        f"{figure(of, column.digits)} and {figure(over, column.digits)} {column.unit} give "
        f"{exact} {claim.unit}, rounded to {claim.rounded.of:g} and {claim.rounded.over:g} "
        f"{column.unit} they give {rounded} {claim.unit}"
    )


def _build_line(verdict: Verdict, numbers: dict[str, int]) -> Line:
    """Return a figure with the run's systems, its verdict with reasons, and both figures."""
    run, published = verdict.run, verdict.published
    digits = published.digits
    # More digits than the paper prints, where those would show the run's figure as 0.
    if run.value is not None and abs(run.value) < 10.0 ** (1 - digits):
        digits = max(digits, decimals([run.value]))
    value = NOTHING if run.value is None else figure(run.value, digits)
    ends = interval(run.low, run.high, digits) if run.value is not None else ""
    why = sorted(numbers[reason] for reason in verdict.reasons)
    sigmas = verdict.sigmas or 0.0
    # Beyond a hundred sigmas their decimals say nothing.
    shown = figure(sigmas, 1 if sigmas < 100 else 0)
    off = f"off by {shown} sigma" if verdict.outcome == "off" else ""
    printed = NOTHING
    if published.value is not None:
        printed = figure(published.value, published.digits)
        if published.below:
            printed = f"<{printed}"
        if published.pm is not None:
            printed += f" \N{PLUS-MINUS SIGN} {figure(published.pm, published.digits)}"
        printed = f"{printed} {published.unit}".strip() + (TRAINED if published.trained else "")
    return Line(
        (
            Printed(verdict.figure, " / ".join(verdict.systems)),
            Printed(off or verdict.outcome, f"see {', '.join(map(str, why))}" if why else ""),
            Printed(printed),
            Printed(value, ends),
        )
    )


def to_json(suite: str | None, judged: Sequence[Judged]) -> dict[str, Any]:
    """Return what reproduce.json holds."""
    counts = _count_outcomes(judged)
    return {
        "schema": SCHEMA,
        "suite": suite,
        "rule": RULE,
        "counts": {outcome: counts[outcome] for outcome in OUTCOMES},
        "papers": [
            {
                "name": paper.name,
                "source": paper.source.model_dump(mode="json"),
                "verdicts": list(_verdicts_to_json(verdicts)),
            }
            for paper, verdicts in judged
        ],
    }


def _verdicts_to_json(verdicts: Sequence[Verdict]) -> Iterator[dict[str, Any]]:
    for verdict in verdicts:
        published = verdict.published
        yield {
            "kind": verdict.kind,
            "group": verdict.group,
            "figure": verdict.figure,
            "published": {"value": published.value, "pm": published.pm, "unit": published.unit}
            | ({"below": True} if published.below else {})
            | ({"trained_on": True} if published.trained else {}),
            "systems": list(verdict.systems),
            "run": verdict.run.to_json(),
            "outcome": verdict.outcome,
            "sigmas": verdict.sigmas,
            "reasons": list(verdict.reasons),
        }
