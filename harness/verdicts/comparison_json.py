"""compare.json: every line of a comparison for a machine to read."""

from typing import Any

from harness.verdicts.compare import Comparison, SystemComparison
from harness.verdicts.record import Evidence
from harness.verdicts.verdict import Line

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
