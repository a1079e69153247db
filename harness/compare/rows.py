"""The row of a system in a comparison, before its verdicts: every column, latency and stage."""

from typing import Literal, NamedTuple

from stabench.harness.compare import paired, paired_latency
from stabench.harness.compare.evidence import (
    ColumnEvidence,
    Evidence,
    Mismatch,
    Samples,
    SystemEvidence,
    find_hardware_mismatch,
)
from stabench.harness.compare.paired import Change
from stabench.harness.compare.verdict import Bounds, Call, Line, Options, Word
from stabench.harness.runs.metrics_file import ColumnHead


class Pair(NamedTuple):
    """One system in the old run (`before`) and in the new one (`now`); what keeps them `apart`."""

    old: Evidence
    new: Evidence
    before: SystemEvidence
    now: SystemEvidence
    apart: tuple[Mismatch, ...] = ()

    @property
    def alike(self) -> bool:
        """Return whether every output is the same to the bit."""
        return bool(self.now.audio) and self.before.audio == self.now.audio

    def forced(self, column: str | None = None) -> str:
        """Return what a reader must know of numbers that were not comparable."""
        texts = [mismatch.text for mismatch in self.apart if mismatch.column in (None, column)]
        return f"forced although {' and '.join(texts)}" if texts else ""


class OpenLine(NamedTuple):
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
        """Return whether it is a test of the family."""
        return isinstance(self.change, Change) and self.settled is None


def measure_row(pair: Pair, options: Options) -> list[OpenLine]:
    """Return columns in the order of the old run, then the latencies, then their stages."""
    before, now = pair.before, pair.now
    # A dict keeps the old run's order, which a set would not.
    columns = dict.fromkeys((*before.columns, *now.columns))
    lines = [_measure_column(pair, column, options) for column in columns]
    for phase in pair.new.of_task.phases:
        column = phase.column
        samples = before.samples_ns.get(phase.name), now.samples_ns.get(phase.name)
        lines.append(
            _measure_times(pair, column.key, column.label, "latency", samples, column.key, options)
        )
    for phase in pair.new.of_task.phases:
        for name in {**before.stages_ns, **now.stages_ns}:
            if name.startswith(f"{phase.name}/"):
                samples = before.stages_ns.get(name), now.stages_ns.get(name)
                lines.append(
                    _measure_times(pair, name, name, "stage", samples, phase.column.key, options)
                )
    return lines


def _measure_column(pair: Pair, column: str, options: Options) -> OpenLine:
    """Return the line of a quality column that at least one of the runs has."""
    head = pair.new.heads.get(column) or pair.old.heads[column]
    bounds = options.get_bounds(column, relative=False)
    before, now = pair.before.columns.get(column), pair.now.columns.get(column)
    if before is None or now is None:
        lack = f"not a column of the {'old' if before is None else 'new'} run"
        has = before is not None and before.value is not None
        return OpenLine(column, head, "quality", lack, bounds, expected=has)
    groups = {**pair.old.groups, **pair.new.groups}
    change = _find_obstacle(pair, before, now) or paired.measure_change(
        before, now, groups, options.sampling
    )
    forced, only = pair.forced(column), paired.describe_unpaired(before, now)
    settled = None
    # A ratio is left to its test: what a transcript says is not in the audio.
    if isinstance(change, Change) and before.kind != "ratio" and pair.alike and not forced:
        settled = Call("same", "the audio is the same to the bit")
    note = "; ".join(part for part in (forced, only) if part)
    has = before.value is not None
    return OpenLine(column, head, "quality", change, bounds, settled, note, expected=has)


def _find_obstacle(pair: Pair, before: ColumnEvidence, now: ColumnEvidence) -> str | None:
    """Return why a column of sets is not over the same clips and recordings, or None."""
    if "set" not in (before.kind, now.kind) or before.value is None or now.value is None:
        return None
    if pair.before.failed_clips != pair.now.failed_clips:
        return "over other clips: not the same ones failed; a set metric needs the same"
    if pair.old.references != pair.new.references:
        return "against other recordings: not the same were heard"
    return None


def _measure_times(
    pair: Pair,
    key: str,
    label: str,
    block: Literal["latency", "stage"],
    samples: tuple[Samples | None, Samples | None],
    phase: str,
    options: Options,
) -> OpenLine:
    """Return the line of a latency or a stage; `phase` is the column whose bounds it has."""
    head = ColumnHead(label=label, unit="ms", digits=1, better="lower")
    other = find_hardware_mismatch(pair.old, pair.new)
    before, now = samples
    if before is None or now is None:
        lack = pair.before.untimed or pair.now.untimed
        change: Change | str = lack or f"not timed in the {'old' if before is None else 'new'} run"
    elif other and not options.across_hardware:
        change = other.text
    else:
        change = paired_latency.measure_change(before, now, options.sampling)
    # Times of two machines are shown where asked for, and never judged.
    settled = Call("not measured", other.text) if other else None
    bounds = options.get_bounds(phase, relative=True)
    return OpenLine(
        key, head, block, change, bounds, settled, pair.forced(), phase, before is not None
    )


def collect_clips(system: SystemEvidence) -> set[str]:
    """Return the clips that a system was asked for, as far as the evidence names them."""
    values = (column.per_clip for column in system.columns.values() if column.kind == "mean")
    timed = (*system.samples_ns.values(),)
    named = [system.failed_clips, system.audio, *values, *timed]
    return {clip for clips in named for clip in clips}


def compare_failures(before: SystemEvidence, now: SystemEvidence) -> Line:
    """Return the line of failures over the clips that both runs asked for.

    One more failure is a regression: there is no test.
    """
    both = collect_clips(before) & collect_clips(now)
    old, new = (len(both & {*system.failed_clips}) for system in (before, now))
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
        # A run of probes asks for no clips that could fail.
        expected=bool(collect_clips(before)),
    )
