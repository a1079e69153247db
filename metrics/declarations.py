"""What each metric is called, which direction is better, and what it needs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One column. `version` rises when the same inputs would give another number.

    `needs` names embedders of a suite (`fad`, `tagger`, `clap`) and parts of a clip (`reference`,
    `caption`, `labels`).
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    unit: str
    digits: int
    version: int
    needs: tuple[str, ...]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("fad", "FAD", "lower", "", 2, 1, ("fad", "reference")),
        Metric("fd", "FD", "lower", "", 2, 1, ("tagger", "reference")),
        Metric("kl", "KL", "lower", "nats", 2, 1, ("tagger", "reference")),
        Metric("is", "IS", "higher", "", 2, 1, ("tagger",)),
        Metric("clap", "CLAP", "higher", "", 3, 1, ("clap", "caption")),
        Metric("recall", "Event recall", "higher", "", 2, 1, ("tagger", "labels")),
    )
}
"""In the order of the paper's table; event recall is the pocket world's own."""
