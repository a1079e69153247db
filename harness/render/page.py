"""The page: what a report says, in sections of text and grids, before any format.

Texts are as they were written, whoever wrote them: each format escapes them once, where it prints
them (render/escape.py).
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple


class Printed(NamedTuple):
    """One printed cell: its main line, a smaller line under it; `strong` stands out."""

    main: str
    under: str = ""
    strong: bool = False


class Head(NamedTuple):
    """One column head. Columns without a `block` are keys: a split grid repeats them.

    `names` says what the cells name, where a format can lead the reader to it: "clip" or nothing.
    """

    text: str
    block: str = ""
    names: str = ""


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
    """Paragraphs, a grid, then points. `only` is "markdown" or "terminal", or empty for both.

    By its `key` a section is looked up and linked to; its title is for readers and may change.
    """

    key: str
    title: str
    text: tuple[str, ...] = ()
    grid: Grid | None = None
    points: tuple[str, ...] = ()
    only: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report. Raises ValueError for two sections of one key."""

    title: str
    lead: str
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        for key, count in Counter(section.key for section in self.sections).items():
            if count > 1:
                raise ValueError(f"{count} sections have the key '{key}', expected one of each")

    def section(self, key: str) -> Section:
        """Return the section with `key`. Raises KeyError without it."""
        by_key = {section.key: section for section in self.sections}
        return by_key[key]
