"""Verdicts: what a change means, in one of five words, and what all words of a system mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, log1p
from typing import Literal, NamedTuple

from stabench.harness.compare.paired import STANDARD, Change, Sampling
from stabench.harness.stats.bootstrap import DRIFT
from stabench.harness.stats.permutation import ALPHA

# Share of the values below which a change is the rounding of equal ones.
ROUNDING = 1e-12

Better = Literal["lower", "higher"]
Word = Literal["improved", "regressed", "same", "inconclusive", "not measured"]
Pareto = Literal["dominates", "dominated", "trade-off", "same", "inconclusive", "not measured"]
Block = Literal["quality", "latency", "stage", "failures"]


class Bounds(NamedTuple):
    """The least change that counts (`effect`), and the most that is called the same (`margin`).

    In the metric's unit; of a time the share: 0.05 is 5 % slower, or as much quicker.
    """

    effect: float = 0.0
    margin: float = 0.0


class Call(NamedTuple):
    """A verdict, and why it is not a plainer one."""

    word: Word
    reason: str = ""


class Line(NamedTuple):
    """One metric of one system: the change, its p-value adjusted for its family, the verdict.

    `reason` says why a verdict is what it is where that is not plain, `note` what else a reader
    must know. `no_worse`: not worse by more than the margin (non-inferiority). `expected`: the old
    run has it, so that the new one ought to. `phase` is the latency that a stage is a part of.
    """

    key: str
    label: str
    block: Block
    unit: str
    digits: int
    better: Better
    bounds: Bounds
    change: Change | None
    p_adjusted: float | None
    verdict: Word
    reason: str = ""
    note: str = ""
    no_worse: bool = False
    expected: bool = True
    phase: str = ""


class Scale(NamedTuple):
    """A change and its interval on a scale where 0 is none: itself, or the log of a ratio."""

    value: float
    low: float
    high: float


def scale_change(change: Change, relative: bool) -> Scale:
    """Return the change, or of a ratio (`relative`) the log."""
    ends = (change.change, change.low, change.high)
    return Scale(*(log(end) for end in ends)) if relative else Scale(*ends)


def call(change: Change, p: float, better: Better, bounds: Bounds, *, relative: bool) -> Call:
    """Return the verdict of a change whose adjusted p-value is `p`.

    improved or regressed: p <= 0.05 and at least the effect. same: the whole interval lies within
    the margin, which is two one-sided tests at 2.5 % each (Schuirmann, 1987). Else inconclusive.
    A change that is no more than rounding is none.
    """
    if change.drifted:
        return Call("inconclusive", f"{DRIFT}; run old and new interleaved (stabench gate --base)")
    size, limits = scale_change(change, relative), _scale_bounds(bounds, relative)
    least = ROUNDING if relative else ROUNDING * max(abs(change.old), abs(change.new))
    if max(map(abs, size)) <= least:
        return Call("same", f"equal on all {change.n} clips")
    counts = abs(size.value) >= limits.effect and size.value != 0
    if p <= ALPHA and counts:
        return Call("improved" if (size.value < 0) == (better == "lower") else "regressed")
    if -limits.margin <= size.low and size.high <= limits.margin:
        return Call("same")
    if p <= ALPHA:
        return Call("inconclusive", "a change, but below the least that counts")
    if change.least_p > ALPHA:
        return Call("inconclusive", f"so few clips give no p below {change.least_p:.2g}")
    return Call("inconclusive")


def is_no_worse(change: Change, better: Better, bounds: Bounds, *, relative: bool) -> bool:
    """Return whether the interval's worse end lies within the margin (non-inferiority)."""
    if change.drifted:
        return False
    size, limits = scale_change(change, relative), _scale_bounds(bounds, relative)
    return size.high <= limits.margin if better == "lower" else size.low >= -limits.margin


def _scale_bounds(bounds: Bounds, relative: bool) -> Bounds:
    # On the log scale 5 % slower and as much quicker are equally far from no change.
    return Bounds(*map(log1p, bounds)) if relative else bounds


def judge_pareto(lines: Sequence[Line]) -> Pareto:
    """Judge the new system against the old over quality, latency and failures.

    It dominates when something is better and everything else is shown to be no worse; what is
    not measured takes no part, and stages are parts of latencies.
    """
    rows = [line for line in lines if line.block != "stage" and line.verdict != "not measured"]
    words = {line.verdict for line in rows}
    if not any(line.block != "failures" for line in rows):
        return "not measured"
    # One gain and one loss decide it, whatever is still open beside them.
    if {"improved", "regressed"} <= words:
        return "trade-off"
    if words == {"same"}:
        return "same"
    if "improved" in words and all(line.no_worse for line in rows):
        return "dominates"
    if "regressed" in words and not any(_may_be_better(line) for line in rows):
        return "dominated"
    return "inconclusive"


def _may_be_better(line: Line) -> bool:
    """Return whether a line could be better by more than its margin."""
    if line.verdict != "inconclusive" or line.change is None:
        return line.verdict == "improved"
    # Not shown to be no better: is_no_worse with the direction turned round.
    worse: Better = "higher" if line.better == "lower" else "lower"
    relative = line.block == "latency"
    return not is_no_worse(line.change, worse, line.bounds, relative=relative)


# Every significant change counts, and only equality is the same.
ANY = Bounds()
# For a latency: less is what a machine does on its own from one run to the next.
FIVE_PERCENT = Bounds(0.05, 0.05)


@dataclass(frozen=True)
class Options:
    """`names`: the new name of an old system, where it is another; only these are compared then.

    `bounds` by column, of quality or of a phase; stages have their phase's. `family` "all"
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

    def get_bounds(self, key: str, *, relative: bool) -> Bounds:
        """Return the bounds of a column, or of a latency (`relative`)."""
        return self.bounds.get(key, self.latency if relative else self.quality)
