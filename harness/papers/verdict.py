"""Verdicts: a published figure beside the one of a run, and what may be said of the two.

The rule: a figure is reproduced when the run's 95 % interval meets what the published one can be
before rounding. Otherwise it is off by k sigma: its distance from the run's value over that of the
interval's nearer end, times 1.96. The published figure's own error is not in k (a paper's ± is the
spread of clips), so k is at its largest. A dash in the paper is no figure: its cell is not rated,
whatever the run has.
"""

from typing import Literal, NamedTuple

from harness.estimate import Estimate

Kind = Literal["cell", "ratio", "claim"]
Outcome = Literal["reproduced", "off", "not comparable", "not run", "not rated"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "off", "not comparable", "not run", "not rated")
Z = 1.96
"""Sigmas from the middle of a normal distribution to the ends of its 95 % interval."""
NO_INTERVAL = "the run's figure has no interval"


class Published(NamedTuple):
    """A published figure and the ends of what it can be before rounding; None: a printed dash."""

    value: float | None
    low: float
    high: float
    digits: int
    unit: str = ""
    pm: float | None = None


class Verdict(NamedTuple):
    """One figure of a paper beside one system of a run.

    `group` and `figure` say which figure it is, `systems` whose are the run's. `sigmas` are with
    outcome "off", `reasons` with the last three outcomes.
    """

    kind: Kind
    group: str
    figure: str
    published: Published
    systems: tuple[str, ...]
    run: Estimate
    outcome: Outcome
    sigmas: float | None = None
    reasons: tuple[str, ...] = ()


def printed(value: float | None, digits: int, unit: str = "", pm: float | None = None) -> Published:
    """A figure as a paper prints it, with `digits` decimals."""
    if value is None:
        return Published(None, 0.0, 0.0, digits, unit)
    half = 0.5 * 10.0**-digits
    return Published(value, value - half, value + half, digits, unit, pm)


def judge(published: Published, run: Estimate) -> tuple[Outcome, float | None, tuple[str, ...]]:
    """Outcome, sigmas and reasons of two figures that may be compared."""
    if published.value is None:
        raise ValueError("judge: there is no published figure")
    if run.value is None:
        return "not run", None, (run.reason or "not measured",)
    if run.low is None or run.high is None:
        return "not comparable", None, (run.reason or NO_INTERVAL,)
    if published.low <= run.high and run.low <= published.high:
        return "reproduced", None, ()
    below = published.high < run.low
    distance = run.value - published.high if below else published.low - run.value
    reach = run.value - run.low if below else run.high - run.value
    if reach <= 0:
        return "not comparable", None, (NO_INTERVAL,)
    return "off", Z * distance / reach, ()
