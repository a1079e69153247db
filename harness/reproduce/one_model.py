"""One model in several papers, as tables of docs/one-model.md (see harness/suites/reference.py).

python -m stabench.harness.reproduce.one_model docs/one-model.md
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stabench.harness.formatting import NOTHING
from stabench.harness.render.escape import escape_markdown as escaped
from stabench.harness.reproduce.paper import SEEN, Paper, PaperRow, read_all
from stabench.harness.reproduce.published import describe_terms, explain_marks, print_figure
from stabench.harness.suites.reference import replace_generated
from stabench.harness.suites.trained_on import TRAINED

COMMAND = "python -m stabench.harness.reproduce.one_model"
# Columns that several tables have, in the order of the page.
COLUMNS = {"fd": "FD", "fad": "FAD", "kl": "KL", "is": "IS", "clap": "CLAP"}
# Models that papers tell apart by size, or do not tell apart.
FAMILIES = {
    "AudioLDM 2 (of several sizes)": ("audioldm2", "audioldm2-full", "audioldm2-large"),
}


class Printing(NamedTuple):
    """One row of one table."""

    paper: Paper
    row: PaperRow

    def cell(self, key: str) -> str:
        """Return the figure of a column as it is printed; a dash where the table has none."""
        column = next((column for column in self.paper.columns if column.key == key), None)
        return print_figure(self.row, column) if column else NOTHING

    def value(self, key: str) -> float | None:
        """Return the figure of a column."""
        cell = self.row.cells.get(key)
        return cell.value if cell and self.cell(key) != NOTHING else None


def write_page(papers: Sequence[Paper]) -> str:
    """Return the tables: of each model in several papers, then of how each paper scored."""
    parts = [_write_model(name, rows) for name, rows in list_models(papers)]
    return "\n".join((*parts, _write_terms(papers)))


def list_models(papers: Sequence[Paper]) -> Iterator[tuple[str, list[Printing]]]:
    """Yield each model that several tables have, with its rows: those of most tables first."""
    family = {model: name for name, models in FAMILIES.items() for model in models}
    groups: dict[str, list[Printing]] = {}
    for paper in papers:
        for row in paper.rows:
            if row.model:
                key = family.get(row.model, row.model)
                groups.setdefault(key, []).append(Printing(paper, row))
    several = [
        (key if key in FAMILIES else rows[0].row.label, rows)
        for key, rows in groups.items()
        if len({printing.paper.name for printing in rows}) > 1
    ]
    yield from sorted(several, key=lambda model: -len(model[1]))


def describe_spread(rows: Sequence[Printing]) -> str:
    """Return the ends of each column that several rows have, in one line."""
    ends = []
    for key, label in COLUMNS.items():
        # With the digits of the table that each is from.
        printed = {value: row.cell(key) for row in rows if (value := row.value(key)) is not None}
        if len(printed) > 1:
            low, high = (printed[end(printed)].rstrip(TRAINED) for end in (min, max))
            ends.append(f"{label} {low} to {high}")
    return "; ".join(ends) or "The same figures in all tables"


def _write_model(name: str, rows: Sequence[Printing]) -> str:
    keys = [key for key in COLUMNS if any(row.cell(key) != NOTHING for row in rows)]
    heads = ("table", "called", *(COLUMNS[key] for key in keys), "how it is known")
    lines = [
        (
            f"`{printing.paper.name}`",
            printing.row.label,
            *(printing.cell(key) for key in keys),
            SEEN[printing.paper.source.seen],
        )
        for printing in rows
    ]
    # Only what this page shows: other columns of a table may be marked as well.
    columns = [c for printing in rows for c in printing.paper.columns if c.key in keys]
    marks = explain_marks([printing.row for printing in rows], columns)
    notes = "".join(f"\n{escaped(mark)}\n" for mark in marks)
    return f"### {escaped(name)}\n\n{describe_spread(rows)}.\n\n{_write_table(heads, lines)}{notes}"


def _write_terms(papers: Sequence[Paper]) -> str:
    lines = [
        (f"`{paper.name}`", escaped(paper.title), escaped(describe_terms(paper.terms)))
        for paper in papers
        # A table of classifiers of speech scores no sound.
        if any(column.key in COLUMNS for column in paper.columns)
    ]
    return f"### How each table was made\n\n{_write_table(('table', 'what', 'how'), lines)}"


def _write_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = (heads, ["---"] * len(heads), *lines)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        text = replace_generated(place.read_text("utf-8"), write_page(read_all()), COMMAND)
        place.write_text(text, "utf-8")
