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


class Broken(Exception):
    """A file of a submission that cannot be read further: the errors in it, one at least."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(str(findings[0]))
        self.findings = findings


def error(file: str, field: str, message: str) -> Finding:
    """Something that keeps the submission from being accepted."""
    return Finding(file, field, "error", message)


def warning(file: str, field: str, message: str) -> Finding:
    """Something that a person should look at."""
    return Finding(file, field, "warning", message)


def note(file: str, field: str, message: str) -> Finding:
    """Something a reader should know: what was checked, and what no check can see."""
    return Finding(file, field, "note", message)


def printable(text: str) -> str:
    """At most LONGEST characters; what is not printable is escaped, so no terminal obeys it."""
    # Cut before it is escaped: what strangers wrote may have any length.
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def count(findings: Iterable[Finding], severity: Severity) -> int:
    """How many findings have this severity."""
    return sum(finding.severity == severity for finding in findings)


def sort_findings(findings: list[Finding]) -> list[Finding]:
    """Return the gravest first, otherwise in their order."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))


def show(findings: list[Finding], stream: TextIO) -> None:
    """Print each finding as file:field: severity: message, errors first, and a line of counts."""
    for finding in sort_findings(findings)[:MOST]:
        print(finding, file=stream)
    if len(findings) > MOST:
        print(f"... and {len(findings) - MOST} more findings", file=stream)
    counts = (f"{count(findings, severity)} {severity}s" for severity in ORDER)
    print(", ".join(counts), file=stream)


def refuse(findings: list[Finding]) -> None:
    """Raise Refused (exit code 1) when there is an error among the findings."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise Refused(f"submission refused: {len(errors)} errors, the first: {errors[0]}")


class Tolerance(NamedTuple):
    """How far a claimed number may lie from the recomputed one: the larger of both."""

    relative: float
    absolute: float

    def allows(self, claimed: float, recomputed: float) -> bool:
        """Whether the claim can stand."""
        return math.isclose(claimed, recomputed, rel_tol=self.relative, abs_tol=self.absolute)

    def __str__(self) -> str:
        return f"{100 * self.relative:g} %"


# The same code on the same samples; libraries may differ in a last digit.
SAME = Tolerance(1e-9, 1e-12)
# Networks on another processor differ in the fifth digit; a change of 1 % does not pass.
HEARD = Tolerance(0.002, 1e-6)


def deviations(
    file: str, field: str, claimed: Any, recomputed: Any, tolerance: Tolerance = SAME
) -> Iterator[Finding]:
    """Yield an error for every leaf of `claimed` that was `recomputed` as another value.

    Integers and texts are exact; floats may differ by the tolerance.
    """
    claimed, recomputed = _plain(claimed), _plain(recomputed)
    if isinstance(claimed, dict) and isinstance(recomputed, dict):
        for key in {**claimed, **recomputed}:
            place = f"{field}.{key}"
            if key in claimed and key in recomputed:
                yield from deviations(file, place, claimed[key], recomputed[key], tolerance)
            else:
                yield error(
                    file, place, "is missing" if key in recomputed else "follows from no file"
                )
    elif (
        isinstance(claimed, list)
        and isinstance(recomputed, list)
        and len(claimed) == len(recomputed)
    ):
        for index, pair in enumerate(zip(claimed, recomputed, strict=True)):
            yield from deviations(file, f"{field}.{index}", *pair, tolerance)
    elif _number(claimed) and _number(recomputed) and float in (type(claimed), type(recomputed)):
        if not tolerance.allows(claimed, recomputed):
            yield error(
                file,
                field,
                f"says {claimed:.9g}, recomputed {recomputed:.9g} (allowed {tolerance})",
            )
    # To Python 1 equals 1.0 and True; in JSON they are different claims.
    elif claimed != recomputed or type(claimed) is not type(recomputed):
        yield error(file, field, f"says {_brief(claimed)}, the package shows {_brief(recomputed)}")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def _number(value: Any) -> bool:
    # A bool is an int to Python, and no number here.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
