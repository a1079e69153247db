"""Deviations: what a submission says against the same parts made again, field by field."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from harness.board.findings import Finding, error


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
