"""Families: which p-values are adjusted together, and the verdicts that follow.

The quality columns and the two latencies of a system's row are one family (Holm), or the rows of
all systems are. Stages say where time went: those of a phase are a family of their own, and none
has a smaller p than its phase has (a serial gatekeeper; Westfall and Krishen, 2001), so that while
nothing changed they add no false alarm.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from stabench.harness.compare.paired import Change
from stabench.harness.compare.rows import OpenLine
from stabench.harness.compare.verdict import Call, Line, call, is_no_worse
from stabench.harness.stats.permutation import adjusted

# Share of the phase: a stage that gains or loses less is not called, however small it is itself.
STAGE_SHARE = 0.01


def adjust_p_values(rows: Sequence[Sequence[OpenLine]], together: bool) -> list[dict[str, float]]:
    """Return the adjusted p-value of each tested line of each row, by key.

    `together` takes the rows of all systems as one family.
    """
    tests = [
        [(i, line) for line in row if line.tested and line.block != "stage"]
        for i, row in enumerate(rows)
    ]
    adjusted_ps: list[dict[str, float]] = [{} for _ in rows]
    for family in [list(chain(*tests))] if together else tests:
        ps = adjusted([_get_p(line) for _, line in family])
        for (index, line), p in zip(family, ps, strict=True):
            adjusted_ps[index][line.key] = p
    for row, row_ps in zip(rows, adjusted_ps, strict=True):
        row_ps.update(_adjust_stages(row, row_ps))
    return adjusted_ps


def _get_p(line: OpenLine) -> float:
    """Return the p-value of a line that is tested."""
    assert isinstance(line.change, Change)
    return line.change.p_value


def _adjust_stages(row: Sequence[OpenLine], row_ps: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values of stages, adjusted within their phase and none below its phase's."""
    stage_ps = {}
    for phase in {line.phase for line in row if line.block == "stage"}:
        stages = [
            line for line in row if line.block == "stage" and line.phase == phase and line.tested
        ]
        ps = adjusted([_get_p(line) for line in stages])
        for line, p in zip(stages, ps, strict=True):
            # A phase that was not tested opens no gate: its stages are never significant.
            stage_ps[line.key] = max(p, row_ps.get(phase, 1.0))
    return stage_ps


def judge_line(line: OpenLine, row: Sequence[OpenLine], p: float | None) -> Line:
    """Return the line with its verdict; `row` holds the phases of its stages."""
    relative = line.block != "quality"
    change = line.change if isinstance(line.change, Change) else None
    if change is None:
        verdict = Call("not measured", str(line.change))
    elif line.settled:
        verdict = line.settled
    else:
        assert p is not None
        verdict = call(change, p, line.head.better, line.bounds, relative=relative)
        if line.block == "stage" and verdict.word in ("improved", "regressed"):
            verdict = _limit_stage(line.phase, change, row, verdict)
    # What is open may still be shown to be no worse; a gate lets it pass.
    better = line.head.better
    fine = verdict.word in ("improved", "same") or (
        change is not None
        and verdict.word == "inconclusive"
        and is_no_worse(change, better, line.bounds, relative=relative)
    )
    return Line(
        key=line.key,
        label=line.head.label,
        block=line.block,
        unit=line.head.unit,
        digits=line.head.digits,
        better=better,
        bounds=line.bounds,
        change=change,
        p_adjusted=p,
        verdict=verdict.word,
        reason=verdict.reason,
        note=line.note,
        no_worse=fine,
        expected=line.expected,
        phase=line.phase,
    )


def _limit_stage(key: str, change: Change, row: Sequence[OpenLine], verdict: Call) -> Call:
    """Return the verdict of a stage, which is called only where it matters to its phase."""
    phase = next(other for other in row if other.key == key)
    difference_ns = abs(change.new - change.old)
    if isinstance(phase.change, Change) and difference_ns < STAGE_SHARE * phase.change.old:
        return Call("inconclusive", f"less than {STAGE_SHARE:.0%} of its phase")
    return verdict
