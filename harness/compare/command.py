"""`stabench compare OLD NEW`: read two runs, compare them, print the page."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from stabench.harness import files
from stabench.harness.compare import read_evidence
from stabench.harness.compare.compare import Comparison, SystemComparison, compare
from stabench.harness.compare.evidence import Evidence
from stabench.harness.compare.page import page
from stabench.harness.compare.verdict import Bounds, Line, Options
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.terminal import show

SCHEMA = 1


def to_json(found: Comparison) -> dict[str, Any]:
    """Runs, mismatches, and each system with its lines. Times are nanoseconds, changes ratios."""
    options = found.options
    return {
        "schema": SCHEMA,
        "old": _run(found.old),
        "new": _run(found.new),
        "mismatches": [one._asdict() for one in found.mismatches],
        "only_old": list(found.only_old),
        "only_new": list(found.only_new),
        "family": options.family,
        "sampling": options.sampling._asdict(),
        "systems": [_system(one) for one in found.systems],
    }


def _run(one: Evidence) -> dict[str, Any]:
    return one.model_dump(mode="json", exclude={"systems", "groups", "heads", "schema_version"})


def _system(one: SystemComparison) -> dict[str, Any]:
    value = one._asdict()
    for name in ("only_old", "only_new"):
        value[name] = list(value[name])
    return {**value, "lines": [_line(line) for line in one.lines]}


def _line(one: Line) -> dict[str, Any]:
    change = one.change._asdict() if one.change else None
    value = {**one._asdict(), "bounds": one.bounds._asdict(), "change": change}
    return {**value, "scale": "ratio" if one.block in ("latency", "stage") else "difference"}


def compare_runs(
    old: Path,
    new: Path,
    options: Options | None = None,
    *,
    out: Path | None = None,
    strict: bool = False,
    stream: TextIO | None = None,
) -> int:
    """Print the comparison and, with `out`, write compare.md and compare.json there.

    Returns the exit code of `exit_code`.
    """
    found = compare(read_evidence.read(old), read_evidence.read(new), options)
    shown = page(found)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out / "compare.md", to_markdown(shown).encode())
        files.write_json(out / "compare.json", to_json(found))
    show(shown, stream or sys.stdout)
    return exit_code(found, strict=strict)


def exit_code(found: Comparison, *, strict: bool) -> int:
    """1: regressed. 5, when `strict`: inconclusive, or not measured although the old run has it,
    or nothing measured at all. Else 0. Stages count only where they regressed.
    """
    if "regressed" in found.words:
        return 1
    rows = [line for one in found.systems for line in one.lines if line.block != "stage"]
    open_ = any(
        line.verdict == "inconclusive" or (line.verdict == "not measured" and line.expected)
        for line in rows
    )
    measured = any(line.verdict != "not measured" for line in rows if line.block != "failures")
    return 5 if strict and (open_ or not measured) else 0


def named_pairs(texts: Iterable[str]) -> dict[str, str]:
    """OLD=NEW of each --system. Raises StabenchError for another form."""
    found = {}
    for text in texts:
        old, _, new = text.partition("=")
        if not old:
            raise StabenchError(f"--system '{text}': expected NAME or OLD=NEW, such as star=star2")
        found[old] = new or old
    return found


def named_bounds(
    effects: Iterable[str], margins: Iterable[str], old: Evidence, new: Evidence
) -> dict[str, Bounds]:
    """Bounds from COLUMN=VALUE texts. Raises StabenchError for a column that no run has."""
    latencies = {phase.column.key for phase in new.of_task.phases}
    known = {*old.heads, *new.heads, *latencies}
    least, most = _numbers("--effect", effects, known), _numbers("--margin", margins, known)
    usual = Options()
    return {
        key: Bounds(least.get(key, default.effect), most.get(key, least.get(key, default.margin)))
        for key in {**least, **most}
        for default in (usual.of(key, relative=key in latencies),)
    }


def _numbers(option: str, texts: Iterable[str], known: Iterable[str]) -> Mapping[str, float]:
    found = {}
    for text in texts:
        key, _, number = text.partition("=")
        if key not in known:
            raise StabenchError(f"{option}: {unknown('column', key, known)}")
        try:
            found[key] = float(number)
        except ValueError:
            found[key] = -1.0
        if not 0 <= found[key] < float("inf"):
            raise StabenchError(f"{option} '{text}': expected COLUMN=NUMBER, 0 or more")
    return found
