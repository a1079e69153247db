"""Two files of pytest-benchmark, compared benchmark by benchmark with the verdicts of runs.

The rounds of a benchmark are neighbours in time and not independent: they are taken in blocks of
consecutive rounds, each by its median, and blocks are what is drawn again and exchanged.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from stabench.harness.compare.page import ends, inline
from stabench.harness.compare.paired import STANDARD, Change, Sampling
from stabench.harness.compare.verdict import FIVE_PERCENT, Bounds, Call, Line, call, no_worse
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import NOTHING, figure
from stabench.harness.render.page import Grid, Head, Page, Printed, Section
from stabench.harness.render.page import Line as Row
from stabench.harness.render.terminal import show
from stabench.harness.schema import first_key
from stabench.harness.stats.bootstrap import tails
from stabench.harness.stats.permutation import adjusted

MOST_BLOCKS = 30
LEAST_ROUNDS = 5
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
    def _once(cls, found: tuple[Benchmark, ...]) -> tuple[Benchmark, ...]:
        counts = Counter(one.fullname for one in found)
        for name in counts - Counter(set(counts)):
            raise ValueError(f"'{name}' is there {counts[name]} times; give each its own name")
        return found

    @property
    def cpu(self) -> str:
        """The processor's name; empty where the file does not say."""
        about = self.machine_info.get("cpu")
        return str(about.get("brand_raw", "")) if isinstance(about, dict) else ""


class Asked(NamedTuple):
    """A benchmark of both files and its change, or why there is none."""

    name: str
    change: Change | str


def is_benchmark_file(path: Path) -> bool:
    """Whether `path` is a JSON file of pytest-benchmark (or of nothing that can be read as one)."""
    if not path.is_file() or path.suffix != ".json":
        return False
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(value, dict) and {"benchmarks", "machine_info"} <= value.keys()


def read(path: Path) -> BenchmarkFile:
    """The file. Raises MissingError without it, StabenchError for another."""
    try:
        return BenchmarkFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise MissingError(f"'{path}' is not there; pytest --benchmark-json=FILE") from None
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
    """A line for each benchmark of either, in the old order; p adjusted over all (Holm)."""
    before, now = ({one.fullname: one.stats for one in file.benchmarks} for file in (old, new))
    other = old.cpu != new.cpu and f"other hardware: {old.cpu or '?'}, now {new.cpu or '?'}"
    asked = []
    for name in dict.fromkeys((*before, *now)):
        if name in before and name in now:
            asked.append(Asked(name, other or changed(before[name], now[name], sampling)))
        else:
            asked.append(Asked(name, f"only in the {'old' if name in before else 'new'} file"))
    tested = [one.change.p_value for one in asked if isinstance(one.change, Change)]
    ps = iter(adjusted(tested))
    return [
        _line(one, next(ps) if isinstance(one.change, Change) else None, bounds, one.name in before)
        for one in asked
    ]


def changed(old: Stats, new: Stats, sampling: Sampling = STANDARD) -> Change | str:
    """New over old median, nanoseconds, with bootstrap interval and a permutation test of blocks.

    Returns why not where rounds were not saved or are too few.
    """
    for one, which in ((old, "old"), (new, "new")):
        if not one.data:
            return f"{which} file: {UNSAVED}"
        if len(one.data) < LEAST_ROUNDS or min(one.data) <= 0:
            return f"{which} file: needs {LEAST_ROUNDS} rounds of some time, has {len(one.data)}"
    before, after = (np.log(_blocks(one.data)) for one in (old, new))
    rng = np.random.default_rng(sampling.seed)
    value = float(np.log(np.median(new.data) / np.median(old.data)))
    drawn = [
        np.median(rng.choice(part, (sampling.resamples, len(part))), axis=1)
        for part in (before, after)
    ]
    blocks = min(len(before), len(after))
    low, high = np.quantile(drawn[1] - drawn[0], tails(blocks))
    p, spread = _exchanged(before, after, sampling, rng), _spread(before, after)
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


def _blocks(data: tuple[float, ...]) -> np.ndarray:
    """Medians of at most 30 blocks of consecutive rounds."""
    return np.array([np.median(part) for part in np.array_split(data, min(MOST_BLOCKS, len(data)))])


def _exchanged(
    before: np.ndarray, after: np.ndarray, sampling: Sampling, rng: np.random.Generator
) -> float:
    """Two-sided p of the difference of medians, blocks dealt anew to the two files.

    Of medians, as the change is: one round that met a busy machine must not hide it.
    """
    both = np.concatenate([before, after])
    dealt = rng.permuted(np.tile(both, (sampling.draws, 1)), axis=1)
    n = len(before)
    found = np.abs(np.median(dealt[:, n:], axis=1) - np.median(dealt[:, :n], axis=1))
    value = abs(np.median(after) - np.median(before))
    extreme = int(np.count_nonzero(found >= value - 1e-12))
    return (extreme + 1) / (sampling.draws + 1)


def _spread(before: np.ndarray, after: np.ndarray) -> float:
    """Standard deviation within both."""
    return float(np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / 2))


def _line(one: Asked, p: float | None, bounds: Bounds, expected: bool) -> Line:
    change = one.change if isinstance(one.change, Change) else None
    found, fine = Call("not measured", str(one.change)), False
    if change is not None and p is not None:
        found = call(change, p, "lower", bounds, relative=True)
        fine = found.word == "improved" or no_worse(change, "lower", bounds, relative=True)
    return Line(
        key=one.name,
        label=one.name,
        block="latency",
        unit="ms",
        digits=3,
        better="lower",
        bounds=bounds,
        change=change,
        p_adjusted=p,
        verdict=found.word,
        reason=found.reason,
        no_worse=fine,
        expected=expected,
    )


def compare_files(
    old: Path, new: Path, *, strict: bool = False, stream: TextIO | None = None
) -> int:
    """Print the comparison of two files. Returns 1 when something regressed; with `strict` 5 when
    something is inconclusive, or not measured although the old file has it; else 0."""
    lines = compare(read(old), read(new))
    show(page(old.name, new.name, lines), stream or sys.stdout)
    if any(line.verdict == "regressed" for line in lines):
        return 1
    unknown = any(
        line.verdict == "inconclusive" or (line.verdict == "not measured" and line.expected)
        for line in lines
    )
    return 5 if strict and (unknown or not lines) else 0


def page(old: str, new: str, lines: Iterable[Line]) -> Page:
    """Every benchmark, and how it is decided."""
    method = (
        "Medians of rounds. The interval is by bootstrap over blocks of rounds, p by dealing the "
        "blocks anew to both files, adjusted over all benchmarks (Holm). regressed, improved: "
        f"adjusted p at most 0.05 and {100 * FIVE_PERCENT.effect:g} % or more."
    )
    rows = tuple(_row(line) for line in lines)
    title = "Benchmarks" if rows else "No benchmarks"
    sections = (
        Section("benchmarks", title, grid=Grid(HEADS, rows) if rows else None),
        Section("method", "How it is decided", (method,)),
    )
    return Page(f"{new} against {old}", "pytest-benchmark", sections)


def _row(line: Line) -> Row:
    strong = line.verdict in ("regressed", "improved")
    head = (Printed(line.label), Printed(line.verdict, line.reason, strong))
    if line.change is None or line.p_adjusted is None:
        return Row((*head, *[Printed(NOTHING)] * 4))
    p = "< 0.001" if line.p_adjusted < 0.001 else figure(line.p_adjusted, 3)
    return Row((*head, *map(Printed, (*ends(line), inline(line), p))))
