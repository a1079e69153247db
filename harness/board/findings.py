"""Findings: what a check has to say of a submission, one line each, safe to print."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, TextIO

from harness.errors import StabenchError

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")
LONGEST = 500
MOST = 200


class Finding(NamedTuple):
    """One observation at `field` of `file` in the package. An error means: not accepted."""

    file: str
    field: str
    severity: Severity
    message: str

    def __str__(self) -> str:
        return ": ".join((f"{printable(self.file)}:{printable(self.field)}", *self._rest))

    @property
    def _rest(self) -> tuple[str, str]:
        return self.severity, printable(self.message)


class Refused(StabenchError):
    """A submission with errors."""

    exit_code = 1


def error(file: str, field: str, message: str) -> Finding:
    """Something that keeps the submission from being accepted."""
    return Finding(file, field, "error", message)


def warning(file: str, field: str, message: str) -> Finding:
    """Something that a person should look at."""
    return Finding(file, field, "warning", message)


def note(file: str, field: str, message: str) -> Finding:
    """Something a reader should know: what was checked, and what was taken on trust."""
    return Finding(file, field, "note", message)


def printable(text: str) -> str:
    """At most LONGEST characters; what is not printable is escaped, so no terminal obeys it."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def count(findings: Iterable[Finding], severity: Severity) -> int:
    """How many findings have this severity."""
    return sum(one.severity == severity for one in findings)


def ranked(findings: list[Finding]) -> list[Finding]:
    """The gravest first, otherwise in their order."""
    return sorted(findings, key=lambda one: ORDER.index(one.severity))


def show(findings: list[Finding], stream: TextIO) -> None:
    """Print each finding as file:field: severity: message, errors first, and a line of counts."""
    for one in ranked(findings)[:MOST]:
        print(one, file=stream)
    if len(findings) > MOST:
        print(f"... and {len(findings) - MOST} more findings", file=stream)
    counts = (f"{count(findings, severity)} {severity}s" for severity in ORDER)
    print(", ".join(counts), file=stream)


def refuse(findings: list[Finding]) -> None:
    """Raises Refused (exit code 1) when there is an error among the findings."""
    found = [one for one in findings if one.severity == "error"]
    if found:
        raise Refused(f"submission refused: {len(found)} errors, the first: {found[0]}")
