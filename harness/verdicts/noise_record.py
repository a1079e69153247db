"""The noise of one machine, as `stabench doctor --noise` measured it; the file noise.json."""

from pathlib import Path

from pydantic import Field, FiniteFloat, ValidationError

from harness import atomic
from harness.errors import StabenchError
from harness.strict import Strict, first_key
from harness.verdicts.record import Hardware

SCHEMA = 1
NAME = "noise.json"


class PhaseNoise(Strict):
    """One phase. `threshold`: the least slowdown that a gate should count, as a share.

    Of `splits` of the unchanged system into old and new, `alarms` were called regressed at the
    threshold. `least_slowdown` is the smallest found in 90 % of splits, None where none up to the
    largest tried is. `spread`: standard deviation of the logs of paired ratios.
    """

    threshold: FiniteFloat = Field(gt=0)
    alarms: int
    splits: int
    low: float
    high: float
    least_slowdown: float | None
    spread: float


class Noise(Strict):
    """noise.json: one system against itself, `clips` of it, by "processing" and "generation"."""

    schema_version: int = Field(SCHEMA, alias="schema")
    made_at: str
    system: str
    clips: int
    hardware: Hardware
    load_average: tuple[float, float, float] | None
    phases: dict[str, PhaseNoise]


def write(path: Path, found: Noise) -> None:
    """The file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, found.model_dump(mode="json", by_alias=True))


def read(path: Path) -> Noise | None:
    """What the file says; None without one. Raises StabenchError for another file."""
    if not path.is_file():
        return None
    try:
        return Noise.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StabenchError(
            f"{path}: {first_key(error)}; run stabench doctor --noise again"
        ) from None
