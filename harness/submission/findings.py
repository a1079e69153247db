"""Findings: what a check has to say of a submission, one line each, safe to print."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TextIO

from pydantic import BaseModel

from stabench.harness.errors import StabenchError

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


class Tolerance(NamedTuple):
    """How far a claimed number may lie from the recomputed one: the larger of both."""

    relative: float
    absolute: float

    def allows(self, claimed: float, found: float) -> bool:
        """Whether the claim can stand."""
        return math.isclose(claimed, found, rel_tol=self.relative, abs_tol=self.absolute)

    def __str__(self) -> str:
        return f"{100 * self.relative:g} %"


SAME = Tolerance(1e-9, 1e-12)
"""The same code on the same samples; libraries may differ in a last digit."""
HEARD = Tolerance(0.002, 1e-6)
"""Networks on another processor differ in the fifth digit; a change of 1 % does not pass."""


def deviations(
    file: str, field: str, claimed: Any, found: Any, tolerance: Tolerance = SAME
) -> Iterator[Finding]:
    """An error for every leaf of `claimed` that is not what was `found`; integers are exact."""
    claimed, found = _plain(claimed), _plain(found)
    if isinstance(claimed, dict) and isinstance(found, dict):
        for key in {**claimed, **found}:
            place = f"{field}.{key}"
            if key in claimed and key in found:
                yield from deviations(file, place, claimed[key], found[key], tolerance)
            else:
                yield error(file, place, "is missing" if key in found else "follows from no file")
    elif isinstance(claimed, list) and isinstance(found, list) and len(claimed) == len(found):
        for index, (one, other) in enumerate(zip(claimed, found, strict=True)):
            yield from deviations(file, f"{field}.{index}", one, other, tolerance)
    elif _number(claimed) and _number(found) and float in (type(claimed), type(found)):
        if not tolerance.allows(claimed, found):
            yield error(
                file, field, f"says {claimed:.9g}, recomputed {found:.9g} (allowed {tolerance})"
            )
    elif claimed != found or type(claimed) is not type(found):
        yield error(file, field, f"says {_brief(claimed)}, the package shows {_brief(found)}")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
