"""Options: how to compare two runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.verdicts.paired import STANDARD, Sampling
from harness.verdicts.verdict import Bounds

ANY = Bounds()
"""Every significant change counts, and only equality is the same."""
FIVE_PERCENT = Bounds(0.05, 0.05)
"""Of a latency: less is what a machine does on its own from one run to the next."""


@dataclass(frozen=True)
class Options:
    """`names`: the new name of an old system, where it is another; only these are compared then.

    `bounds` by column, or "processing" and "generation"; stages have their phase's. `family` "all"
    adjusts over the rows of all systems together, as a gate with one answer must.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    quality: Bounds = ANY
    latency: Bounds = FIVE_PERCENT
    family: Literal["row", "all"] = "row"
    across_hardware: bool = False
    force: bool = False
    sampling: Sampling = STANDARD

    def of(self, key: str, *, relative: bool) -> Bounds:
        """The bounds of a column, or of a latency (`relative`)."""
        return self.bounds.get(key, self.latency if relative else self.quality)
