"""The page: what a report says, in sections of text and grids, before any format."""

from typing import NamedTuple


class Printed(NamedTuple):
    """One printed cell: its main line, a smaller line under it; `strong` stands out."""

    main: str
    under: str = ""
    strong: bool = False


class Head(NamedTuple):
    """One column head. Columns without a `block` are keys: a split grid repeats them."""

    text: str
    block: str = ""


class Line(NamedTuple):
    """One line of a grid: its cells, or a heading over the lines that follow; `quiet` recedes."""

    cells: tuple[Printed, ...] = ()
    heading: str = ""
    quiet: bool = False


class Grid(NamedTuple):
    """A table as it is printed."""

    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


class Section(NamedTuple):
    """Paragraphs, a grid, then points. `only` is "markdown" or "terminal", or empty for both."""

    title: str
    text: tuple[str, ...] = ()
    grid: Grid | None = None
    points: tuple[str, ...] = ()
    only: str = ""


class Page(NamedTuple):
    """A whole report."""

    title: str
    lead: str
    sections: tuple[Section, ...]
