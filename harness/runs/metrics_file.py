"""metrics.json: strict, with a published schema, read without the packages that wrote it."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    Field,
    FiniteFloat,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from stabench.harness.errors import StabenchError
from stabench.harness.schema import Strict, first_key, json_schema
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import DEFAULT

NAME = "metrics.json"
SCHEMA: Final = 5
# How a file of schema 4 begins: only such a file is decoded twice.
FORMER = re.compile(rb'\s*\{\s*"schema":\s*4\b')


class EmbedderRecord(Strict):
    """A network, what its weights are, and how sounds were brought to it.

    `sha256` is of the weights; `identity` of everything in it that decides a feature. `width` is
    the length of an embedding.
    """

    name: str
    origin: str
    licence: str
    sha256: str
    identity: str
    width: int | None
    rate_hz: int
    resampler: str
    channels: Literal["first", "mean"]
    mean_removed: bool
    int16: bool
    long: Literal["whole", "first", "windows"]
    device: str
    precision: str


class CellRecord(Strict):
    """One number; `value` is null where there is none, and `reason` says why.

    `p_value` is by permutation, that both sets come from one distribution; `sd` the standard
    deviation of single clips.
    """

    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    n: int = 0
    reason: str | None = None
    p_value: float | None = Field(None, gt=0, le=1)
    sd: FiniteFloat | None = None


def _read_cell(value: object) -> Estimate:
    # Scoring builds the model of estimates; a file holds objects.
    if isinstance(value, Estimate):
        return value
    return Estimate(**dict(CellRecord.model_validate(value)))


# An estimate as a field of a model: an object in JSON.
StoredEstimate = Annotated[
    Estimate,
    PlainValidator(_read_cell, json_schema_input_type=CellRecord),
    PlainSerializer(Estimate.to_json),
]


class Sourced(Strict):
    """Something that may come from outside: `source` is a package and its version, or a file.

    What is built in has none, and no key of it in the file.
    """

    source: str | None = None

    @model_serializer(mode="wrap")
    def _leave_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = dump(self)
        return {key: part for key, part in value.items() if key != "source" or part is not None}


class ColumnHead(Strict):
    """What a column is called, and how it is printed."""

    label: str
    unit: str
    digits: int = Field(ge=0, le=9)
    better: Literal["lower", "higher"]


class ColumnRecord(Sourced, ColumnHead):
    """What a column is. `rules` are the constants of the protocol that decide it."""

    version: int
    about: str = ""
    protocol: str | None = None
    embedder: str | None = None
    rules: dict[str, float | int | None] = Field({})


class RowRecord(Strict):
    """A row of the table: `n` clips, and its cells by column."""

    label: str
    n: int
    failed: int
    cells: dict[str, StoredEstimate]


class SanityRecord(Sourced, RowRecord):
    """A sanity row; one whose sounds come from outside has a source."""


class DependenceRecord(Strict):
    """A column's mean over `n` outputs with their `own` clips, and with those of `others`.

    `p_value` is by permutation, one-sided, that outputs fit their own clips no better; `reason`
    says why there is no test (harness/scoring/input_dependence.py).
    """

    own: FiniteFloat | None = None
    others: FiniteFloat | None = None
    p_value: float | None = Field(None, gt=0, le=1)
    n: int = 0
    reason: str | None = None


class SystemRecord(RowRecord):
    """A system: also why clips failed, rows of embeddings by network, the values of each clip.

    `audio_sha256` is of the sounds that were scored (runs/audio_digest.py), null without any.
    `input_dependence` tests, by column, whether outputs fit their own inputs.
    """

    paradigm: str
    audio_sha256: str | None
    failures: dict[str, str]
    frames: dict[str, int]
    per_clip: dict[str, dict[str, float]]
    input_dependence: dict[str, DependenceRecord]

    @property
    def dependence_p(self) -> float | None:
        """The p-value of all tests together: the least times their number (Bonferroni), or None."""
        tests = self.input_dependence.values()
        p_values = [test.p_value for test in tests if test.p_value is not None]
        return min(1.0, len(p_values) * min(p_values)) if p_values else None


class DifferenceRecord(Strict):
    """System `a` minus system `b` in one column, over the clips that both have."""

    a: str
    b: str
    column: str
    difference: StoredEstimate


class ReferencesRecord(Strict):
    """How many recordings were heard, their rows of embeddings, and why others were not.

    `audio_sha256` is of the recordings and of which clip each belongs to, null without any.
    `input_dependence` tests, by column, whether recordings fit their own captions: to a network
    that fits the sounds they do.
    """

    n: int
    audio_sha256: str | None
    frames: dict[str, int]
    failures: dict[str, str]
    input_dependence: dict[str, DependenceRecord] = Field({})


class ProtocolRecord(Strict):
    """The rules of all columns; `replaced` are roles whose network is not the protocol's own."""

    name: str
    version: int
    digest: str
    about: str
    replaced: tuple[str, ...]
    kl_epsilon: float | None
    is_splits: int
    is_seed: int
    subset_seed: int

    @property
    def title(self) -> str:
        """Name, version and the first digits of the digest."""
        changed = f", {' and '.join(self.replaced)} replaced" if self.replaced else ""
        return f"{self.name} {self.version} ({self.digest[:8]}{changed})"


class ExaminationRecord(Strict):
    """Whether a network can judge, as measured on `sounds` whose truth is known (docs/judges.md).

    `accuracy` is that of `accuracy_of`; `dimensions` are the axes that its embedding fills;
    `monotony` is the worst rank correlation of a column with a damage, `agreement` that with the
    other judge. Of a network that was not examined only the verdict is known.
    """

    verdict: Literal["passed", "failed", "not examined"]
    sounds: str | None = None
    accuracy_of: str | None = None
    accuracy: FiniteFloat | None = None
    dimensions: FiniteFloat | None = None
    monotony: FiniteFloat | None = None
    agreement: FiniteFloat | None = None
    faults: tuple[str, ...] = ()


class ProvenanceRecord(Strict):
    """What all columns share; `groups` of clips that share a recording are drawn together.

    `examinations` are of the `embedders`, by role. They are apart from these because they depend on
    what the machine knows, not on the network.
    """

    protocol: ProtocolRecord
    clips: int
    groups: int
    seed: int
    bootstrap: int
    level: float
    interval: str
    pairing: str
    embedders: dict[str, EmbedderRecord]
    examinations: dict[str, ExaminationRecord]
    versions: dict[str, str]


class MetricsFile(Strict):
    """metrics.json."""

    schema_version: Literal[5] = Field(SCHEMA, alias="schema")
    task: str = DEFAULT
    n_clips: int
    columns: dict[str, ColumnRecord]
    systems: dict[str, SystemRecord]
    sanity: dict[str, SanityRecord]
    paired: tuple[DifferenceRecord, ...]
    references: ReferencesRecord
    provenance: ProvenanceRecord
    notes: tuple[str, ...]


def read(folder: Path) -> MetricsFile | None:
    """Return the scores in `folder`, or None before scoring.

    Raises StabenchError for another shape.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        data = path.read_bytes()
        return MetricsFile.model_validate_json(_upgrade(data) if FORMER.match(data) else data)
    except ValidationError as error:
        raise StabenchError(f"{path}: {first_key(error)}; score the run again") from None


def _upgrade(data: bytes) -> bytes:
    """Return schema 4, whose differences lay flat beside their names, as schema 5."""
    try:
        value = json.loads(data)
        for line in value["paired"]:
            cell = {key: line.pop(key) for key in ("low", "high", "n", "reason") if key in line}
            line["difference"] = {"value": line["difference"], **cell}
        return json.dumps({**value, "schema": SCHEMA}).encode()
    except (ValueError, LookupError, TypeError, AttributeError):
        return data  # the strict reader says what is wrong with it


if __name__ == "__main__":  # docs/metrics.schema.json
    print(json_schema(MetricsFile, "metrics.schema.json"), end="")
