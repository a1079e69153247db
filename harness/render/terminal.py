"""The terminal: a page drawn with rich, its tables split where the window is narrow."""

import io
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stabench.harness.formatting import plain
from stabench.harness.render.page import Grid, Line, Page, Printed, Section

BOLD = "Bold"
"""How the best is printed."""

GAP = 2
"""Blanks between two columns of a table."""
LONGEST_NAME = 30
SHORTEST_NAME = 14
"""Widths of the first column, which is folded."""


def print_page(page: Page, console: Console) -> None:
    """Print what a reader at the keyboard needs; the file report.md says the rest."""
    console.print(Text(plain(page.title), style="bold"))
    console.print(Text(plain(page.lead)))
    for section in page.sections:
        if section.only != "markdown":
            _print_section(section if console.color_system else _starred(section), console)


def _starred(section: Section) -> Section:
    """The section for a stream without styles: bold that its points explain stands in stars."""
    if not any(point.startswith(BOLD) for point in section.points):
        return section
    points = tuple(
        point.replace(BOLD, f"*{BOLD}*", 1) if point.startswith(BOLD) else point
        for point in section.points
    )
    grid = section.grid and section.grid._replace(
        lines=tuple(
            line._replace(cells=tuple(_star(cell) for cell in line.cells))
            for line in section.grid.lines
        )
    )
    return section._replace(grid=grid, points=points)


def _star(cell: Printed) -> Printed:
    return cell._replace(main=f"*{cell.main}*") if cell.strong else cell


def _print_section(section: Section, console: Console) -> None:
    console.print()
    console.print(Text(plain(section.title), style="bold underline"))
    for paragraph in section.text:
        console.print(Text(plain(paragraph)))
    if section.grid:
        layout = arrange(section.grid, console.width)
        for part in layout.parts:
            console.print()
            console.print(_drawn(section.grid, part, layout.name_width))
    if section.grid and section.points:
        console.print()
    for point in section.points:
        console.print(_point(point))


def _point(text: str) -> Table:
    """A paragraph behind a dash, its later lines indented."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("-"), Text(plain(text)))
    return grid


class Layout(NamedTuple):
    """Which columns are drawn together, by index, and how wide their first one is."""

    name_width: int
    parts: list[list[int]]


def arrange(grid: Grid, width: int) -> Layout:
    """All columns in one table, or each block in as few as fit `width`, each with the keys.

    Names are folded only as far as it saves a table. Columns without a number anywhere are left
    out: the points under the grid say why.
    """
    widest = min(_width(grid, 0), LONGEST_NAME)
    names = range(widest, min(widest, SHORTEST_NAME) - 1, -1)
    return min((Layout(name, _parts(grid, width, name)) for name in names), key=_tables)


def _tables(layout: Layout) -> int:
    return len(layout.parts)


def _parts(grid: Grid, width: int, name_width: int) -> list[list[int]]:
    widths = [name_width, *(_width(grid, index) for index in range(1, len(grid.heads)))]
    keys = [index for index, head in enumerate(grid.heads) if not head.block]
    shown = [i for i, head in enumerate(grid.heads) if head.block and _says_something(grid, i)]
    if _total(widths, [*keys, *shown]) <= width:
        return [[*keys, *shown]]
    room = width - _total(widths, keys) - GAP
    found = []
    for _, block in groupby(shown, key=lambda index: grid.heads[index].block):
        found += [[*keys, *some] for some in _packed(list(block), widths, room)]
    return found


def _packed(columns: Sequence[int], widths: Sequence[int], room: int) -> list[list[int]]:
    """The columns in as few parts as fit into `room`, about equally many in each."""
    for count in range(1, len(columns)):
        size = -(-len(columns) // count)
        split = [list(columns[start : start + size]) for start in range(0, len(columns), size)]
        if all(_total(widths, part) <= room for part in split):
            return split
    return [[column] for column in columns]


def _total(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[index] for index in columns) + GAP * (len(columns) - 1)


def _width(grid: Grid, index: int) -> int:
    cells = [line.cells[index] for line in grid.lines if line.cells]
    texts = [grid.heads[index].text, *(text for cell in cells for text in (cell.main, cell.under))]
    texts += [] if index else [line.heading for line in grid.lines]
    return max(cell_len(plain(text)) for text in texts)


def _says_something(grid: Grid, index: int) -> bool:
    return any(_is_number(line.cells[index]) for line in grid.lines if line.cells)


def _is_number(cell: Printed) -> bool:
    return any(character.isdigit() for character in cell.main)


def _drawn(grid: Grid, columns: Sequence[int], name_width: int) -> Table:
    """One table; quiet lines that have no number in these columns are left out."""
    # rich draws a divider, here a blank, beside the padding.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for index in columns:
        block = grid.heads[index].block
        table.add_column(
            Text(plain(grid.heads[index].text)),
            justify="right" if block else "left",
            overflow="fold",
            no_wrap=bool(index),
            width=None if index else name_width,
        )
    for line in _shown(grid, columns):
        if line.heading:
            table.add_row(Text(plain(line.heading), style="bold"))
        else:
            table.add_row(*(_cell(line.cells[index], line) for index in columns))
    return table


def _shown(grid: Grid, columns: Sequence[int]) -> list[Line]:
    numbers = [index for index in columns if grid.heads[index].block]
    kept = [
        line
        for line in grid.lines
        if not line.quiet or not numbers or any(_is_number(line.cells[i]) for i in numbers)
    ]
    # A heading says nothing over no line.
    following = [*kept[1:], Line(heading="end")]
    return [
        line
        for line, after in zip(kept, following, strict=False)
        if not (line.heading and after.heading)
    ]


def _cell(cell: Printed, line: Line) -> Text:
    style = "bold" if cell.strong else "italic" if line.quiet else ""
    text = Text(plain(cell.main), style=style)
    if cell.under:
        text.append(f"\n{plain(cell.under)}", style="dim")
    return text


def show(page: Page, stream: TextIO) -> None:
    """Print the page; a stream that cannot write an arrow gets a question mark."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    print_page(page, Console(file=stream, highlight=False, soft_wrap=False))
