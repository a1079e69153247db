"""metrics.json as the report reads it: strict, and without the packages that wrote it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from harness.errors import StabenchError
from harness.estimate import Estimate

NAME = "metrics.json"


class Strict(BaseModel):
    """No keys beyond those named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CellRecord(Strict):
    """One number; `value` is null where there is none, and `reason` says why."""

    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    n: int = 0
    reason: str | None = None

    @property
    def estimate(self) -> Estimate:
        return Estimate(self.value, self.low, self.high, self.n, self.reason)


class ColumnRecord(BaseModel):
    """What a column is; the other keys (embedder, splits, ...) are provenance for the reader."""

    model_config = ConfigDict(extra="allow", frozen=True)
    label: str
    better: Literal["lower", "higher"]
    unit: str
    digits: int = Field(ge=0, le=9)
    version: int


class RowRecord(Strict):
    """A sanity row: `n` clips, and its cells by column."""

    label: str
    n: int
    failed: int
    cells: dict[str, CellRecord]


class SystemRecord(RowRecord):
    """A system: also why clips failed, and the values of each clip."""

    paradigm: str
    failures: dict[str, str]
    per_clip: dict[str, dict[str, float]]


class DifferenceRecord(Strict):
    """System `a` minus system `b` in one column, over the `n` clips that both have."""

    a: str
    b: str
    column: str
    difference: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    n: int = 0
    reason: str | None = None

    @property
    def estimate(self) -> Estimate:
        return Estimate(self.difference, self.low, self.high, self.n, self.reason)


class ReferencesRecord(Strict):
    """How many recordings were heard, and why others were not."""

    n: int
    failures: dict[str, str]


class MetricsFile(Strict):
    """metrics.json."""

    schema_version: Literal[1] = Field(alias="schema")
    n_clips: int
    columns: dict[str, ColumnRecord]
    systems: dict[str, SystemRecord]
    sanity: dict[str, RowRecord]
    paired: tuple[DifferenceRecord, ...]
    references: ReferencesRecord
    provenance: dict[str, Any]
    notes: tuple[str, ...]


def read(folder: Path) -> MetricsFile | None:
    """The scores in `folder`, or None before scoring. Raises StabenchError for another shape."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return MetricsFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise StabenchError(f"{path}: key '{key}': {first['msg']}; score the run again") from None
