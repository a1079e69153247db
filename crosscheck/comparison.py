"""One number twice, from a peer and from us: how far apart, how far they may be, and the table."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Of arrays the value is one element. Differences are relative.
HEADER = ("quantity", "peer", "peer's value", "ours", "difference", "tolerance", "verdict")


class Comparison(NamedTuple):
    """`theirs` and `ours` of one `quantity`; `tolerance` None shows a difference that must be.

    Without `theirs` the comparison was not run, and `note` says why.
    """

    quantity: str
    peer: str
    theirs: float | None
    ours: float | None
    difference: float | None
    tolerance: float | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Return "ok", "OUT" of tolerance (NaN is), "shown" without one, or "not run"."""
        if self.difference is None:
            return "not run"
        if self.tolerance is None:
            return "shown"
        return "ok" if self.difference <= self.tolerance else "OUT"


def numbers(
    quantity: str,
    peer: str,
    theirs: float,
    ours: float,
    tolerance: float | None,
    note: str = "",
) -> Comparison:
    """Compare two numbers; their difference is relative to the peer's."""
    difference = abs(ours - theirs) / abs(theirs) if theirs else abs(ours)
    return Comparison(quantity, peer, theirs, ours, float(difference), tolerance, note)


def arrays(
    quantity: str,
    peer: str,
    theirs: np.ndarray,
    ours: np.ndarray,
    tolerance: float | None,
    note: str = "",
) -> Comparison:
    """Compare two arrays, shown by the element that is largest in the peer's.

    Their difference is the largest of any element, relative to it. Raises ValueError for shapes
    that differ.
    """
    theirs, ours = np.asarray(theirs, np.float64), np.asarray(ours, np.float64)
    if theirs.shape != ours.shape:
        raise ValueError(f"{quantity}: {peer} gives {theirs.shape}, ours {ours.shape}")
    at = np.unravel_index(np.abs(theirs).argmax(), theirs.shape)
    difference = np.abs(theirs - ours).max() / np.abs(theirs[at])
    shown = float(theirs[at]), float(ours[at])
    return Comparison(quantity, peer, *shown, float(difference), tolerance, note)


def not_run(quantity: str, peer: str, reason: str) -> Comparison:
    """Return a comparison that something missing prevented."""
    return Comparison(quantity, peer, None, None, None, None, reason)


def to_markdown(comparisons: Iterable[Comparison]) -> str:
    """Write a table, a row for each comparison, columns aligned, with numbered notes below."""
    comparisons = list(comparisons)
    notes = list(dict.fromkeys(each.note for each in comparisons if each.note))
    rows = [HEADER, *(_format_cells(each, notes) for each in comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = (f" {cell:<{width}} " for cell, width in zip(row, widths, strict=True))
        lines.append("|".join(["", *padded, ""]))
    lines.insert(1, "|".join(["", *("-" * (width + 2) for width in widths), ""]))
    return "\n".join([*lines, "", *(f"[{n}] {note}" for n, note in enumerate(notes, 1))])


def exit_code(comparisons: Iterable[Comparison]) -> int:
    """Return 1 when one is out of tolerance, else 3 when one was not run, else 0."""
    verdicts = {each.verdict for each in comparisons}
    return 1 if "OUT" in verdicts else 3 if "not run" in verdicts else 0


def _format_cells(each: Comparison, notes: list[str]) -> tuple[str, ...]:
    mark = f" [{notes.index(each.note) + 1}]" if each.note else ""
    return (
        each.quantity + mark,
        each.peer,
        _format_figure(each.theirs, ".9g"),
        _format_figure(each.ours, ".9g"),
        _format_figure(each.difference, ".1e"),
        _format_figure(each.tolerance, ".0e"),
        each.verdict,
    )


def _format_figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
