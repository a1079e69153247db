"""Progress of a run: a bar on a terminal, plain lines elsewhere; both on standard error."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TextIO

from stabench.harness.runs.journal import Row

# Failures of a system that are printed; the others are in the journal.
SHOWN_FAILURES = 3


class Progress(Protocol):
    """What the engine tells of itself."""

    def start(self, done: int, planned: int) -> None:
        """Tell that the run begins, with `done` clips kept from an earlier one."""

    def add(self, rows: Sequence[Row]) -> None:
        """Tell that these rows are in the journal."""

    def stop(self) -> None:
        """Tell that the run ends or is interrupted."""


class Silent:
    """Says nothing."""

    def start(self, done: int, planned: int) -> None:
        pass

    def add(self, rows: Sequence[Row]) -> None:
        pass

    def stop(self) -> None:
        pass


class Lines:
    """A line at every tenth of the run, and one for each of the first failures."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed: Counter[str] = Counter()
        self._done = self._planned = 0

    def start(self, done: int, planned: int) -> None:
        self._done, self._planned = done, planned
        kept = f", {done} of them kept from before" if done else ""
        self._say(f"{planned} clips to run{kept}")

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._tell_failure(row)
        # A batch may pass several tenths, and most rows pass none.
        before = self._count_tenths()
        self._done += sum(not row.warmup for row in rows)
        if self._count_tenths() > before:
            self._say(f"{self._done} of {self._planned} done, {self._failed.total()} failed")

    def stop(self) -> None:
        pass

    def _count_tenths(self) -> int:
        return 10 * self._done // max(self._planned, 1)

    def _tell_failure(self, row: Row) -> None:
        if row.error is None:
            return
        self._failed[row.system] += not row.warmup
        if self._failed[row.system] <= SHOWN_FAILURES:
            what = "warm-up on clip" if row.warmup else "clip"
            error = f"{row.error.kind}: {row.error.message}"
            self._say(f"{row.system}: {what} '{row.clip}' failed, {error}")

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class Bar(Lines):
    """A bar with the time left; failures are printed above it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        # Here, since a run whose output is no terminal goes without rich.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._console = Console(file=stream)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )

    def start(self, done: int, planned: int) -> None:
        self._task = self._bar.add_task("running", total=planned, completed=done)
        self._bar.start()

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._tell_failure(row)
            self._bar.update(self._task, advance=not row.warmup, description=row.system)

    def stop(self) -> None:
        self._bar.stop()

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)


def progress_on(stream: TextIO = sys.stderr) -> Progress:
    """Return a bar when the stream is a terminal, lines when it is not."""
    return Bar(stream) if stream.isatty() else Lines(stream)


# What is told while a set is worked on, and when it is done.
VERBS = {"scoring": "scored", "rendering": "rendered"}


class Scoring:
    """Progress of the scores: one line that counts on a terminal, a line per set elsewhere.

    `doing` is what happens to the sounds, one of VERBS.
    """

    def __init__(self, stream: TextIO, doing: str = "scoring") -> None:
        self._stream, self._doing, self._done = stream, doing, VERBS[doing]
        self._counts = stream.isatty()

    def __call__(self, what: str, done: int, of: int) -> None:
        """Tell that `done` of the `of` sounds of `what` are done."""
        if self._counts:
            end = "\n" if done >= of else ""
            line = f"\r\033[K{self._doing} {what}: {done} of {of}"
            print(line, end=end, file=self._stream, flush=True)
        elif done >= of:
            print(f"{self._done} {what}: {of} sounds", file=self._stream, flush=True)
