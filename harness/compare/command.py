"""`stabench compare OLD NEW`: read two runs, compare them, print the page."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from stabench.harness import files
from stabench.harness.compare import read_evidence
from stabench.harness.compare.compare import (
    Comparison,
    OtherProvenance,
    SystemComparison,
    compare,
)
from stabench.harness.compare.evidence import Evidence, find_hardware_mismatch
from stabench.harness.compare.page import build_page
from stabench.harness.compare.verdict import Bounds, Options
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.terminal import show

SCHEMA = 1


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return what compare.json holds: runs, mismatches, and each system with its lines.

    Times are nanoseconds, their changes ratios.
    """
    options = comparison.options
    # Systems are listed below, line by line.
    left_out = {"systems", "groups", "heads", "schema_version"}
    return {
        "schema": SCHEMA,
        "old": comparison.old.model_dump(mode="json", exclude=left_out),
        "new": comparison.new.model_dump(mode="json", exclude=left_out),
        "mismatches": [mismatch._asdict() for mismatch in comparison.mismatches],
        "only_old": list(comparison.only_old),
        "only_new": list(comparison.only_new),
        "family": options.family,
        "sampling": options.sampling._asdict(),
        "systems": [_system_to_json(system) for system in comparison.systems],
    }


def _system_to_json(system: SystemComparison) -> dict[str, Any]:
    lines = [
        {
            **line._asdict(),
            "bounds": line.bounds._asdict(),
            "change": line.change._asdict() if line.change else None,
            "scale": "ratio" if line.block in ("latency", "stage") else "difference",
        }
        for line in system.lines
    ]
    only = {"only_old": list(system.only_old), "only_new": list(system.only_new)}
    return {**system._asdict(), **only, "lines": lines}


def compare_runs(
    old: Path,
    new: Path,
    options: Options | None = None,
    *,
    out: Path | None = None,
    strict: bool = False,
    stream: TextIO | None = None,
    as_json: bool = False,
) -> int:
    """Print the comparison and, with `out`, write compare.md and compare.json there.

    `as_json` prints what compare.json holds.

    Return the exit code of `exit_code`.
    """
    try:
        comparison = compare(read_evidence.read(old), read_evidence.read(new), options)
    except OtherProvenance as error:
        raise StabenchError(f"{error}, or use --force") from None
    hints = []
    if not comparison.options.across_hardware and _has_times_apart(comparison):
        hints.append("times of two machines are not compared; --across-hardware shows their ratios")
    shown = build_page(comparison, hints)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out / "compare.md", to_markdown(shown).encode())
        files.write_json(out / "compare.json", to_json(comparison))
    if as_json:
        print(json.dumps(to_json(comparison), indent=1), file=stream or sys.stdout)
    else:
        show(shown, stream or sys.stdout)
    return exit_code(comparison, strict=strict)


def _has_times_apart(comparison: Comparison) -> bool:
    """Return whether times are there that only the hardware keeps from being compared."""
    old, new = comparison.old, comparison.new
    return find_hardware_mismatch(old, new) is not None and any(
        old.systems[pair.old].samples_ns and new.systems[pair.new].samples_ns
        for pair in comparison.systems
    )


def exit_code(comparison: Comparison, *, strict: bool) -> int:
    """Return the exit code of a comparison.

    1: regressed. 5, when `strict`: inconclusive, or not measured although the old run has it, or
    nothing measured at all. Else 0. Stages count only where they regressed.
    """
    if "regressed" in comparison.words:
        return 1
    rows = [line for system in comparison.systems for line in system.lines if line.block != "stage"]
    open_ = any(
        line.verdict == "inconclusive" or (line.verdict == "not measured" and line.expected)
        for line in rows
    )
    # That no clip failed is not enough to call two runs equal.
    measured = any(line.verdict != "not measured" for line in rows if line.block != "failures")
    return 5 if strict and (open_ or not measured) else 0


def named_pairs(texts: Iterable[str]) -> dict[str, str]:
    """Return the new name by the old one, from the OLD=NEW of each --system.

    Raises StabenchError for another form.
    """
    names = {}
    for text in texts:
        old, _, new = text.partition("=")
        if not old:
            raise StabenchError(f"--system '{text}': expected NAME or OLD=NEW, such as star=star2")
        names[old] = new or old
    return names


def named_bounds(
    effects: Iterable[str], margins: Iterable[str], old: Evidence, new: Evidence
) -> dict[str, Bounds]:
    """Return bounds by column, from COLUMN=VALUE texts.

    A column with an effect alone has it as its margin too. Raises StabenchError for a column that
    no run has, and for a value that is no number of 0 or more.
    """
    latencies = {phase.column.key for phase in new.of_task.phases}
    known = {*old.heads, *new.heads, *latencies}
    least = _parse_numbers("--effect", effects, known)
    most = _parse_numbers("--margin", margins, known)
    usual = Options()
    return {
        key: Bounds(least.get(key, default.effect), most.get(key, least.get(key, default.margin)))
        for key in {**least, **most}
        for default in (usual.get_bounds(key, relative=key in latencies),)
    }


def _parse_numbers(option: str, texts: Iterable[str], known: Iterable[str]) -> Mapping[str, float]:
    numbers = {}
    for text in texts:
        key, _, number = text.partition("=")
        if key not in known:
            raise StabenchError(f"{option}: {unknown('column', key, known)}")
        try:
            numbers[key] = float(number)
        except ValueError:
            # Refused below, with every other number that is out of range.
            numbers[key] = -1.0
        if not 0 <= numbers[key] < float("inf"):
            raise StabenchError(f"{option} '{text}': expected COLUMN=NUMBER, 0 or more")
    return numbers
