"""`stabench ab`: any two commands, run A B B A in blocks, with the gate's verdict on their times.

A machine that is slow for a while is slow for both, and within a block each command has as many
early turns as late ones. The statistics are those of latencies (compare/paired_latency.py), with a
block where a run has a clip.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TextIO

from stabench.harness.compare import paired_latency
from stabench.harness.compare.evidence import Samples
from stabench.harness.compare.families import judge_line
from stabench.harness.compare.page import (
    describe_medians,
    format_ends,
    format_inline,
    format_p,
)
from stabench.harness.compare.paired import STANDARD, Sampling
from stabench.harness.compare.rows import OpenLine
from stabench.harness.compare.verdict import Bounds, Line
from stabench.harness.device import Cpu
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import plain
from stabench.harness.render.page import Grid, Head, Page, Printed, Section
from stabench.harness.render.page import Line as Row
from stabench.harness.render.terminal import show
from stabench.harness.runner.clock import Clock
from stabench.harness.runner.last_words import describe_ending, find_last_words
from stabench.harness.runs.metrics_file import ColumnHead

SCHEMA = 1
SEPARATOR = ":::"
ORDER = ("old", "new", "new", "old")
HEADS = (
    Head("What"),
    Head("Verdict"),
    Head("old", "numbers"),
    Head("new", "numbers"),
    Head("difference [95 %]", "numbers"),
    Head("p", "numbers"),
)

WALL = ColumnHead(label="Wall time", unit="ms", digits=1, better="lower")
Commands = dict[str, list[str]]


class CommandFailed(StabenchError):
    """A command that is timed has failed: its times would say nothing."""

    exit_code = 4


class Times(NamedTuple):
    """Wall times of both commands, ns: two in each block, by the block's number."""

    old: Samples
    new: Samples


def parse_commands(words: Sequence[str]) -> Commands:
    """Return the words of both commands.

    A single text that is no program is split as a shell splits it. Raises StabenchError for
    anything but two commands with ":::" between them.
    """
    form = (
        f"expected OLD COMMAND {SEPARATOR} NEW COMMAND, such as: ab -- ./old x {SEPARATOR} ./new x"
    )
    if words.count(SEPARATOR) != 1:
        raise StabenchError(f"ab got {words.count(SEPARATOR)} '{SEPARATOR}'; {form}")
    middle = words.index(SEPARATOR)
    commands = {"old": list(words[:middle]), "new": list(words[middle + 1 :])}
    for side, command in commands.items():
        if len(command) == 1 and shutil.which(command[0]) is None:
            try:
                command[:] = shlex.split(command[0])
            except ValueError as error:
                raise StabenchError(f"{side} command '{command[0]}': {error}") from None
        if not command:
            raise StabenchError(f"the {side} command is empty; {form}")
    return commands


def measure_commands(
    commands: Commands,
    blocks: int,
    warmups: int,
    run: Callable[[str, list[str]], int] | None = None,
) -> Times:
    """Return the times of both commands, each first run `warmups` times.

    `run` returns the wall time of one run in ns. Raises CommandFailed, and MissingError for a
    command that is not there.
    """
    run = run or run_command
    for _ in range(warmups):
        for side, command in commands.items():
            run(side, command)
    times: dict[str, dict[str, tuple[int, ...]]] = {"old": {}, "new": {}}
    for block in range(blocks):
        for side in ORDER:
            kept = times[side].get(str(block), ())
            times[side][str(block)] = (*kept, run(side, commands[side]))
    return Times(**times)


def run_command(side: str, command: list[str]) -> int:
    """Run a command and return its wall time, ns, from its start until it has ended.

    It reads nothing, and what it prints is not shown. Raises CommandFailed with its last words.
    """
    clock = Clock(Cpu())
    with tempfile.TemporaryFile() as log:
        try:
            with clock.phase("command"):
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
        except OSError as error:
            raise MissingError(
                f"{side} command '{shlex.join(command)}' cannot be started: {error.strerror}"
            ) from None
        if done.returncode:
            log.seek(0)
            words = find_last_words(log.read().decode(errors="replace"))
            raise CommandFailed(
                f"{side} command '{plain(shlex.join(command))}' failed: "
                f"{describe_ending(done.returncode)}"
                + (f", its last words: {words}" if words else ", without a word")
            )
    return clock.phase_ns["command"]


def judge_times(times: Times, threshold: float, sampling: Sampling = STANDARD) -> Line:
    """Return the change of the wall time with its verdict; `threshold` is a share, as 0.05."""
    change = paired_latency.measure_change(times.old, times.new, sampling)
    bounds = Bounds(threshold, threshold)
    line = judge_line(
        OpenLine("wall", WALL, "latency", change, bounds),
        (),
        None if isinstance(change, str) else change.p_value,
    )
    return line._replace(reason=line.reason.replace("clips", "blocks"))


def find_exit_code(line: Line, *, strict: bool) -> int:
    """Return 1: regressed; 5: not measured, with `strict` also not shown to be as good; else 0."""
    if line.verdict == "regressed":
        return 1
    open_ = line.verdict == "inconclusive" and not line.no_worse
    return 5 if line.verdict == "not measured" or (strict and open_) else 0


def compare_commands(
    words: Sequence[str],
    *,
    threshold: float,
    blocks: int,
    warmups: int,
    strict: bool = False,
    as_json: bool = False,
    stream: TextIO | None = None,
) -> int:
    """Run two commands in blocks, print the verdict on their times, return the exit code."""
    commands, out = parse_commands(words), stream or sys.stdout
    runs = len(ORDER) * blocks + len(commands) * warmups
    print(f"{blocks} blocks of old new new old: {runs} runs", file=sys.stderr)
    times = measure_commands(commands, blocks, warmups)
    line = judge_times(times, threshold)
    code = find_exit_code(line, strict=strict)
    if as_json:
        print(json.dumps(to_json(commands, times, line, code), indent=1), file=out)
    else:
        show(build_page(commands, line), out)
    return code


def to_json(commands: Commands, times: Times, line: Line, exit_code: int) -> dict[str, Any]:
    """Return what --json prints. Times are nanoseconds, their change is a ratio."""
    sides = {
        side: {"command": commands[side], "wall_ns": list(samples.values())}
        for side, samples in times._asdict().items()
    }
    change = line.change._asdict() if line.change else None
    return {
        "schema": SCHEMA,
        "verdict": line.verdict,
        "reason": line.reason,
        "exit_code": exit_code,
        "threshold": line.bounds.effect,
        "change": change,
        **sides,
    }


def build_page(commands: Commands, line: Line) -> Page:
    """Build the page: the verdict, the numbers, how it is decided."""
    points = [f"{side}: {shlex.join(command)}" for side, command in commands.items()]
    if line.reason:
        points.append(f"{line.verdict}: {line.reason}")
    if medians := describe_medians([line], "block"):
        points.append(medians)
    grid = None
    if line.change is not None and line.p_adjusted is not None:
        strong = line.verdict in ("regressed", "improved")
        numbers = (*format_ends(line), format_inline(line), format_p(line.p_adjusted))
        cells = (Printed(line.label), Printed(line.verdict, strong=strong), *map(Printed, numbers))
        grid = Grid(HEADS, (Row(cells),))
    count = line.change.n if line.change else 0
    method = (
        f"{count} blocks, in each old new new old. The difference is the median of the blocks' "
        "ratios, its interval by bootstrap over blocks, p by sign-flip permutation. regressed, "
        f"improved: p at most 0.05 and {100 * line.bounds.effect:g} % or more. same: the whole "
        "interval within that."
    )
    sections = (
        Section("times", "Times", grid=grid, points=tuple(points)),
        Section("method", "How it is decided", (method,)),
    )
    return Page(f"New against old: {line.verdict}", "Wall times of two commands.", sections)
