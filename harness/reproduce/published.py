"""Published tables by themselves: which there are, and each as it is printed, with its terms."""

import sys
from collections.abc import Sequence
from typing import TextIO

from stabench.harness.formatting import NOTHING, counted, figure
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.reproduce.paper import SEEN, Column, Paper, PaperRow, Terms
from stabench.harness.suites.trained_on import MODELS, TRAINED

UNKNOWN = "unknown"
# What the terms of a table are called, in their order.
TERMS = {
    "clip_list": "clips",
    "clips": "their number",
    "clap": "CLAP checkpoint",
    "backbone": "network of FD, KL and IS",
    "clap_rate_hz": "rate into CLAP (Hz)",
    "candidates": "candidates ranked by CLAP",
    "steps": "steps",
    "guidance": "guidance",
}


def show_papers(papers: Sequence[Paper], *, whole: bool, stream: TextIO | None = None) -> None:
    """Print the list of tables or, `whole`, each table itself."""
    from stabench.harness.render.terminal import show

    show(build_tables(papers) if whole else list_papers(papers), stream or sys.stdout)


def list_papers(papers: Sequence[Paper]) -> Page:
    """Return a page with one line a table: its name, what it is, its figures, how it was seen."""
    lines = tuple(
        Line(
            (
                Printed(paper.name),
                Printed(paper.title),
                Printed(str(sum(len(row.cells) for row in paper.rows))),
                Printed(SEEN[paper.source.seen]),
            )
        )
        for paper in papers
    )
    heads = (Head("Name"), Head("Table"), Head("Figures"), Head("How it is known"))
    lead = "stabench reproduce --paper NAME prints one; with a RUN, beside that run's figures."
    return Page("Published tables", lead, (Section("papers", "Tables", grid=Grid(heads, lines)),))


def build_tables(papers: Sequence[Paper]) -> Page:
    """Return a page with a section for each table."""
    sections = tuple(_build_section(paper) for paper in papers)
    figures = sum(len(row.cells) for paper in papers for row in paper.rows)
    lead = f"{counted(figures, 'figure')} as the papers print them; no run is looked at."
    return Page("Published tables", lead, sections)


def print_figure(row: PaperRow, column: Column) -> str:
    """Return a published cell as it is printed, with the mark of a metric trained on; or a dash."""
    cell = row.cells.get(column.key)
    if cell is None:
        return NOTHING
    spread = f" \N{PLUS-MINUS SIGN} {figure(cell.pm, column.digits)}" if cell.pm is not None else ""
    value = f"{'<' if cell.below else ''}{figure(cell.value, column.digits)}{spread}"
    return value + (TRAINED if is_trained(row, column) else "")


def is_trained(row: PaperRow, column: Column) -> bool:
    """Return whether the system of a row was trained on the metric of a column."""
    return row.model in MODELS and column.key in MODELS[row.model].columns


def describe_source(paper: Paper) -> str:
    """Return where a table is from and how it was seen, in one sentence."""
    source = paper.source
    version = f", {source.version}" if source.version else ""
    return (
        f"{source.title}, {source.table} (arXiv {source.arxiv}{version}; {source.url}): "
        f"{SEEN[source.seen]}."
    )


def describe_terms(terms: Terms) -> str:
    """Return how figures were made, in one line; what nobody says is called unknown."""
    values = {name: getattr(terms, name) for name in TERMS}
    known = [f"{TERMS[name]}: {value}" for name, value in values.items() if value is not None]
    unknown = [TERMS[name] for name, value in values.items() if value is None]
    lacking = [f"{UNKNOWN}: {', '.join(unknown)}"] if unknown else []
    return "; ".join((*known, *lacking))


def explain_marks(rows: Sequence[PaperRow], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return a sentence for each model that was trained on a metric of these columns."""
    models = {
        row.model: row.label
        for row in rows
        if any(is_trained(row, column) and column.key in row.cells for column in columns)
    }
    return tuple(
        f"{TRAINED} {label}: {MODELS[model].how}, so a better figure there is no evidence of "
        "better sound."
        for model, label in models.items()
    )


def _build_section(paper: Paper) -> Section:
    heads = (
        Head("System"),
        *(
            Head(f"{column.label} ({column.unit})" if column.unit else column.label, "figures")
            for column in paper.columns
        ),
    )
    lines = tuple(
        Line((Printed(row.label), *(Printed(print_figure(row, c)) for c in paper.columns)))
        for row in paper.rows
    )
    rows = [row for row in paper.rows if row.terms != Terms()]
    points = (
        *explain_marks(paper.rows, paper.columns),
        f"How it was made: {describe_terms(paper.terms)}",
        *(f"{row.label}: {describe_terms(paper.terms_of(row))}" for row in rows),
        *((f"No run is compared with it: {paper.incomparable}",) if paper.incomparable else ()),
    )
    text = (describe_source(paper), *paper.source.remarks)
    return Section(paper.name, paper.title, text, Grid(heads, lines), points)
