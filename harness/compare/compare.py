"""Compare two runs, old and new: every metric paired by clip, with a verdict. Pure."""

from typing import NamedTuple

from stabench.harness.compare import evidence, families
from stabench.harness.compare.evidence import Evidence, Mismatch, SystemEvidence
from stabench.harness.compare.rows import (
    OpenLine,
    Pair,
    collect_clips,
    compare_failures,
    measure_row,
)
from stabench.harness.compare.verdict import Line, Options, Pareto, Word, judge_pareto
from stabench.harness.errors import StabenchError, unknown


class OtherProvenance(StabenchError):
    """Numbers that are not comparable; whoever has an option to force them names it."""


class SystemComparison(NamedTuple):
    """One system: lines of its row, then of stages; the clips that one run lacks.

    `identical` counts the outputs, of `outputs` that both have, that are the same to the bit.
    `weights_changed` is None where a run says nothing of them. `family` is the number of tests
    that the p-values of the row are adjusted for.
    """

    old: str
    new: str
    label: str
    lines: tuple[Line, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    identical: int
    outputs: int
    weights_changed: bool | None
    family: int
    pareto: Pareto

    def having(self, word: Word) -> list[Line]:
        """Return the lines with a verdict."""
        return [line for line in self.lines if line.verdict == word]


class Comparison(NamedTuple):
    """Two runs: the systems that both have, those that one lacks, what keeps numbers apart."""

    old: Evidence
    new: Evidence
    systems: tuple[SystemComparison, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]
    options: Options

    @property
    def words(self) -> set[Word]:
        """Return every verdict that occurs."""
        return {line.verdict for system in self.systems for line in system.lines}


def compare(old: Evidence, new: Evidence, options: Options | None = None) -> Comparison:
    """Compare each system of the new run with the one of the same name in the old.

    Raises OtherProvenance for numbers of different provenance (unless `force`), StabenchError for a
    name that no run has, and for runs that share no system.
    """
    options = options or Options()
    matches = _match_systems(old, new, options)
    apart = _check_provenance(old, new, matches, options)
    pairs = [Pair(old, new, *both, apart) for both in matches]
    rows = [measure_row(pair, options) for pair in pairs]
    ps = families.adjust_p_values(rows, options.family == "all")
    # Stages are families of their own and do not count in the row's (families.py).
    sizes = [sum(line.tested and line.block != "stage" for line in row) for row in rows]
    sizes = [sum(sizes)] * len(sizes) if options.family == "all" else sizes
    systems = [_judge_system(*parts) for parts in zip(pairs, rows, ps, sizes, strict=True)]
    before, now = ({pair[side].name for pair in matches} for side in (0, 1))
    return Comparison(
        old,
        new,
        tuple(systems),
        tuple(name for name in old.systems if name not in before),
        tuple(name for name in new.systems if name not in now),
        apart,
        options,
    )


def _match_systems(
    old: Evidence, new: Evidence, options: Options
) -> list[tuple[SystemEvidence, SystemEvidence]]:
    """Return the pairs to compare. Raises StabenchError for an unknown name, or without a pair."""
    for pair in options.names.items():
        for name, side, which in zip(pair, (old, new), ("old", "new"), strict=True):
            if name not in side.systems:
                raise StabenchError(f"{which} run: {unknown('system', name, side.systems)}")
    wanted = options.names or {name: name for name in old.systems if name in new.systems}
    if not wanted:
        raise StabenchError(
            f"no system in common: {', '.join(old.systems)} and {', '.join(new.systems)}; "
            "name a pair with --system OLD=NEW"
        )
    return [(old.systems[a], new.systems[b]) for a, b in wanted.items()]


def _check_provenance(
    old: Evidence,
    new: Evidence,
    systems: list[tuple[SystemEvidence, SystemEvidence]],
    options: Options,
) -> tuple[Mismatch, ...]:
    """Return what keeps the numbers apart. Raises OtherProvenance for it unless forced."""
    mismatches = evidence.find_run_mismatches(old, new)
    mismatches += [
        mismatch for pair in systems for mismatch in evidence.find_column_mismatches(*pair)
    ]
    if mismatches and not options.force:
        raise OtherProvenance(
            f"{mismatches[0].text}: such numbers are not comparable; compare runs of the same "
            "provenance"
        )
    # Each system brings the same mismatch of a column.
    return tuple(dict.fromkeys(mismatches))


def _judge_system(
    pair: Pair, row: list[OpenLine], ps: dict[str, float], family: int
) -> SystemComparison:
    """Return the lines with their verdicts, and what the two systems share."""
    before, now = pair.before, pair.now
    lines = [families.judge_line(line, row, ps.get(line.key)) for line in row]
    # Failures have a line of their own between quality and latency; they are no test.
    lines.insert(sum(line.block == "quality" for line in row), compare_failures(before, now))
    old_clips, new_clips = collect_clips(before), collect_clips(now)
    both = before.audio.keys() & now.audio.keys()
    digests = (before.weights_digest, now.weights_digest)
    return SystemComparison(
        before.name,
        now.name,
        now.label,
        tuple(lines),
        tuple(sorted(old_clips - new_clips)),
        tuple(sorted(new_clips - old_clips)),
        sum(before.audio[clip] == now.audio[clip] for clip in both),
        len(both),
        None if None in digests else digests[0] != digests[1],
        family,
        judge_pareto(lines),
    )
