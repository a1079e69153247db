"""The terminal: a page drawn with rich, its tables split where the window is narrow."""

import io
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stabench.harness.formatting import plain
from stabench.harness.render.page import Grid, Line, Page, Printed, Section

# How the best is printed, and the word by which a section's points name it.
BOLD = "Bold"

# Blanks between two columns of a table.
GAP = 2
# Widths of the first column, which is folded.
LONGEST_NAME = 30
SHORTEST_NAME = 14
# Width of another column of texts below which it is not folded: words stay whole.
SHORTEST_KEY = 12


def print_page(page: Page, console: Console) -> None:
    """Print what a reader at the keyboard needs; the file report.md says the rest."""
    console.print(_make_text(page.title, "bold"))
    console.print(_make_text(page.lead))
    for section in page.sections:
        if section.only != "markdown":
            # What can show no bold (a file, a pipe, NO_COLOR) gets stars.
            _print_section(section if console.color_system else _add_stars(section), console)


def _make_text(text: str, style: str = "") -> Text:
    """Return one line that the terminal prints as it is, whatever it holds.

    Every text of a page comes to the console through here; rich reads no markup in a Text.
    """
    return Text(plain(text), style=style)


def _add_stars(section: Section) -> Section:
    """Return the section for a stream without styles: bold that its points explain, in stars."""
    if not any(point.startswith(BOLD) for point in section.points):
        return section
    points = tuple(
        point.replace(BOLD, f"*{BOLD}*", 1) if point.startswith(BOLD) else point
        for point in section.points
    )
    grid = section.grid and section.grid._replace(
        lines=tuple(
            line._replace(
                cells=tuple(
                    cell._replace(main=f"*{cell.main}*") if cell.strong else cell
                    for cell in line.cells
                )
            )
            for line in section.grid.lines
        )
    )
    return section._replace(grid=grid, points=points)


def _print_section(section: Section, console: Console) -> None:
    console.print()
    console.print(_make_text(section.title, "bold underline"))
    for paragraph in section.text:
        console.print(_make_text(paragraph))
    if section.grid:
        layout = arrange(section.grid, console.width)
        for part in layout.parts:
            console.print()
            console.print(_draw(section.grid, part, layout.key_widths))
    if section.grid and section.points:
        console.print()
    for point in section.points:
        # Later lines of a point are indented, as a table's second column is.
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(Text("-"), _make_text(point))
        console.print(grid)


class Layout(NamedTuple):
    """Which columns are drawn together, by index, and how wide those are that are keys.

    `overflow` is by how much the widest part is wider than the terminal, 0 where all fit.
    """

    key_widths: dict[int, int]
    parts: list[list[int]]
    overflow: int


def arrange(grid: Grid, width: int) -> Layout:
    """Return all columns in one table, or each block in as few as fit `width`, each with the keys.

    Names are folded only as far as it saves a table or makes one fit, other keys only where they
    leave no room for a number. Columns without a number anywhere are left out: the points under
    the grid say why.
    """
    widest = min(_measure(grid, 0), LONGEST_NAME)
    names = range(widest, min(widest, SHORTEST_NAME) - 1, -1)
    layouts = (_lay_out(grid, width, name) for name in names)
    return min(layouts, key=lambda layout: (len(layout.parts), layout.overflow))


def _lay_out(grid: Grid, width: int, name_width: int) -> Layout:
    widths = [name_width, *(_measure(grid, index) for index in range(1, len(grid.heads)))]
    keys = [index for index, head in enumerate(grid.heads) if not head.block]
    shown = [
        index
        for index, head in enumerate(grid.heads)
        if head.block and any(_is_number(line.cells[index]) for line in grid.lines if line.cells)
    ]
    # Room for the widest number, if for no more than that.
    number = max((widths[index] + GAP for index in shown), default=0)
    excess = _sum_widths(widths, keys) + number - width
    for index in _fold(widths, keys[1:], excess):
        widths[index] -= 1
    parts = [[*keys, *shown]]
    if _sum_widths(widths, parts[0]) > width and shown:
        room, parts = width - _sum_widths(widths, keys) - GAP, []
        for _, block in groupby(shown, key=lambda index: grid.heads[index].block):
            parts += [[*keys, *columns] for columns in _pack(list(block), widths, room)]
    overflow = max(0, *(_sum_widths(widths, part) - width for part in parts))
    return Layout({index: widths[index] for index in keys}, parts, overflow)


def _fold(widths: Sequence[int], keys: Sequence[int], excess: int) -> Iterator[int]:
    """Yield the key that gives a character away, `excess` times: each time the widest one.

    None of them becomes narrower than SHORTEST_KEY.
    """
    left = {key: widths[key] for key in keys}
    for _ in range(excess):
        widest = max(left, key=lambda key: left[key], default=None)
        if widest is None or left[widest] <= SHORTEST_KEY:
            return
        left[widest] -= 1
        yield widest


def _pack(columns: Sequence[int], widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns in as few parts as fit into `room`, about equally many in each."""
    for count in range(1, len(columns)):
        # Rounded up, so that `count` parts hold them all.
        size = -(-len(columns) // count)
        split = [list(columns[start : start + size]) for start in range(0, len(columns), size)]
        if all(_sum_widths(widths, part) <= room for part in split):
            return split
    return [[column] for column in columns]


def _sum_widths(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[index] for index in columns) + GAP * (len(columns) - 1)


def _measure(grid: Grid, index: int) -> int:
    """Return the width of a column, in cells of the terminal: the head of numbers is folded."""
    cells = [line.cells[index] for line in grid.lines if line.cells]
    head = grid.heads[index]
    heads = _split_head(head.text) if head.block else [head.text]
    texts = [*heads, *(text for cell in cells for text in (cell.main, cell.under))]
    # A heading is in the first column, and is folded with it.
    texts += [] if index else [line.heading for line in grid.lines]
    return max(cell_len(plain(text)) for text in texts)


def _split_head(text: str) -> list[str]:
    """Return the words of a head; an arrow stays on the line of the word before it."""
    words = text.split(" ")
    for index in range(len(words) - 1, 0, -1):
        if not any(character.isalnum() for character in words[index]):
            words[index - 1 : index + 1] = [" ".join(words[index - 1 : index + 1])]
    return words


def _fold_head(text: str, width: int) -> str:
    """Return a head in as few lines as `width` allows."""
    lines: list[str] = []
    for word in _split_head(text):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _is_number(cell: Printed) -> bool:
    return any(character.isdigit() for character in cell.main)


def _draw(grid: Grid, columns: Sequence[int], key_widths: dict[int, int]) -> Table:
    """Return one table; quiet lines that have no number in these columns are left out."""
    # rich draws a divider, here a blank, beside the padding.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for index in columns:
        head = grid.heads[index]
        lines = [head.text]
        if head.block:
            lines = _fold_head(head.text, _measure(grid, index)).split("\n")
        # Keys are folded to their width; a number is never folded.
        table.add_column(
            Text("\n").join(map(_make_text, lines)),
            justify="right" if head.block else "left",
            overflow="fold",
            no_wrap=bool(head.block),
            width=key_widths.get(index),
        )
    for line in _choose_lines(grid, columns):
        if line.heading:
            table.add_row(_make_text(line.heading, "bold"))
            continue
        texts = []
        for cell in (line.cells[index] for index in columns):
            style = "bold" if cell.strong else "italic" if line.quiet else ""
            text = _make_text(cell.main, style)
            if cell.under:
                text.append("\n").append(_make_text(cell.under, "dim"))
            texts.append(text)
        table.add_row(*texts)
    return table


def _choose_lines(grid: Grid, columns: Sequence[int]) -> list[Line]:
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


def show(page: Page, stream: TextIO, *, width: int | None = None) -> None:
    """Print the page; a stream that cannot write an arrow gets a question mark.

    `width` is that of a stream which is no terminal, where COLUMNS does not say another: 80.
    """
    # Such as a pipe under LANG=C: a report that fails on its last line is worth nothing.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    if stream.isatty() or os.environ.get("COLUMNS"):
        width = None
    print_page(page, Console(file=stream, width=width, highlight=False, soft_wrap=False))
