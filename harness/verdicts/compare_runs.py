"""`stabench compare OLD NEW`: read two runs, compare them, print the page."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

from harness import atomic
from harness.errors import StabenchError, unknown
from harness.render import to_markdown
from harness.report import show
from harness.table import TIMINGS
from harness.verdicts import evidence
from harness.verdicts.compare import Comparison, compare
from harness.verdicts.comparison_json import to_json
from harness.verdicts.comparison_page import page
from harness.verdicts.options import Options
from harness.verdicts.record import Evidence
from harness.verdicts.verdict import Bounds

LATENCIES = tuple(timing.column.key for timing in TIMINGS)


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
    found = compare(evidence.read(old), evidence.read(new), options)
    shown = page(found)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(out / "compare.md", to_markdown(shown).encode())
        atomic.write_json(out / "compare.json", to_json(found))
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
    known = {*old.heads, *new.heads, *LATENCIES}
    least, most = _numbers("--effect", effects, known), _numbers("--margin", margins, known)
    usual = Options()
    return {
        key: Bounds(least.get(key, default.effect), most.get(key, least.get(key, default.margin)))
        for key in {**least, **most}
        for default in (usual.of(key, relative=key in LATENCIES),)
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
