"""The row of a system in a comparison, before its verdicts: every column, latency and stage."""

from typing import Literal, NamedTuple

from stabench.harness.compare import paired, paired_latency
from stabench.harness.compare.evidence import (
    ColumnEvidence,
    Evidence,
    Mismatch,
    Samples,
    SystemEvidence,
    of_hardware,
)
from stabench.harness.compare.paired import Change
from stabench.harness.compare.verdict import Bounds, Call, Line, Options, Word
from stabench.harness.runs.metrics_file import ColumnHead
from stabench.harness.tasks.task import Phase


class Pair(NamedTuple):
    """One system in the old run (`before`) and in the new one (`now`); what keeps them `apart`."""

    old: Evidence
    new: Evidence
    before: SystemEvidence
    now: SystemEvidence
    apart: tuple[Mismatch, ...] = ()

    @property
    def alike(self) -> bool:
        """Whether every output is the same to the bit."""
        return bool(self.now.audio) and self.before.audio == self.now.audio

    def forced(self, column: str | None = None) -> str:
        """What a reader must know of numbers that were not comparable."""
        texts = [one.text for one in self.apart if one.column in (None, column)]
        return f"forced although {' and '.join(texts)}" if texts else ""


class Asked(NamedTuple):
    """A line before its verdict: its change, or why there is none; a verdict already `settled`.

    `phase` is the key of the latency that a stage is a part of, `expected` whether the old run has
    a number.
    """

    key: str
    head: ColumnHead
    block: Literal["quality", "latency", "stage"]
    change: Change | str
    bounds: Bounds
    settled: Call | None = None
    note: str = ""
    phase: str = ""
    expected: bool = True

    @property
    def tested(self) -> bool:
        """Whether it is a test of the family."""
        return isinstance(self.change, Change) and self.settled is None


def row(pair: Pair, options: Options) -> list[Asked]:
    """Columns in the order of the old run, then the latencies, then their stages."""
    columns = dict.fromkeys((*pair.before.columns, *pair.now.columns))
    found = [_column(pair, column, options) for column in columns]
    phases = pair.new.of_task.phases
    found += [_latency(pair, phase, options) for phase in phases]
    return found + [stage for phase in phases for stage in _stages(pair, phase, options)]


def _column(pair: Pair, column: str, options: Options) -> Asked:
    head = pair.new.heads.get(column) or pair.old.heads[column]
    bounds = options.of(column, relative=False)
    before, now = pair.before.columns.get(column), pair.now.columns.get(column)
    if before is None or now is None:
        lack = f"not a column of the {'old' if before is None else 'new'} run"
        has = before is not None and before.value is not None
        return Asked(column, head, "quality", lack, bounds, expected=has)
    groups = {**pair.old.groups, **pair.new.groups}
    change = _apart(pair, before, now) or paired.change(before, now, groups, options.sampling)
    forced, only = pair.forced(column), paired.only(before, now)
    settled = None
    # What a transcript says is not in the audio.
    if isinstance(change, Change) and before.kind != "ratio" and pair.alike and not forced:
        settled = Call("same", "the audio is the same to the bit")
    note = "; ".join(part for part in (forced, only) if part)
    has = before.value is not None
    return Asked(column, head, "quality", change, bounds, settled, note, expected=has)


def _apart(pair: Pair, before: ColumnEvidence, now: ColumnEvidence) -> str | None:
    """Why a column of sets is not over the same clips and recordings, or None."""
    if "set" not in (before.kind, now.kind) or before.value is None or now.value is None:
        return None
    if pair.before.failed_clips != pair.now.failed_clips:
        return "over other clips: not the same ones failed; a set metric needs the same"
    if pair.old.references != pair.new.references:
        return "against other recordings: not the same were heard"
    return None


def _latency(pair: Pair, phase: Phase, options: Options) -> Asked:
    column = phase.column
    samples = pair.before.samples_ns.get(phase.name), pair.now.samples_ns.get(phase.name)
    return _timed(pair, column.key, column.label, "latency", samples, column.key, options)


def _stages(pair: Pair, phase: Phase, options: Options) -> list[Asked]:
    """Every stage of a phase that one of the runs has."""
    before, now, key = pair.before.stages_ns, pair.now.stages_ns, phase.column.key
    names = [name for name in {**before, **now} if name.startswith(f"{phase.name}/")]
    return [
        _timed(pair, name, name, "stage", (before.get(name), now.get(name)), key, options)
        for name in names
    ]


def _timed(
    pair: Pair,
    key: str,
    label: str,
    block: Literal["latency", "stage"],
    samples: tuple[Samples | None, Samples | None],
    phase: str,
    options: Options,
) -> Asked:
    head = ColumnHead(label=label, unit="ms", digits=1, better="lower")
    other = of_hardware(pair.old, pair.new)
    before, now = samples
    if before is None or now is None:
        lack = pair.before.untimed or pair.now.untimed
        change: Change | str = lack or f"not timed in the {'old' if before is None else 'new'} run"
    elif other and not options.across_hardware:
        change = f"{other.text}; --across-hardware shows the ratio"
    else:
        change = paired_latency.change(before, now, options.sampling)
    settled = Call("not measured", other.text) if other else None
    bounds = options.of(phase, relative=True)
    return Asked(
        key, head, block, change, bounds, settled, pair.forced(), phase, before is not None
    )


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
    verdict: Word = "regressed" if new > old else "improved" if new < old else "same"
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
