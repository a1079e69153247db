"""Failed clips of two runs: a system that fails more is worse, whatever its means say.

A clip that an interrupted run did not come to has no result either, and counts as one.
"""

from harness.verdicts.record import SystemEvidence
from harness.verdicts.verdict import Bounds, Line


def asked(system: SystemEvidence) -> set[str]:
    """The clips that a system was given, as far as the evidence names them."""
    values = (one.per_clip for one in system.columns.values() if one.kind == "mean")
    timed = (*system.samples_ns.values(),)
    named = [system.failed_clips, system.audio, *values, *timed]
    return {clip for clips in named for clip in clips}


def line(before: SystemEvidence, now: SystemEvidence) -> Line:
    """Counts over the clips that both were given. One more failure is a regression: no test."""
    both = asked(before) & asked(now)
    old, new = (len(both & {*one.failed_clips}) for one in (before, now))
    verdict = "regressed" if new > old else "improved" if new < old else "same"
    reason = f"{old} of {len(both)} clips failed or not run, now {new}"
    return Line(
        key="failed",
        label="Failed clips",
        block="failures",
        unit="",
        digits=0,
        better="lower",
        bounds=Bounds(),
        change=None,
        p_adjusted=None,
        verdict=verdict if both else "not measured",
        reason=reason if both else "no clip in common",
        no_worse=bool(both) and new <= old,
    )
