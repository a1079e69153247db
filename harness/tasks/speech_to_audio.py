"""Speech to audio: its phases, its timings, and the columns of its table."""

from typing import Literal, NamedTuple

Phase = Literal["represent", "generate"]


Better = Literal["lower", "higher"]


class Column(NamedTuple):
    """One column; `block` is latency, quality or listeners.

    `random` says that a network with random weights heard the sounds: no figure is better then.
    """

    key: str
    label: str
    unit: str
    better: Better
    digits: int
    block: str
    random: bool = False

    @property
    def title(self) -> str:
        """Label, unit and an arrow to the better side."""
        unit = f" ({self.unit})" if self.block == "latency" else ""
        return f"{self.label}{unit} {'↓' if self.better == 'lower' else '↑'}"


class Timing(NamedTuple):
    """A latency column: the phase behind it and its unit, in nanoseconds."""

    column: Column
    phase: Phase
    unit_ns: float


TIMINGS = (
    Timing(Column("processing", "Processing", "ms", "lower", 1, "latency"), "represent", 1e6),
    Timing(Column("generation", "Generation", "s", "lower", 2, "latency"), "generate", 1e9),
)


PAPER = (
    Column("fad", "FAD", "", "lower", 2, "quality"),
    Column("fd", "FD", "", "lower", 2, "quality"),
    Column("kl", "KL", "", "lower", 2, "quality"),
    Column("is", "IS", "", "higher", 2, "quality"),
    Column("clap", "CLAP", "", "higher", 3, "quality"),
    Column("ovl", "OVL", "", "higher", 2, "listeners"),
    Column("rel", "REL", "", "higher", 2, "listeners"),
)


NOT_MEASURED = "not measured"


PARADIGMS = ("cascade", "end-to-end", "oracle", "unstated", "sanity")
"""Groups of rows, in their order."""
