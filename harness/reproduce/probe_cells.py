"""A table of probes beside a run of probes: STAR's Table 1, cell by cell."""

from collections.abc import Iterator

from stabench.harness.formatting import figure
from stabench.harness.probing.run_file import ProbeFigure, ProbeRun
from stabench.harness.reproduce.figures import (
    NO_SYSTEM,
    Outcome,
    Verdict,
    judge,
    make_published,
)
from stabench.harness.reproduce.matching import MINIATURE
from stabench.harness.reproduce.paper import Column, Paper, PaperRow
from stabench.harness.runs.run_folder import REFUSED, weights_of
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites.probes import Bridge, EncoderUse, ProbeSuite

PROBES_ONLY = "a run of probes, in which no system answers with sound"
# The corpus whose clips the paper's are, and the classes of its labels.
CORPUS, CLASSES = "audiocaps", 527


def judge_probes(paper: Paper, run: ProbeRun) -> list[Verdict]:
    """Judge every cell of a paper's table beside a run of probes, row by row.

    Raises MissingError for a run without figures.
    """
    return [
        verdict
        for row in paper.rows
        for column in paper.columns
        if column.key in row.cells
        for verdict in _judge_cell(row, column, run)
    ]


def list_published(paper: Paper, suite: ProbeSuite) -> dict[tuple[str, Bridge], str]:
    """Return what a paper prints in the cell of each probe of a suite, miniatures of it too."""
    return {
        (use.name, bridge): figure(row.cells[bridge].value, paper.column(bridge).digits)
        for use in suite.encoders
        for row in paper.rows
        for bridge in suite.probes.bridges
        if use.use in (*row.use, *row.miniatures) and bridge in row.cells
    }


def _judge_cell(row: PaperRow, column: Column, run: ProbeRun) -> Iterator[Verdict]:
    cell = row.cells[column.key]
    published = make_published(cell.value, column.digits, column.unit, cell.pm)

    def make(systems: tuple[str, ...], estimate: Estimate, *reasons: str) -> Verdict:
        outcome: Outcome = "not comparable" if systems else "not run"
        return Verdict(
            "cell", row.label, column.label, published, systems, estimate, outcome, None, reasons
        )

    if column.kind != "probe":
        yield make((), Estimate.missing(PROBES_ONLY), PROBES_ONLY)
        return
    figures = run.figures
    pairs = [
        (use, probe)
        for use in run.record.probes.encoders
        if use.use in (*row.use, *row.miniatures)
        for probe in figures.probes
        if (probe.encoder, probe.bridge) == (use.name, column.key)
    ]
    if not pairs:
        yield make((), Estimate.missing(NO_SYSTEM), NO_SYSTEM)
    for use, probe in pairs:
        reasons = tuple(_explain(row, use, probe, run))
        if reasons:
            yield make((use.name,), probe.cell, *reasons)
            continue
        outcome, sigmas, why = judge(published, probe.cell)
        yield make((use.name,), probe.cell)._replace(outcome=outcome, sigmas=sigmas, reasons=why)


def _explain(row: PaperRow, use: EncoderUse, probe: ProbeFigure, run: ProbeRun) -> Iterator[str]:
    """Yield why a figure cannot be compared with the paper's, the gravest first."""
    suite, figures = run.record.probes, run.figures
    if use.use in row.miniatures:
        yield MINIATURE
    if "random" in {text.split()[0] for text in weights_of(use.options) if text}:
        yield REFUSED
    if figures.corpus != CORPUS:
        yield f"clips of {figures.corpus}, not of {CORPUS}"
    if figures.classes != CLASSES:
        yield f"{figures.classes} classes, not AudioSet's {CLASSES}"
    if keys := suite.recipe.get(probe.bridge):
        yield f"trained with another {', '.join(sorted(keys))} than the authors' code"
