"""The format of Every Eval Ever: fields and types as schema 0.3.0 has them, written out by hand.

The schema is that of github.com/evaleval/every_eval_ever, every_eval_ever/schemas.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stabench.harness.leaderboard import every_eval_ever as eee
from stabench.harness.leaderboard.export import Evaluator, export_run
from stabench.harness.runs.run_folder import RunFolder

NOW = datetime(2026, 12, 1, tzinfo=UTC)
AGGREGATE: dict[str, type] = {
    "schema_version": str,
    "evaluation_id": str,
    "retrieved_timestamp": str,
    "source_metadata.source_type": str,
    "source_metadata.source_organization_name": str,
    "source_metadata.evaluator_relationship": str,
    "model_info.name": str,
    "model_info.id": str,
    "model_info.additional_details.deployment_type": str,
    "model_info.additional_details.model_availability": str,
    "eval_library.name": str,
    "eval_library.version": str,
    "evaluation_results": list,
    "detailed_evaluation_results.format": str,
    "detailed_evaluation_results.file_path": str,
}
RESULT: dict[str, type] = {
    "evaluation_name": str,
    "evaluation_result_id": str,
    "source_data.dataset_name": str,
    "source_data.source_type": str,
    "metric_config.lower_is_better": bool,
    "score_details.score": float,
    "score_details.uncertainty.num_samples": int,
    "score_details.uncertainty.confidence_interval.lower": float,
    "score_details.uncertainty.confidence_interval.upper": float,
}
SAMPLE: dict[str, type] = {
    "schema_version": str,
    "evaluation_id": str,
    "model_id": str,
    "evaluation_name": str,
    "evaluation_result_id": str,
    "sample_id": str,
    "interaction_type": str,
    "input.raw": str,
    "input.reference": list,
    "output.raw": list,
    "answer_attribution": list,
    "evaluation.score": float,
    "evaluation.is_correct": bool,
}
TOP = {
    "schema_version", "evaluation_id", "evaluation_timestamp", "retrieved_timestamp",
    "source_metadata", "eval_library", "model_info", "evaluation_results",
    "detailed_evaluation_results",
}  # fmt: skip
SAMPLE_TOP = {
    "schema_version", "evaluation_id", "model_id", "evaluation_name", "evaluation_result_id",
    "sample_id", "sample_hash", "interaction_type", "input", "output", "messages",
    "answer_attribution", "evaluation", "token_usage", "performance", "error", "metadata",
}  # fmt: skip
"""Top levels are closed: any other key is refused."""


def pick(value: dict[str, Any], place: str) -> Any:
    for key in place.split("."):
        value = value[key]
    return value


def check_fields(value: dict[str, Any], fields: dict[str, type]) -> None:
    for place, kind in fields.items():
        assert type(pick(value, place)) is kind, place


def check_details(value: Any) -> None:
    """Every free fact is a text, wherever it is."""
    if isinstance(value, list):
        for inner in value:
            check_details(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("additional_details", "details", "metadata"):
                assert all(type(text) is str for text in inner.values()), inner
            else:
                check_details(inner)


def exported(folder: RunFolder, out: Path, system: str = "cascade", **who: Any):
    """The aggregate and the samples of one system."""
    (path,) = export_run(folder.path, out, system, Evaluator(**who), NOW)
    log = json.loads(path.read_text())
    lines = path.with_name(f"{path.stem}_samples.jsonl")
    samples = [json.loads(line) for line in lines.read_text().splitlines()]
    return log, samples


def results_of(log: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        result["evaluation_name"].partition(".")[2]: result for result in log["evaluation_results"]
    }


def test_the_files_have_the_fields_and_types_of_the_schema(scored, tmp_path):
    log, samples = exported(scored, tmp_path)
    assert log["schema_version"] == "0.3.0"
    assert set(log) == TOP
    check_fields(log, AGGREGATE)
    check_details(log)
    for result in log["evaluation_results"]:
        check_fields(result, RESULT)
    assert samples
    for sample in samples:
        assert set(sample) <= SAMPLE_TOP
        check_fields(sample, SAMPLE)
        check_details(sample)
        assert "messages" not in sample


def test_the_lines_are_where_the_aggregate_says_with_their_checksum(scored, tmp_path):
    log, samples = exported(scored, tmp_path)
    detailed = log["detailed_evaluation_results"]
    place = detailed["file_path"]
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(rf"data/stabench-tones/unknown/cascade/{uuid4}_samples\.jsonl", place)
    data = (tmp_path / place).read_bytes()
    assert detailed["checksum"] == hashlib.sha256(data).hexdigest()
    assert detailed["total_rows"] == len(samples) == data.count(b"\n")
    assert {sample["evaluation_id"] for sample in samples} == {log["evaluation_id"]}
    assert {sample["model_id"] for sample in samples} == {log["model_info"]["id"]}
    known = {result["evaluation_result_id"] for result in log["evaluation_results"]}
    keys = [(sample["evaluation_result_id"], sample["sample_id"]) for sample in samples]
    assert {result for result, _ in keys} <= known
    assert len(set(keys)) == len(keys)


def test_the_models_take_no_other_keys_and_no_bounds_by_halves():
    interval = {"lower": 0.0, "upper": 1.0, "confidence_level": 0.95, "method": "x"}
    eee.ConfidenceInterval(**interval)
    with pytest.raises(ValidationError, match="Extra inputs"):
        eee.ConfidenceInterval(**interval, remark="x")
    config = {
        "metric_id": "a", "metric_name": "A", "metric_kind": "a", "lower_is_better": True,
        "additional_details": {},
    }  # fmt: skip
    with pytest.raises(ValidationError, match="needs min_score and max_score"):
        eee.MetricConfig(**config, score_type="continuous", min_score=0.0)
    with pytest.raises(ValidationError, match="should be a valid string"):
        eee.MetricConfig(**{**config, "additional_details": {"n": 3}})
