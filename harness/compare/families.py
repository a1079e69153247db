"""Families: which p-values are adjusted together, and the verdicts that follow.

The quality columns and the two latencies of a system's row are one family (Holm), or the rows of
all systems are. Stages say where time went: those of a phase are a family of their own, and none
has a smaller p than its phase has (a serial gatekeeper; Westfall and Krishen, 2001), so that while
nothing changed they add no false alarm.
"""

from collections.abc import Sequence

from stabench.harness.compare.paired import Change
from stabench.harness.compare.rows import Asked
from stabench.harness.compare.verdict import Call, Line, call, no_worse
from stabench.harness.stats.permutation import adjusted

STAGE_SHARE = 0.01
"""Of its phase: a stage that gains or loses less is not called, however small it is itself."""


def p_values(rows: Sequence[Sequence[Asked]], together: bool) -> list[dict[str, float]]:
    """The adjusted p-value of each tested line of each row, by key."""
    keys = [(i, one) for i, row in enumerate(rows) for one in row if _in_row(one)]
    found: list[dict[str, float]] = [{} for _ in rows]
    for chosen in (
        [keys] if together else [[k for k in keys if k[0] == i] for i in range(len(rows))]
    ):
        ps = adjusted([_p(one) for _, one in chosen])
        for (index, one), p in zip(chosen, ps, strict=True):
            found[index][one.key] = p
    for row, own in zip(rows, found, strict=True):
        own.update(_stages(row, own))
    return found


def _in_row(one: Asked) -> bool:
    return one.tested and one.block != "stage"


def _p(one: Asked) -> float:
    """The p-value of a line that is tested."""
    assert isinstance(one.change, Change)
    return one.change.p_value


def _stages(row: Sequence[Asked], own: dict[str, float]) -> dict[str, float]:
    found = {}
    for phase in {one.phase for one in row if one.block == "stage"}:
        stages = [one for one in row if one.block == "stage" and one.phase == phase and one.tested]
        ps = adjusted([_p(one) for one in stages])
        for one, p in zip(stages, ps, strict=True):
            found[one.key] = max(p, own.get(phase, 1.0))
    return found


def line(one: Asked, row: Sequence[Asked], p: float | None) -> Line:
    """The line with its verdict."""
    relative = one.block != "quality"
    change = one.change if isinstance(one.change, Change) else None
    if change is None:
        found = Call("not measured", str(one.change))
    elif one.settled:
        found = one.settled
    else:
        assert p is not None
        found = call(change, p, one.head.better, one.bounds, relative=relative)
        if one.block == "stage" and found.word in ("improved", "regressed"):
            found = _of_stage(one.phase, change, row, found)
    better = one.head.better
    fine = found.word in ("improved", "same") or (
        change is not None
        and found.word == "inconclusive"
        and no_worse(change, better, one.bounds, relative=relative)
    )
    return Line(
        key=one.key,
        label=one.head.label,
        block=one.block,
        unit=one.head.unit,
        digits=one.head.digits,
        better=better,
        bounds=one.bounds,
        change=change,
        p_adjusted=p,
        verdict=found.word,
        reason=found.reason,
        note=one.note,
        no_worse=fine,
        expected=one.expected,
        phase=one.phase,
    )


def _of_stage(key: str, change: Change, row: Sequence[Asked], found: Call) -> Call:
    """A stage is called only where it matters to its phase."""
    phase = next(other for other in row if other.key == key)
    gained = abs(change.new - change.old)
    if isinstance(phase.change, Change) and gained < STAGE_SHARE * phase.change.old:
        return Call("inconclusive", f"less than {STAGE_SHARE:.0%} of its phase")
    return found
