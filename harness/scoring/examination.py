"""The record of a judge's examination: what was measured, what was needed, and where it is kept.

A judge is a network that gives numbers: embeddings of FAD, classes of KL, captions of CLAP. The
verdict follows from the figures of the record alone, wherever it is read.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from stabench.checkpoints.cache import cache_folder
from stabench.harness import files
from stabench.harness.errors import StabenchError
from stabench.harness.formatting import counted, figure
from stabench.harness.schema import Strict, first_key
from stabench.metrics.protocol import Role
from stabench.metrics.registry import METRICS

# Rises when the same network could get other figures or another verdict: examined anew.
VERSION: Final = 1
# How much quieter and louder the recordings are made to see what loudness alone does.
LOUDNESS_DB = 12
# Where records are kept, within the cache folder.
FOLDER = "judges"
COMMAND = "stabench doctor --judges"
NOT_EXAMINED = "not examined"
Measure = Literal["classes", "windows", "probe", "captions"]
# What the accuracy of a network is.
MEASURES: dict[Measure, str] = {
    "classes": "mean average precision of its own classes",
    "probe": "mean average precision of a linear probe",
    "windows": "mean average precision of each class's highest window",
    "captions": "share of sounds nearer to their caption than to a wrong one",
}


class Thresholds(Strict):
    """What a judge must reach; each is a least value but `floor`, which is the most allowed.

    `accuracy` is by what it is of (MEASURES). The damages that are `exempt` need not be followed:
    a network that does not care how loud a sound is can judge all the same. `dimensions` and
    `floor` are asked only of networks whose embeddings a distance compares, `ideal` only of those
    that say when an event sounds.
    """

    accuracy: dict[Measure, float]
    dimensions: float
    monotony: float
    exempt: tuple[str, ...] = ()
    floor: float
    agreement: float
    ideal: float


# For a network that was not trained on sounds like those of the examination. Random weights must
# fail here and published ones should not (docs/judges.md): random VGGish and CNN14 of full size
# reach 0.91 and 0.67 by probe, 3.0 and 1.1 dimensions; a random CLAP gets 0.50.
FOREIGN = Thresholds(
    accuracy={"classes": 0.8, "windows": 0.8, "probe": 0.8, "captions": 0.7},
    dimensions=5,
    monotony=0.9,
    exempt=("gain",),
    floor=0.5,
    agreement=0.7,
    ideal=0.8,
)


class Curve(Strict):
    """One column under one damage: its value at each level, and Spearman's rho of the two."""

    levels: tuple[FiniteFloat, ...]
    values: tuple[FiniteFloat, ...]
    monotony: float = Field(ge=-1.0001, le=1.0001)


class Loudness(Strict):
    """A column of the recordings themselves, and of the same LOUDNESS_DB quieter and louder."""

    plain: FiniteFloat
    quieter: FiniteFloat
    louder: FiniteFloat


class Floor(Strict):
    """The mean distance of random halves of the recordings, and that of white noise from all."""

    halves: FiniteFloat
    noise: FiniteFloat

    @property
    def share(self) -> float:
        """The floor in units of the distance of white noise; infinite where that is 0."""
        return self.halves / self.noise if self.noise > 0 else float("inf")


class Agreement(Strict):
    """Spearman's rho of two judges' distances of the same `sets` of sounds.

    It counts only where the other judge passes all else: else nobody knows which one is wrong.
    """

    network: str
    identity: str
    sets: int
    value: float
    counts: bool


class Figures(Strict):
    """What was measured of a network; `curves` are by column and kind of damage.

    `top_two` is the share of the embedding's variance in its two largest axes, of `width`. `ideal`
    is what the recordings themselves get in a column that asks when an event sounds.
    """

    accuracy_of: Measure
    accuracy: FiniteFloat
    dimensions: FiniteFloat
    top_two: FiniteFloat
    width: int
    curves: dict[str, dict[str, Curve]]
    ideal: dict[str, FiniteFloat]
    loudness: dict[str, Loudness]
    floor: Floor | None


class Record(Strict):
    """One examination of one network in one role, on `sounds`.

    `refused` counts the known sounds for which it gave NaN or infinity; then there are no figures.
    """

    version: Literal[1] = VERSION
    role: Role
    network: str
    identity: str
    origin: str
    sounds: str
    refused: int
    figures: Figures | None
    agreement: Agreement | None
    thresholds: Thresholds
    passed: bool
    versions: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> "Record":
        if self.passed != (not self.faults):
            raise ValueError(f"passed is {self.passed}, its figures say {not self.faults}")
        return self

    @property
    def monotony(self) -> float | None:
        """The worst rank correlation of a column with a damage, of those that it must follow."""
        return min((curve.monotony for _, _, curve in self._followed), default=None)

    @property
    def _followed(self) -> list[tuple[str, str, Curve]]:
        """Column, damage and curve of each that must be monotone."""
        curves = self.figures.curves if self.figures else {}
        return [
            (column, kind, curve)
            for column, kinds in curves.items()
            for kind, curve in kinds.items()
            if kind not in self.thresholds.exempt
        ]

    @property
    def verdict(self) -> str:
        return "passed" if self.passed else "failed"

    @property
    def faults(self) -> tuple[str, ...]:
        """Why it fails, a phrase each with the value and what is needed; none where it passes."""
        return tuple(_list_faults(self))

    @property
    def reason(self) -> str:
        """Why a column of this network has no number."""
        more = f" (and {counted(len(self.faults) - 1, 'more fault')})"
        first = f"{self.faults[0]}{more if len(self.faults) > 1 else ''}"
        return f"the network failed its examination: {first}; see {COMMAND}"


def _list_faults(record: Record) -> Iterator[str]:
    needed, figures, agreement = record.thresholds, record.figures, record.agreement
    if record.refused or figures is None:
        yield f"NaN or infinity for {counted(record.refused, 'known sound')}"
        return
    least = needed.accuracy[figures.accuracy_of]
    if figures.accuracy < least:
        what = MEASURES[figures.accuracy_of]
        yield f"{what} {figure(figures.accuracy, 2)}, at least {least:g} is needed"
    # Only a network whose embeddings a distance compares has a floor, and needs many axes.
    if figures.floor and figures.dimensions < needed.dimensions:
        dimensions = figure(figures.dimensions, 1)
        yield f"{dimensions} effective dimensions, at least {needed.dimensions:g} are needed"
    for column, kind, curve in record._followed:
        if curve.monotony < needed.monotony:
            yield (
                f"{METRICS[column].label} does not follow {kind}: Spearman "
                f"{figure(curve.monotony, 2)}, at least {needed.monotony:g} is needed"
            )
    for column, value in figures.ideal.items():
        if value < needed.ideal:
            yield (
                f"{METRICS[column].label} of the recordings themselves is {figure(value, 2)}, at "
                f"least {needed.ideal:g} is needed"
            )
    if figures.floor and figures.floor.share > needed.floor:
        yield (
            f"half of the recordings is {figure(figures.floor.share, 2)} times as far from the "
            f"other half as white noise is from all, at most {needed.floor:g} is allowed"
        )
    if agreement and agreement.counts and agreement.value < needed.agreement:
        yield (
            f"orders {agreement.sets} damaged sets otherwise than {agreement.network}: Spearman "
            f"{figure(agreement.value, 2)}, at least {needed.agreement:g} is needed"
        )


def find(embedder: Any, role: str, identity: str) -> Record | None:
    """Return the record of an embedder of this identity in a role, None where there is none.

    One made on this machine comes before one that its weights brought along. One of another
    version of the examination, or of other weights, is none. Raises StabenchError for a record
    that is damaged.
    """
    folder = getattr(embedder, "examinations", None)
    shipped = [shipped_at(folder, role)] if folder else []
    for path in (kept_at(role, identity), *shipped):
        record = read(path)
        if record and (record.role, record.identity) == (role, identity):
            return record
    return None


def shipped_at(folder: Path, role: str) -> Path:
    """Return where weights bring along the record of a network in a role."""
    return folder / f"examination-{role}.json"


def kept_at(role: str, identity: str) -> Path:
    """Return where the record of a network lies in the cache folder."""
    # An identity holds names and settings of any length; a file name may not.
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return cache_folder() / FOLDER / f"{role}-{digest}.json"


def read(path: Path) -> Record | None:
    """Return the record in a file; None where there is none of this VERSION.

    Raises StabenchError for one that is damaged, or whose verdict is not that of its figures.
    """
    try:
        content = path.read_bytes()
        head = json.loads(content)
        # Before the strict reading: a record of another version is none, not a damaged one.
        if isinstance(head, dict) and head.get("version") != VERSION:
            return None
        return Record.model_validate_json(content)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = first_key(error)
    except ValueError as error:
        fault = f"not JSON ({error})"
    raise StabenchError(f"examination {path}: {fault}; remove the file and run {COMMAND}")


def write(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, record.model_dump(mode="json"))
