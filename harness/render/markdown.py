"""Renderers of files: the page as Markdown, the table as CSV and JSON."""

from collections.abc import Iterable

from stabench.harness.formatting import plain
from stabench.harness.render.page import Grid, Page, Printed, Section

SPECIAL = set("\\`*_{}[]<>|#~$@&")
"""Characters that Markdown (GitHub's) may read as markup."""


def to_markdown(page: Page) -> str:
    """The page in GitHub's Markdown."""
    blocks = [f"# {_escaped(page.title)}", _escaped(page.lead)]
    for section in page.sections:
        if section.only != "terminal":
            blocks += _markdown(section)
    return "\n\n".join(blocks) + "\n"


def _markdown(section: Section) -> Iterable[str]:
    yield f"## {_escaped(section.title)}"
    yield from map(_escaped, section.text)
    if section.grid:
        yield "\n".join(_markdown_lines(section.grid))
    if section.points:
        yield "\n".join(f"- {_escaped(point)}" for point in section.points)


def _markdown_lines(grid: Grid) -> Iterable[str]:
    yield _bar(_escaped(head.text) for head in grid.heads)
    yield _bar("---:" if head.block else "---" for head in grid.heads)
    for line in grid.lines:
        if line.heading:
            yield _bar([f"**{_escaped(line.heading)}**", *[""] * (len(grid.heads) - 1)])
        else:
            yield _bar(_markdown_cell(cell, line.quiet) for cell in line.cells)


def _markdown_cell(cell: Printed, quiet: bool) -> str:
    mark = "**" if cell.strong else "*" if quiet and cell.main else ""
    under = f"<br><sub>{_escaped(cell.under)}</sub>" if cell.under else ""
    return f"{mark}{_escaped(cell.main)}{mark}{under}"


def _bar(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown prints as it is."""
    return "".join(f"\\{c}" if c in SPECIAL else c for c in plain(text))
