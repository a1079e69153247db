"""submission.json: what a team claims of one system, strict, with a published schema.

Every number in it can be recomputed from the other files of the package; whatever is a text in it
was written by strangers.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat, StringConstraints

from stabench.harness.errors import StabenchError
from stabench.harness.runs.metrics_file import EmbedderRecord, ProtocolRecord
from stabench.harness.schema import Strict, json_schema
from stabench.harness.tasks.task import DEFAULT
from stabench.metrics.wav_header import LEAST_RATE_HZ, LONGEST_S, MOST_RATE_HZ

NAME = "submission.json"
SCHEMA: Literal[2] = 2
FORMER_SCHEMA = 1
# What schema 1 packed so that a sample of the sounds could be scored; nothing reads it now.
FORMER_FEATURES = "features.safetensors"

HIDDEN = (
    r"\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff"
)
BLANK = r"\x20\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"
# No control, no direction, no invisible character: a text that reads as it is.
VISIBLE = f"^[^{HIDDEN}]*$"
# A text that is seen: it does not begin with a blank.
READABLE = f"^[^{HIDDEN}{BLANK}][^{HIDDEN}]*$"
Line = Annotated[str, StringConstraints(max_length=300, pattern=VISIBLE)]
Said = Annotated[str, StringConstraints(max_length=300, pattern=READABLE)]
Paragraph = Annotated[str, StringConstraints(max_length=4000, pattern=READABLE)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
# Without white space, quotes, angle brackets or anything beyond ASCII.
Link = Annotated[str, StringConstraints(max_length=500, pattern=r"^https://[!#-&(-;=?-~]+$")]
# UTC, ISO 8601.
Moment = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|\+00:00)$"
    ),
]
Key = Annotated[str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
ClipId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=VISIBLE)]
# 2**53: up to there a reader of JSON that knows only doubles has every integer exactly.
Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
# A measured number; times are in ns. What is larger was measured by nobody, and breaks a page.
Figure = Annotated[FiniteFloat, Field(ge=-1e15, le=1e15)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Percentile = Literal["p50", "p90", "p95", "p99"]


class Card(Strict):
    """A part of the file; nothing is taken for another type."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @classmethod
    def read_json(cls, data: bytes) -> Self:
        """Read a file of this schema or, where `upgrade` knows it, of the former.

        Raises ValidationError with every field that is wrong, StabenchError for a file of the
        former schema that this one cannot say.
        """
        # Not a validator of the model: behind one, pydantic takes no list of JSON for a tuple.
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        schema = value.get("schema") if isinstance(value, dict) else None
        if type(schema) is int and schema == FORMER_SCHEMA:  # true is no 1
            data = json.dumps(cls.upgrade(value)).encode()
        return cls.model_validate_json(data)

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Return what a file of the former schema says as this schema says it."""
        return value


class About(Card):
    """What only the submitter knows. `parameters` counts those of all networks at inference."""

    version: Said
    description: Paragraph
    authors: tuple[Said, ...] = Field(min_length=1, max_length=100)
    contact: Said
    licence: Said
    training_data: Paragraph
    parameters: Positive | None = None
    links: dict[Said, Link] = Field({}, max_length=20)


class SystemCard(About):
    """One system. `weights` are sha256 by dotted name, as the system itself stated them."""

    name: Key
    label: Said
    paradigm: Key
    note: Line = ""
    weights: dict[Said, Sha256]


class SuiteCard(Card):
    """`digest` is of the suite's dataset, metrics and protocol; its systems are not part of it."""

    name: Key
    digest: Sha256
    task: Key = DEFAULT


class DatasetCard(Card):
    """`digest` is of every clip's id, captions and labels, in their order."""

    name: Said
    version: Said
    clips: Positive
    digest: Sha256


class RunCard(Card):
    """The run that was packed; `dirty` when tracked files of the source differed from `commit`."""

    id: Said
    started_at: Moment
    finished_at: Moment
    resumed: Count
    stabench: Said
    commit: Commit | None
    dirty: bool | None


class GpuCard(Card):
    """One GPU."""

    name: Said
    driver: Said


class HardwareCard(Card):
    """What the latencies depend on."""

    device: Literal["cpu", "cuda"]
    cpu: Said
    cpu_cores: Positive
    threads: Positive
    memory_bytes: Count | None
    gpus: tuple[GpuCard, ...]
    precision: Literal["float32", "float16", "bfloat16"]
    torch: Said | None
    python: Said
    platform: Said


class ScoringCard(Card):
    """How the metrics were made: rules, networks by role, seed and replicates of the intervals."""

    protocol: ProtocolRecord
    embedders: dict[Key, EmbedderRecord]
    seed: Count
    bootstrap: Positive


class MetricCard(Card):
    """One column with its 95 % interval; `value` is null where `reason` says why.

    `embedder` is the identity of its network, `protocol` the digest of its rules, both null for a
    column without them (word errors).
    """

    label: Said
    better: Literal["lower", "higher"]
    unit: Line
    digits: int = Field(ge=0, le=9)
    version: Positive
    embedder: Said | None
    protocol: Sha256 | None
    value: Figure | None
    low: Figure | None = None
    high: Figure | None = None
    n: Count
    reason: Line | None = None
    p_value: Share | None = None


class Number(Card):
    """A value and, from two clips on, its 95 % interval."""

    value: Figure
    low: Figure | None = None
    high: Figure | None = None


class PhaseCard(Card):
    """Wall times of one phase, ns: `n` samples of `clips` clips; percentiles where n allows."""

    n: Positive
    clips: Positive
    mean_ns: Number
    sd_ns: Figure | None
    percentiles_ns: dict[Percentile, Number]

    @property
    def median_ns(self) -> Number | None:
        """The median, or None below 11 clips."""
        return self.percentiles_ns.get("p50")


class StageCard(Card):
    """Mean of one stage over the timed clips; `share` is of both phases together."""

    phase: Key
    name: Said
    mean_ns: Figure
    share: Figure
    device_ns: Figure | None


class LatencyCard(Card):
    """The task's phases and what they are made of; without phases, `reason` says why."""

    phases: dict[Key, PhaseCard]
    stages: tuple[StageCard, ...] = Field(max_length=200)
    reason: Line | None = None


class OutputCard(Card):
    """One clip's sound: sha256 of its little-endian float32 samples, and its metrics by column."""

    sha256: Sha256
    samples: Positive
    rate_hz: Annotated[int, Field(ge=LEAST_RATE_HZ, le=MOST_RATE_HZ)]
    seconds: FiniteFloat = Field(gt=0, le=LONGEST_S)
    values: dict[Key, Figure]


class Submission(Card):
    """submission.json. The sound of every one of `outputs` is in the package, `files` are the
    sha256 of its other files by name; `failed` says why by clip, `marks` what a reader must know.
    """

    schema_version: Literal[2] = Field(alias="schema")
    system: SystemCard
    suite: SuiteCard
    dataset: DatasetCard
    run: RunCard
    hardware: HardwareCard
    scoring: ScoringCard
    metrics: dict[Key, MetricCard] = Field(min_length=1, max_length=100)
    latency: LatencyCard
    outputs: dict[ClipId, OutputCard] = Field(min_length=1)
    failed: dict[ClipId, Line]
    files: dict[Said, Sha256]
    marks: tuple[Said, ...] = ()

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Return what schema 1 said with every sound as schema 2 says it.

        Raises StabenchError for schema 1 with a sample of the sounds: the numbers of the rest
        cannot be checked.
        """
        audio, files = value.get("audio"), value.get("files")
        if not isinstance(audio, dict) or audio.get("rule") != "all":
            raise StabenchError(
                "schema 1 with a sample of the sounds, whose rest nobody can check; pack the run "
                "again with `stabench submit`"
            )
        former = {key: part for key, part in value.items() if key != "audio"}
        if isinstance(files, dict):
            former["files"] = {name: sha for name, sha in files.items() if name != FORMER_FEATURES}
        return former | {"schema": SCHEMA}

    @property
    def made_at(self) -> str:
        """When the numbers were made: the end of the run."""
        return self.run.finished_at


if __name__ == "__main__":  # docs/submission.schema.json
    print(json_schema(Submission, "submission.schema.json"), end="")
