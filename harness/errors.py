"""The one user-facing exception: a line that says what, the value, what is allowed, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class StabenchError(Exception):
    """Ends the command with one line on stderr and `exit_code` (2: usage or configuration)."""

    exit_code = 2


class MissingError(StabenchError):
    """A system, weights file or data set that is not there."""

    exit_code = 3


class TooManyFailures(StabenchError):
    """More clips failed than the suite's policy allows."""

    exit_code = 4


class Inconclusive(StabenchError):
    """A question that the data cannot answer, asked with --strict."""

    exit_code = 5


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return one line for a name that is not known: the nearest match, or the whole list.

    >>> unknown("system", "sttar", ["star", "oracle"])
    "unknown system 'sttar'; did you mean 'star'? Known: oracle, star"
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown {what} '{name}'{hint} Known: {', '.join(names) or 'none'}"


def one_line(error: BaseException) -> str:
    """Return an exception in one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300].removesuffix(": ")
