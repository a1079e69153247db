"""A page as Markdown."""

from collections.abc import Iterable

from stabench.harness.render.escape import escape_markdown, escape_markdown_line
from stabench.harness.render.page import Grid, Page, Printed, Section


def to_markdown(page: Page) -> str:
    """Return the page in GitHub's Markdown."""
    blocks = [f"# {escape_markdown(page.title)}", escape_markdown_line(page.lead)]
    for section in page.sections:
        if section.only != "terminal":
            blocks += _write_section(section)
    return "\n\n".join(blocks) + "\n"


def _write_section(section: Section) -> Iterable[str]:
    """Yield the blocks of a section, which stand apart by empty lines."""
    yield f"## {escape_markdown(section.title)}"
    yield from map(escape_markdown_line, section.text)
    if section.grid:
        yield "\n".join(_write_grid(section.grid))
    if section.points:
        yield "\n".join(f"- {escape_markdown_line(point)}" for point in section.points)


def _write_grid(grid: Grid) -> Iterable[str]:
    yield _join_cells(escape_markdown(head.text) for head in grid.heads)
    # Columns of numbers are aligned to the right.
    yield _join_cells("---:" if head.block else "---" for head in grid.heads)
    for line in grid.lines:
        if line.heading:
            # Markdown has no cell over several columns.
            empty = [""] * (len(grid.heads) - 1)
            yield _join_cells([f"**{escape_markdown(line.heading)}**", *empty])
        else:
            yield _join_cells(_write_cell(cell, line.quiet) for cell in line.cells)


def _write_cell(cell: Printed, quiet: bool) -> str:
    main, under = escape_markdown(cell.main), escape_markdown(cell.under)
    # Stars around nothing would be printed.
    mark = "" if not main else "**" if cell.strong else "*" if quiet else ""
    return f"{mark}{main}{mark}" + (f"<br><sub>{under}</sub>" if under else "")


def _join_cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
