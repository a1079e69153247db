"""The terminal: a page drawn with rich, its tables split where the window is narrow.

Where not even one number fits beside the keys, each line of a table is printed as a list of its
cells. Texts are folded; a number is never cropped, left out or broken.
"""

import io
import os
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stabench.harness.formatting import NOTHING, plain
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
# Widths to which other columns of texts are folded where that saves a table.
KEY_WIDTHS = (60, 40, 30, 20, SHORTEST_KEY)
# Widest name of a cell where a line is printed as a list.
LONGEST_LABEL = 17
# Where a word is broken that is too long: anywhere but in a number.
ATOMS = re.compile(r"\d+(?:[.,:]\d+)*|\D")


def print_page(page: Page, console: Console) -> None:
    """Print what a reader at the keyboard needs; the file report.md says the rest."""
    console.print(_make_text(page.title, "bold", width=console.width))
    console.print(_make_text(page.lead, width=console.width))
    for section in page.sections:
        if section.only != "markdown":
            # What can show no bold (a file, a pipe, NO_COLOR) gets stars.
            print_section(section if console.color_system else _add_stars(section), console)


def _make_text(text: str, style: str = "", *, width: int | None = None) -> Text:
    """Return a text that the terminal prints as it is, whatever it holds.

    Every text of a page comes to the console through here; rich reads no markup in a Text. It folds
    between words; those that are longer than `width` are broken here, and no number is.
    """
    return Text(plain(text) if width is None else _break_words(plain(text), width), style=style)


def _break_words(text: str, width: int) -> str:
    """Return the text with a line break in each word that is longer than `width`, outside numbers.

    >>> _break_words("at clip-0012345 now", 8)
    'at clip-\\n0012345 now'
    """
    words = []
    for word in text.split(" "):
        lines = [word]
        if cell_len(word) > width:
            lines = [""]
            for atom in ATOMS.findall(word):
                if lines[-1] and cell_len(lines[-1] + atom) > width:
                    lines.append("")
                lines[-1] += atom
        words.append("\n".join(lines))
    return " ".join(words)


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


def print_section(section: Section, console: Console) -> None:
    """Print a section: its title, paragraphs, table and points."""
    console.print()
    console.print(_make_text(section.title, "bold underline", width=console.width))
    for paragraph in section.text:
        console.print(_make_text(paragraph, width=console.width))
    if section.grid:
        layout = arrange(section.grid, console.width)
        for index, part in enumerate(layout.parts if not layout.overflow else ()):
            console.print()
            console.print(_draw(section.grid, part, layout.key_widths, again=index > 0))
        if layout.overflow:
            _print_as_lists(section.grid, layout, console)
    if section.grid and section.points:
        console.print()
    for point in section.points:
        # Later lines of a point are indented, as a table's second column is.
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(Text("-"), _make_text(point, width=console.width - 3))
        console.print(grid)


class Layout(NamedTuple):
    """Which columns are drawn together, by index, and how wide those are that are keys.

    `overflow` is by how much the widest part is wider than the terminal, 0 where all fit; what does
    not fit is printed as lists.
    """

    key_widths: dict[int, int]
    parts: list[list[int]]
    overflow: int


def arrange(grid: Grid, width: int) -> Layout:
    """Return all columns in one table, or each block in as few as fit `width`, each with the keys.

    Names and other keys are folded only as far as it saves a table or makes one fit. Columns
    without a number anywhere are left out: the points under the grid say why.
    """
    widths = [_measure(grid, index) for index in range(len(grid.heads))]
    shown = [
        index
        for index, head in enumerate(grid.heads)
        if head.block and any(_is_number(line.cells[index]) for line in grid.lines if line.cells)
    ]
    least = [_measure_number(grid, index) for index in range(len(grid.heads))]
    widest = max(min(widths[0], LONGEST_NAME), least[0])
    names = range(widest, max(min(widest, SHORTEST_NAME), least[0]) - 1, -1)
    layouts = (
        _lay_out(grid, width, [name, *(widths[1:])], least, shown, most)
        for most in (width, *KEY_WIDTHS)
        for name in names
    )
    return min(layouts, key=lambda layout: (layout.overflow > 0, len(layout.parts)))


def _lay_out(
    grid: Grid,
    width: int,
    widths: list[int],
    least: Sequence[int],
    shown: Sequence[int],
    most: int,
) -> Layout:
    """Return the tables of the columns `shown`.

    Of the keys the first is as wide as `widths` says, others at most `most` where numbers allow it.
    """
    keys = [index for index, head in enumerate(grid.heads) if not head.block]
    for index in keys[1:]:
        widths[index] = max(min(widths[index], most), least[index])
    # Room for the widest number, if for no more than that.
    number = max((widths[index] + GAP for index in shown), default=0)
    excess = _sum_widths(widths, keys) + number - width
    for index in _fold(widths, least, keys[1:], excess):
        widths[index] -= 1
    parts = [[*keys, *shown]]
    if _sum_widths(widths, parts[0]) > width and shown:
        room, parts = width - _sum_widths(widths, keys) - GAP, []
        for _, block in groupby(shown, key=lambda index: grid.heads[index].block):
            parts += [[*keys, *columns] for columns in _pack(list(block), widths, room)]
    overflow = max(0, *(_sum_widths(widths, part) - width for part in parts))
    return Layout({index: widths[index] for index in keys}, parts, overflow)


def _fold(
    widths: Sequence[int], least: Sequence[int], keys: Sequence[int], excess: int
) -> Iterator[int]:
    """Yield the key that gives a character away, `excess` times: each time the widest one.

    None of them becomes narrower than SHORTEST_KEY, or than a number in it.
    """
    left = {key: widths[key] for key in keys}
    for _ in range(excess):
        wide = [key for key in left if left[key] > max(SHORTEST_KEY, least[key])]
        if not wide:
            return
        widest = max(wide, key=lambda key: left[key])
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


def _measure_number(grid: Grid, index: int) -> int:
    """Return the width of the longest number in the texts of a column, which is never broken."""
    cells = [line.cells[index] for line in grid.lines if line.cells]
    atoms = (atom for cell in cells for text in cell[:2] for atom in ATOMS.findall(plain(text)))
    return max(map(cell_len, atoms), default=0)


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


def _draw(grid: Grid, columns: Sequence[int], key_widths: dict[int, int], *, again: bool) -> Table:
    """Return one table; quiet lines that have no number in these columns are left out.

    What is under a key is printed once, and not `again` in the later tables of the grid.
    """
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
            table.add_row(_make_text(line.heading, "bold", width=key_widths.get(columns[0])))
            continue
        texts = []
        for index in columns:
            cell, width = line.cells[index], key_widths.get(index)
            style = "bold" if cell.strong else "italic" if line.quiet else ""
            text = _make_text(cell.main, style, width=width)
            if cell.under and not (again and not grid.heads[index].block):
                text.append("\n").append(_make_text(cell.under, "dim", width=width))
            texts.append(text)
        table.add_row(*texts)
    return table


def _print_as_lists(grid: Grid, layout: Layout, console: Console) -> None:
    """Print each line of the grid as its first cell, then the others under it, with their heads."""
    columns = list(dict.fromkeys(index for part in layout.parts for index in part))
    heads = [plain(grid.heads[index].text) for index in columns[1:]]
    label = min(max(map(cell_len, heads), default=0), LONGEST_LABEL)
    number = max((_measure_number(grid, index) for index in columns[1:]), default=0)
    label = max(1, min(label, console.width - 2 * GAP - number))
    room = max(1, console.width - label - 2 * GAP)
    for line in _choose_lines(grid, columns):
        console.print()
        name = line.heading or f"{line.cells[0].main} {line.cells[0].under}".strip()
        console.print(_make_text(name, "bold", width=console.width))
        table = Table.grid(padding=(0, GAP, 0, 0))
        table.add_column(width=label)
        table.add_column(width=room)
        for index in columns[1:] if line.cells else ():
            cell = line.cells[index]
            text = f"{cell.main} {cell.under}".strip()
            if text and text != NOTHING:
                style = "bold" if cell.strong else ""
                head = _make_text(grid.heads[index].text, width=label)
                table.add_row(head, _make_text(text, style, width=room))
        if table.rows:
            console.print(Padding(table, (0, 0, 0, GAP)))


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
