"""The last words of a process: what its log says of its end, in one line.

A worker's log holds what its system printed, tracebacks, and the stacks that faulthandler writes on
a fatal signal, or when the engine asks where the worker is (`ASK`).
"""

import re
import signal
from pathlib import Path
from typing import NamedTuple

from stabench.harness.formatting import plain

# A worker answers it by writing its stack to the log.
ASK = signal.SIGUSR1
TAIL_BYTES = 1 << 16
# Characters of the words that are shown.
LONGEST = 300
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FRAME = re.compile(r'^\s*File "(.+)", line (\d+) in (.+)$')
STACK = "(most recent call first):"
FATAL = "Fatal Python error:"
TRACEBACK = "Traceback (most recent call last):"
# Files of frames that called the system.
OURS = re.compile(r"[/\\]runner[/\\](adapter|worker)\.py$")
MEANINGS = {
    "SIGABRT": "aborted",
    "SIGBUS": "bus error",
    "SIGFPE": "arithmetic error",
    "SIGILL": "illegal instruction, such as a package built for another processor",
    "SIGKILL": "often the kernel, out of memory",
    "SIGSEGV": "segmentation fault",
}


class Frame(NamedTuple):
    """One call of a stack: file, line and function."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        path = Path(self.path)
        name = f"{path.parent.name}/{path.name}" if path.stem == "__init__" else path.name
        return f"{name}, line {self.line}, in {self.function}"


def describe_ending(returncode: int) -> str:
    """Return what a process ended with: its exit code, or the name of a signal.

    >>> describe_ending(3), describe_ending(-11)
    ('exit code 3', 'SIGSEGV (segmentation fault)')
    """
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
    return f"{name} ({MEANINGS[name]})" if name in MEANINGS else name


def measure_log(log: Path) -> int:
    """Return the size of a log so far, bytes; 0 where there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def read_since(log: Path, start: int) -> str:
    """Return what was written to a log after its first `start` bytes, the end of it if it is long.

    An empty text where there is no log.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(start, measure_log(log) - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def find_last_words(text: str) -> str:
    """Return why a process ended, as its log tells it: in one line, empty where nothing is said.

    The error of the last traceback with what follows it, or the last line. The stack that
    faulthandler writes is no part of it: `find_place` reads that.

    >>> find_last_words('loading\\nTraceback (most recent call last):\\n  File "a"\\nKeyError: 3')
    'KeyError: 3'
    """
    lines = [COLOUR.sub("", line) for line in text.partition(FATAL)[0].splitlines()]
    shown = [line.rstrip() for line in lines if plain(line).strip()]
    starts = [index for index, line in enumerate(shown) if line.strip() == TRACEBACK]
    words = shown[-1:]
    if starts:
        errors = [line for line in shown[starts[-1] + 1 :] if not line[0].isspace()]
        words = list(dict.fromkeys([*errors[:1], *errors[-1:]]))
    return plain(" ... ".join(map(str.strip, words)))[:LONGEST]


def find_place(text: str) -> str:
    """Return where a system was, from the last stack of faulthandler in `text`; empty without one.

    Its phase's own line first, then the innermost call if it is another.
    """
    if STACK not in text:
        return ""
    frames = []
    for line in text.rpartition(STACK)[2].splitlines():
        match = FRAME.match(line)
        if match and OURS.search(match[1]):
            break
        frames += [Frame(match[1], int(match[2]), match[3])] if match else []
    return ", then ".join(dict.fromkeys(map(str, frames[-1:] + frames[:1])))
