"""Two files of pytest-benchmark, compared benchmark by benchmark with the verdicts of runs.

The rounds of a benchmark are neighbours in time and not independent: they are taken in blocks of
consecutive rounds, each by its median, and blocks are what is drawn again and exchanged.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from stabench.harness.compare.evidence import NAMELESS
from stabench.harness.compare.page import format_ends, format_inline
from stabench.harness.compare.paired import STANDARD, Change, Sampling
from stabench.harness.compare.verdict import FIVE_PERCENT, Bounds, Call, Line, call, is_no_worse
from stabench.harness.errors import MissingError, StabenchError, one_line
from stabench.harness.formatting import NOTHING, figure, plain
from stabench.harness.render.page import Grid, Head, Page, Printed, Section
from stabench.harness.render.page import Line as Row
from stabench.harness.render.terminal import show
from stabench.harness.schema import first_key
from stabench.harness.stats.bootstrap import tails
from stabench.harness.stats.permutation import adjusted

MOST_BLOCKS = 30
LEAST_ROUNDS = 5
# Keys of a stranger's file that a message names.
MOST_KEYS = 8
GZIP = b"\x1f\x8b"
UNSAVED = "its rounds are not in the file; pytest --benchmark-save-data"
HEADS = (
    Head("Benchmark"),
    Head("Verdict"),
    Head("old", "numbers"),
    Head("new", "numbers"),
    Head("difference [95 %]", "numbers"),
    Head("adjusted p", "numbers"),
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Stats(_Part):
    """Seconds a round; `data` holds each where it was saved."""

    median: FiniteFloat = Field(gt=0)
    rounds: int = Field(ge=1)
    data: tuple[FiniteFloat, ...] = ()


class Benchmark(_Part):
    """One benchmark by its full name (file and parameters)."""

    fullname: str
    stats: Stats


class BenchmarkFile(_Part):
    """What is needed of a file of pytest-benchmark."""

    machine_info: dict[str, Any]
    benchmarks: tuple[Benchmark, ...]

    @field_validator("benchmarks")
    @classmethod
    def _once(cls, benchmarks: tuple[Benchmark, ...]) -> tuple[Benchmark, ...]:
        counts = Counter(benchmark.fullname for benchmark in benchmarks)
        # Of each name one is taken away: what is left is there more than once.
        for name in counts - Counter(set(counts)):
            raise ValueError(f"'{name}' is there {counts[name]} times; give each its own name")
        return benchmarks

    @property
    def cpu(self) -> str:
        """Return the processor's name; empty where the file does not say."""
        about = self.machine_info.get("cpu")
        name = str(about.get("brand_raw") or "") if isinstance(about, dict) else ""
        return "" if NAMELESS.fullmatch(name.strip()) else name


def is_json(path: Path) -> bool:
    """Return whether `path` is JSON by its first character, or by its name where it is not there.

    Runs are folders and baselines are gzip files: what is JSON can only be one of pytest-benchmark.
    """
    if not path.is_file():
        return path.suffix == ".json" and not path.is_dir()
    start = path.read_bytes()[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start[:1] in (b"{", b"[") or (path.suffix == ".json" and start[:2] != GZIP)


def read(path: Path) -> BenchmarkFile:
    """Read a file. Raises MissingError without it, StabenchError for another."""
    what = f"'{path}' is no file of pytest-benchmark"
    if path.is_dir() or str(path) == "latest" or (path.is_file() and not is_json(path)):
        raise StabenchError(f"{what}; compare two of one kind")
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise MissingError(f"'{path}' is not there; pytest --benchmark-json=FILE") from None
    except (ValueError, RecursionError) as error:
        raise StabenchError(
            f"'{path}' is not whole JSON, as a file that was cut is not ({one_line(error)}); write "
            "it again with pytest --benchmark-json=FILE"
        ) from None
    keys = value.keys() if isinstance(value, dict) else set()
    if absent := [key for key in ("machine_info", "benchmarks") if key not in keys]:
        named = f"; it has {', '.join(sorted(map(str, keys))[:MOST_KEYS])}" if keys else ""
        raise StabenchError(
            f"{what}: it lacks {' and '.join(absent)}{plain(named)}. Give one of pytest "
            "--benchmark-json, a run folder or a baseline"
        )
    try:
        return BenchmarkFile.model_validate(value)
    except ValidationError as error:
        raise StabenchError(
            f"{path}: {first_key(error)}; give a file of pytest --benchmark-json"
        ) from None


def compare(
    old: BenchmarkFile,
    new: BenchmarkFile,
    bounds: Bounds = FIVE_PERCENT,
    sampling: Sampling = STANDARD,
) -> list[Line]:
    """Return a line for each benchmark of either, in the old order; p adjusted over all (Holm)."""
    before, now = (
        {benchmark.fullname: benchmark.stats for benchmark in file.benchmarks}
        for file in (old, new)
    )
    other = ""
    if not (old.cpu and new.cpu):
        sides = [side for side, file in (("old", old), ("new", new)) if not file.cpu]
        other = f"the processor has no name in the {' and the '.join(sides)} file: it may differ"
    elif old.cpu != new.cpu:
        other = f"other hardware: {old.cpu}, now {new.cpu}"
    changes: dict[str, Change | str] = {}
    for name in dict.fromkeys((*before, *now)):
        if name in before and name in now:
            changes[name] = other or measure_change(before[name], now[name], sampling)
        else:
            changes[name] = f"only in the {'old' if name in before else 'new'} file"
    tested = {name: change for name, change in changes.items() if isinstance(change, Change)}
    ps = dict(zip(tested, adjusted([change.p_value for change in tested.values()]), strict=True))
    return [
        _judge_line(name, change, ps.get(name), bounds, name in before)
        for name, change in changes.items()
    ]


def measure_change(old: Stats, new: Stats, sampling: Sampling = STANDARD) -> Change | str:
    """Return new over old median, nanoseconds, with an interval and a test over blocks of rounds.

    Where rounds were not saved or are too few, return why.
    """
    for stats, which in ((old, "old"), (new, "new")):
        if not stats.data:
            return f"{which} file: {UNSAVED}"
        if len(stats.data) < LEAST_ROUNDS or min(stats.data) <= 0:
            return f"{which} file: needs {LEAST_ROUNDS} rounds of some time, has {len(stats.data)}"
    if old.data == new.data:
        median_ns = float(np.median(old.data)) * 1e9
        return Change(median_ns, median_ns, 1.0, 1.0, 1.0, len(new.data), 1.0, 1.0, None)
    before, after = (
        np.log([np.median(part) for part in np.array_split(data, min(MOST_BLOCKS, len(data)))])
        for data in (old.data, new.data)
    )
    rng = np.random.default_rng(sampling.seed)
    value = float(np.log(np.median(new.data) / np.median(old.data)))
    medians = [
        np.median(rng.choice(part, (sampling.resamples, len(part))), axis=1)
        for part in (before, after)
    ]
    blocks = min(len(before), len(after))
    low, high = np.quantile(medians[1] - medians[0], tails(blocks))
    p = _test_exchange(before, after, sampling, rng)
    spread = float(np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / 2))
    # The interval is of blocks and the value of all rounds: it is widened to hold its value.
    return Change(
        float(np.median(old.data)) * 1e9,
        float(np.median(new.data)) * 1e9,
        float(np.exp(value)),
        float(np.exp(min(low, value))),
        float(np.exp(max(high, value))),
        len(new.data),
        p,
        1 / (sampling.draws + 1),
        value / spread if spread else None,
    )


def _test_exchange(
    before: np.ndarray, after: np.ndarray, sampling: Sampling, rng: np.random.Generator
) -> float:
    """Return the two-sided p of the difference of medians, blocks dealt anew to the two files.

    Of medians, as the change is: one round that met a busy machine must not hide it.
    """
    both = np.concatenate([before, after])
    dealt = rng.permuted(np.tile(both, (sampling.draws, 1)), axis=1)
    n = len(before)
    differences = np.abs(np.median(dealt[:, n:], axis=1) - np.median(dealt[:, :n], axis=1))
    value = abs(np.median(after) - np.median(before))
    # A dealing as far apart as the files are counts, even if rounding sets it a digit lower.
    extreme = int(np.count_nonzero(differences >= value - 1e-12))
    return (extreme + 1) / (sampling.draws + 1)


def _judge_line(
    name: str, measured: Change | str, p: float | None, bounds: Bounds, expected: bool
) -> Line:
    """Return the line of a benchmark: its change with a verdict, or why there is none."""
    change = measured if isinstance(measured, Change) else None
    verdict, fine = Call("not measured", str(measured)), False
    if change is not None and p is not None:
        verdict = call(change, p, "lower", bounds, relative=True)
        fine = verdict.word == "improved" or is_no_worse(change, "lower", bounds, relative=True)
    return Line(
        key=name,
        label=name,
        block="latency",
        unit="ms",
        digits=3,
        better="lower",
        bounds=bounds,
        change=change,
        p_adjusted=p,
        verdict=verdict.word,
        reason=verdict.reason,
        no_worse=fine,
        expected=expected,
    )


def compare_files(
    old: Path, new: Path, *, strict: bool = False, stream: TextIO | None = None
) -> int:
    """Print the comparison of two files and return the exit code.

    1: something regressed. 5, when `strict`: something is inconclusive, or not measured although
    the old file has it, or there is no benchmark. Else 0.
    """
    # The one that is JSON first: a stranger's file is to blame before a run beside it.
    files = {path: read(path) for path in sorted((old, new), key=is_json, reverse=True)}
    lines = compare(files[old], files[new])
    show(build_page(old.name, new.name, lines), stream or sys.stdout)
    if any(line.verdict == "regressed" for line in lines):
        return 1
    unknown = any(
        line.verdict == "inconclusive" or (line.verdict == "not measured" and line.expected)
        for line in lines
    )
    return 5 if strict and (unknown or not lines) else 0


def build_page(old: str, new: str, lines: Iterable[Line]) -> Page:
    """Build the page: every benchmark, and how it is decided."""
    method = (
        "Medians of rounds. The interval is by bootstrap over blocks of rounds, p by dealing the "
        "blocks anew to both files, adjusted over all benchmarks (Holm). regressed, improved: "
        f"adjusted p at most 0.05 and {100 * FIVE_PERCENT.effect:g} % or more."
    )
    rows = []
    for line in lines:
        numbers = [NOTHING] * 4
        if line.change is not None and line.p_adjusted is not None:
            p = "< 0.001" if line.p_adjusted < 0.001 else figure(line.p_adjusted, 3)
            numbers = [*format_ends(line), format_inline(line), p]
        strong = line.verdict in ("regressed", "improved")
        head = (Printed(line.label), Printed(line.verdict, line.reason, strong))
        rows.append(Row((*head, *map(Printed, numbers))))
    title = "Benchmarks" if rows else "No benchmarks"
    sections = (
        Section("benchmarks", title, grid=Grid(HEADS, tuple(rows)) if rows else None),
        Section("method", "How it is decided", (method,)),
    )
    return Page(f"{new} against {old}", "pytest-benchmark", sections)
