"""Compare two runs, old and new: every metric paired by clip, with a verdict. Pure."""

from typing import NamedTuple

from stabench.harness.compare import evidence, families
from stabench.harness.compare import rows as failures
from stabench.harness.compare.evidence import Evidence, Mismatch, SystemEvidence
from stabench.harness.compare.rows import Asked, Pair, row
from stabench.harness.compare.verdict import Line, Options, Pareto, Word, pareto
from stabench.harness.errors import StabenchError, unknown


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
        """The lines with a verdict."""
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
        """Every verdict that was given."""
        return {line.verdict for system in self.systems for line in system.lines}


def compare(old: Evidence, new: Evidence, options: Options | None = None) -> Comparison:
    """Each system of the new run against the one of the same name in the old.

    Raises StabenchError for numbers of different provenance (unless `force`), for a name that no
    run has, and for runs that share no system.
    """
    options = options or Options()
    systems = _matched(old, new, options)
    apart = _apart(old, new, systems, options)
    pairs = [Pair(old, new, *both, apart) for both in systems]
    rows = [row(pair, options) for pair in pairs]
    ps = families.p_values(rows, options.family == "all")
    sizes = [sum(one.tested and one.block != "stage" for one in each) for each in rows]
    sizes = [sum(sizes)] * len(sizes) if options.family == "all" else sizes
    found = [_system(*each) for each in zip(pairs, rows, ps, sizes, strict=True)]
    before, now = ({pair[side].name for pair in systems} for side in (0, 1))
    return Comparison(
        old,
        new,
        tuple(found),
        tuple(name for name in old.systems if name not in before),
        tuple(name for name in new.systems if name not in now),
        apart,
        options,
    )


def _matched(
    old: Evidence, new: Evidence, options: Options
) -> list[tuple[SystemEvidence, SystemEvidence]]:
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


def _apart(
    old: Evidence,
    new: Evidence,
    systems: list[tuple[SystemEvidence, SystemEvidence]],
    options: Options,
) -> tuple[Mismatch, ...]:
    """What keeps the numbers apart. Raises StabenchError for it unless forced."""
    found = evidence.of_runs(old, new)
    found += [one for pair in systems for one in evidence.of_columns(*pair)]
    if found and not options.force:
        raise StabenchError(
            f"{found[0].text}: such numbers are not comparable; compare runs of the same "
            "provenance, or use --force"
        )
    return tuple(dict.fromkeys(found))


def _system(pair: Pair, asked: list[Asked], ps: dict[str, float], family: int) -> SystemComparison:
    before, now = pair.before, pair.now
    lines = [families.line(one, asked, ps.get(one.key)) for one in asked]
    lines.insert(sum(one.block == "quality" for one in asked), failures.line(before, now))
    given, taken = failures.asked(before), failures.asked(now)
    both = before.audio.keys() & now.audio.keys()
    digests = (before.weights_digest, now.weights_digest)
    return SystemComparison(
        before.name,
        now.name,
        now.label,
        tuple(lines),
        tuple(sorted(given - taken)),
        tuple(sorted(taken - given)),
        sum(before.audio[clip] == now.audio[clip] for clip in both),
        len(both),
        None if None in digests else digests[0] != digests[1],
        family,
        pareto(lines),
    )
