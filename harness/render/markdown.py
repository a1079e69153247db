"""A page as Markdown."""

from collections.abc import Iterable

from stabench.harness.render.escape import escape_markdown, escape_markdown_line
from stabench.harness.render.page import Grid, Page


def to_markdown(page: Page) -> str:
    """Return the page in GitHub's Markdown."""
    blocks = [f"# {escape_markdown(page.title)}", escape_markdown_line(page.lead)]
    for section in page.sections:
        if section.only == "terminal":
            continue
        blocks.append(f"## {escape_markdown(section.title)}")
        blocks += map(escape_markdown_line, section.text)
        if section.grid:
            blocks.append("\n".join(_write_grid(section.grid)))
        if section.points:
            points = (f"- {escape_markdown_line(point)}" for point in section.points)
            blocks.append("\n".join(points))
    # Without an empty line between them Markdown would join two blocks into one paragraph.
    return "\n\n".join(blocks) + "\n"


def _write_grid(grid: Grid) -> Iterable[str]:
    yield _join_cells(escape_markdown(head.text) for head in grid.heads)
    # Columns of numbers are aligned to the right.
    yield _join_cells("---:" if head.block else "---" for head in grid.heads)
    for line in grid.lines:
        if line.heading:
            # Markdown has no cell over several columns.
            empty = [""] * (len(grid.heads) - 1)
            yield _join_cells([f"**{escape_markdown(line.heading)}**", *empty])
            continue
        cells = []
        for cell in line.cells:
            main, under = escape_markdown(cell.main), escape_markdown(cell.under)
            # Stars around nothing would be printed.
            mark = "" if not main else "**" if cell.strong else "*" if line.quiet else ""
            small = f"<br><sub>{under}</sub>" if under else ""
            cells.append(f"{mark}{main}{mark}{small}")
        yield _join_cells(cells)


def _join_cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
