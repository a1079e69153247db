"""The format of Every Eval Ever, schema 0.3.0: what this exporter writes of it, strictly.

The project of the EvalEval coalition (https://github.com/evaleval/every_eval_ever) describes two
files: an aggregate (every_eval_ever/schemas/eval.schema.json) and, beside it, lines for single
samples (instance_level_eval.schema.json). Both forbid keys that they do not name; so do these
models, which hold only what a run can fill. Field names are theirs. What is None is not written.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from stabench.harness.schema import Strict

VERSION: Final = "0.3.0"
UNKNOWN = "unknown"
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
# Free facts; the format wants every value as a text.
Details = dict[str, str]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Place of the lines in a datastore, whose names are UUIDs of version 4.
SamplesPath = Annotated[
    str,
    StringConstraints(
        pattern=r"^data/[^/]+/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
        r"[0-9a-f]{12}_samples\.jsonl$"
    ),
]


class Part(Strict):
    """A part of a file; nothing is taken for another type."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class SourceMetadata(Part):
    """Who ran the evaluation, and how they are related to who made the model."""

    source_name: Literal["stabench"] = "stabench"
    source_type: Literal["evaluation_run"] = "evaluation_run"
    source_organization_name: str = Field(min_length=1)
    evaluator_relationship: Relationship
    additional_details: Details


class EvalLibrary(Part):
    """What evaluated, and by which rules."""

    name: str
    version: str
    additional_details: Details


class ModelDetails(Part):
    """What the format requires of a model, then what is known of this one."""

    deployment_type: Literal["self_deployed", "externally_managed", "unknown"] = "unknown"
    model_availability: Literal["open_weights", "closed_weights", "unknown"] = "unknown"
    paradigm: str
    precision: str
    statement_sha256: Sha256
    note: str | None = None
    caveat: str | None = None


class ModelInfo(Part):
    """The system under test; `id` is developer/model as on the Hugging Face Hub."""

    name: str
    id: str = Field(pattern=r"^[^/]+/[^/]+$")
    developer: str
    additional_details: ModelDetails


class SourceData(Part):
    """The dataset: neither a repository of the Hub nor a list of addresses, so "other"."""

    dataset_name: str
    source_type: Literal["other"] = "other"
    additional_details: Details


class MetricConfig(Part):
    """What a score is. Bounds go with `score_type`, and both are left out where unknown."""

    evaluation_description: str | None = None
    metric_id: str
    metric_name: str
    metric_kind: str
    metric_unit: str | None = None
    metric_parameters: dict[str, int | float] | None = None
    lower_is_better: bool
    score_type: Literal["continuous"] | None = None
    min_score: FiniteFloat | None = None
    max_score: FiniteFloat | Literal["Infinity"] | None = None
    additional_details: Details

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if self.score_type and (self.min_score is None or self.max_score is None):
            raise ValueError("a continuous score needs min_score and max_score")
        return self


class ConfidenceInterval(Part):
    """An interval of the score."""

    lower: FiniteFloat
    upper: FiniteFloat
    confidence_level: float = Field(ge=0, le=1)
    method: str


class Uncertainty(Part):
    """How sure a score is; `num_samples` counts clips."""

    confidence_interval: ConfidenceInterval | None = None
    standard_deviation: FiniteFloat | None = None
    num_samples: int = Field(ge=1)
    num_bootstrap_samples: int | None = None


class ScoreDetails(Part):
    """A score with its uncertainty."""

    score: FiniteFloat
    details: Details | None = None
    uncertainty: Uncertainty


class GenerationConfig(Part):
    """How the system was run."""

    additional_details: Details


class EvaluationResult(Part):
    """One metric; lines of samples point to its `evaluation_result_id`."""

    evaluation_result_id: str
    evaluation_name: str
    source_data: SourceData
    evaluation_timestamp: str
    metric_config: MetricConfig
    score_details: ScoreDetails
    generation_config: GenerationConfig


class DetailedResults(Part):
    """Where the lines of samples are, and their checksum."""

    format: Literal["jsonl"] = "jsonl"
    file_path: SamplesPath
    hash_algorithm: Literal["sha256"] = "sha256"
    checksum: Sha256
    total_rows: int = Field(ge=1)
    additional_details: Details


class EvaluationLog(Part):
    """The aggregate of one system in one run. `retrieved_timestamp` is in seconds of Unix time."""

    schema_version: Literal["0.3.0"] = VERSION
    evaluation_id: str
    evaluation_timestamp: str
    retrieved_timestamp: str = Field(pattern=r"^[0-9]+$")
    source_metadata: SourceMetadata
    eval_library: EvalLibrary
    model_info: ModelInfo
    evaluation_results: tuple[EvaluationResult, ...] = Field(min_length=1)
    detailed_evaluation_results: DetailedResults | None = None


class SampleInput(Part):
    """What was asked, as text, and the texts that answer it."""

    raw: str
    reference: tuple[str, ...]


class SampleOutput(Part):
    """What came back, as text."""

    raw: tuple[str, ...]


class SampleEvaluation(Part):
    """The sample's own value. `is_correct` is required even where a metric has no such notion."""

    score: FiniteFloat
    is_correct: bool


class Performance(Part):
    """Wall times of the sample."""

    latency_ms: float | None = Field(None, ge=0)
    generation_time_ms: float | None = Field(None, ge=0)


class Sample(Part):
    """One line: one clip under one metric. `sample_hash` is of the input."""

    schema_version: Literal["0.3.0"] = VERSION
    evaluation_id: str
    model_id: str
    evaluation_name: str
    evaluation_result_id: str
    sample_id: str
    sample_hash: Sha256 | None = None
    interaction_type: Literal["single_turn"] = "single_turn"
    input: SampleInput
    output: SampleOutput
    answer_attribution: tuple[()] = ()
    evaluation: SampleEvaluation
    performance: Performance | None = None
    metadata: Details
