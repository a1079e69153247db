"""The page of a run of probes: the paper's Table 1, bridges by encoders, with intervals."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from stabench.harness import files
from stabench.harness.formatting import NOTHING, figure, interval
from stabench.harness.probing.run_file import Figures, ProbeFigure, ProbeRun
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.render.terminal import show
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites.probes import Bridge, EncoderUse, ProbeSuite
from stabench.metrics.average_precision import MEAN_AVERAGE_PRECISION

# An encoder and a bridge.
Key = tuple[str, Bridge]
DIGITS = MEAN_AVERAGE_PRECISION.digits
NAMES = {"mlp": "MLP", "qformer": "Q-Former"}
GROUPS = {"caption": "Read the caption", "speech": "Hear it spoken"}


def report(
    run: ProbeRun, published: Mapping[Key, str] | None = None, stream: TextIO | None = None
) -> Path:
    """Write report.md and report.json, print the page to `stream`; return report.md.

    `published` are a paper's figures as it prints them, by encoder and bridge of the run. Raises
    MissingError for a run without figures.
    """
    suite, figures = run.record.probes, run.figures
    page = build_page(suite, figures, published or {})
    files.write_bytes(run.path / "report.md", to_markdown(page).encode())
    value = {**figures.model_dump(mode="json", by_alias=True), "suite": suite.resolved()}
    files.write_json(run.path / "report.json", value)
    show(page, stream or sys.stdout)
    return run.path / "report.md"


def build_page(suite: ProbeSuite, figures: Figures, published: Mapping[Key, str]) -> Page:
    """Build the page: the table, notes, differences, how each probe came about."""
    clips = figures.clips
    lead = (
        f"mAP of classifiers on the frames of frozen encoders, over {figures.present} of "
        f"{figures.classes} classes; corpus {figures.corpus} {figures.corpus_version}: "
        f"{clips['train']} clips to train on, "
        f"{clips['validation']} to choose by, {clips['test']} to test."
    )
    sections = (
        _build_table(suite, figures, published),
        Section("notes", "Notes", points=suite.notes) if suite.notes else None,
        _build_differences(suite, figures),
        _build_probes(suite, figures),
    )
    return Page(suite.title or suite.name, lead, tuple(filter(None, sections)))


def print_cell(cell: Estimate, digits: int = DIGITS) -> Printed:
    """Return a figure with its interval, or a dash with the reason."""
    if cell.value is None:
        return Printed(NOTHING, cell.reason or "")
    return Printed(figure(cell.value, digits), interval(cell.low, cell.high, digits))


def _build_table(suite: ProbeSuite, figures: Figures, published: Mapping[Key, str]) -> Section:
    """Build the table with a row for each bridge, as the paper prints it, and the paper's below."""
    encoders = sorted(suite.encoders, key=lambda use: [*GROUPS].index(use.reads))
    heads = (Head("Bridge"), *(Head(_label(use), GROUPS[use.reads]) for use in encoders))
    lines = []
    for bridge in suite.probes.bridges:
        cells = [_print_probe(figures.find(use.name, bridge)) for use in encoders]
        lines.append(Line((Printed(NAMES[bridge]), *cells)))
    text = ["mAP \N{UPWARDS ARROW} with 95 % intervals over clips.", *_describe_groups(suite)]
    if published:
        text.append("Below, what the paper prints; stabench reproduce says what can be compared.")
        for bridge in suite.probes.bridges:
            cells = [Printed(published.get((use.name, bridge), NOTHING)) for use in encoders]
            lines.append(Line((Printed(f"{NAMES[bridge]}, paper"), *cells), quiet=True))
    return Section("table1", "Table 1", tuple(text), Grid(heads, tuple(lines)))


def _describe_groups(suite: ProbeSuite) -> Iterator[str]:
    """Yield which encoders read the caption, and which hear it spoken."""
    for reads, how in GROUPS.items():
        if labels := [_label(use) for use in suite.encoders if use.reads == reads]:
            yield f"{how}: {', '.join(labels)}."


def _print_probe(probe: ProbeFigure | None) -> Printed:
    return print_cell(probe.cell) if probe else Printed(NOTHING)


def _build_differences(suite: ProbeSuite, figures: Figures) -> Section | None:
    if not figures.differences:
        return None
    lines = []
    for line in figures.differences:
        same = line.a[1] == line.b[1]
        left, right = (_find_label(suite, name) for name in (line.a[0], line.b[0]))
        minus = "\N{MINUS SIGN}"
        what = (
            f"{left} {minus} {right}, {NAMES[line.a[1]]}"
            if same
            else f"{NAMES[line.a[1]]} {minus} {NAMES[line.b[1]]}, {left}"
        )
        lines.append(Line((Printed(what), print_cell(line.difference))))
    text = (
        "On the same clips, with 95 % intervals; one without 0 shows a difference. They are not "
        "adjusted for their number."
    )
    grid = Grid((Head("Difference in mAP"), Head("")), tuple(lines))
    return Section("differences", "Differences", (text,), grid)


def _build_probes(suite: ProbeSuite, figures: Figures) -> Section:
    lines = [
        Line(
            (
                Printed(f"{_find_label(suite, probe.encoder)}, {NAMES[probe.bridge]}"),
                Printed(
                    NOTHING if probe.validation is None else figure(probe.validation, DIGITS),
                    _describe_depths(probe),
                ),
                Printed(NOTHING if probe.parameters is None else f"{probe.parameters:,}"),
                Printed(figure(probe.wall_s, 0)),
                Printed(probe.error or ""),
            )
        )
        for probe in figures.probes
    ]
    heads = ("Probe", "Validation mAP", "Parameters", "Seconds", "Error")
    text = "The best weights on validation were tested once; times are of a probe with its frames."
    return Section("probes", "Probes", (text,), Grid(tuple(map(Head, heads)), tuple(lines)))


def _describe_depths(probe: ProbeFigure) -> str:
    if probe.layers is None:
        return ""
    others = [f"{layers}: {figure(value, DIGITS)}" for layers, value in probe.others.items()]
    return "; ".join([f"hidden layers: {probe.layers}", *others])


def _find_label(suite: ProbeSuite, name: str) -> str:
    return next(_label(use) for use in suite.encoders if use.name == name)


def _label(use: EncoderUse) -> str:
    return use.label or use.name
