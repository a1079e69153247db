"""Progress of the steps: one line with how many of how many, and the time left."""

import time
from typing import TextIO

# Seconds between two lines where they are not written over one another.
PAUSE_S = 30.0


class Steps:
    """Tells of one step after the other; on a terminal in a line that is written over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()

    def begin(self, name: str, total: int, kept: int = 0) -> None:
        """Tell that a step begins, of whose `total` items `kept` are there already."""
        self._name, self._total, self._done, self._kept = name, total, kept, kept
        self._started = self._said = time.monotonic()
        if kept == total:
            self.say(f"{name}: {total} of {total}, nothing to do")
        else:
            self.say(f"{name}: {kept} of {total}")

    def advance(self, count: int = 1) -> None:
        """Tell that so many more items of the step are finished and kept."""
        self._done += count
        now = time.monotonic()
        ended = self._done == self._total
        if not (self._terminal or ended or now - self._said > PAUSE_S):
            return
        self._said = now
        elapsed_s = now - self._started
        left_s = elapsed_s * (self._total - self._done) / (self._done - self._kept)
        line = f"{self._name}: {self._done} of {self._total}, "
        line += f"took {describe(elapsed_s)}" if ended else f"{describe(left_s)} left"
        if self._terminal:
            end = "\n" if ended else ""
            print(f"\r\033[K{line}", end=end, file=self._stream, flush=True)
        else:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line of its own."""
        print(line, file=self._stream, flush=True)


def describe(seconds: float) -> str:
    """Return a duration as people say it.

    >>> describe(7.4), describe(100), describe(11_520)
    ('7 s', '1 min 40 s', '3 h 12 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
