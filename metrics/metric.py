"""What a metric is: one column of a table, by name."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One column of a table.

    `version` rises when the same inputs would give another number. `measure` is the
    "module:function" that takes (metric, sets) and returns values [N] of each clip, of which the
    mean is reported, or a TwoSample. `needs` names networks of a protocol (`fad`, `tagger`, ...;
    the one that the metric is about first) and parts of a clip: `reference` (the set of
    recordings), `pair` (each clip's own recordings), `caption`, `labels`, `sequence` (events one
    after the other), `together` (events at the same time). `rules` are the fields of the protocol
    that decide the number, `least` the clips below which there is none, `lowest` what it cannot be
    below.
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    unit: str
    digits: int
    version: int
    needs: tuple[str, ...]
    measure: str
    rules: tuple[str, ...] = ()
    least: int = 2
    lowest: float | None = None
    about: str = ""
