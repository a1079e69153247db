"""The export to Every Eval Ever: its numbers are the run's, and what it refuses."""

import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.cli import main
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.leaderboard.export import Evaluator, export_run
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from stabench.metrics.wer import word_errors
from tests.harness.fake_run import FakeRun
from tests.harness.leaderboard.conftest import LOST
from tests.harness.leaderboard.test_every_eval_ever import NOW, exported, results_of

ROOT = Path(__file__).resolve().parents[3]


def metrics_of(folder: RunFolder) -> dict[str, Any]:
    return json.loads(folder.metrics_path.read_text())


def test_scores_are_those_of_metrics_json_with_direction_unit_interval_and_n(scored, tmp_path):
    log, _ = exported(scored, tmp_path)
    metrics, results = metrics_of(scored), results_of(log)
    cells = dict(metrics["systems"]["cascade"]["cells"])
    # IS needs more clips.
    assert cells.pop("is")["value"] is None
    assert set(cells) <= set(results)
    for key, cell in cells.items():
        score, config = results[key]["score_details"], results[key]["metric_config"]
        interval = score["uncertainty"]["confidence_interval"]
        told = (score["score"], interval["lower"], interval["upper"])
        assert told == (cell["value"], cell["low"], cell["high"])
        assert interval["confidence_level"] == 0.95
        assert score["uncertainty"]["num_samples"] == cell["n"]
        assert score["uncertainty"]["num_bootstrap_samples"] == 100
        about = metrics["columns"][key]
        assert config["lower_is_better"] is (about["better"] == "lower")
        assert config.get("metric_unit", "") == about["unit"]
    assert results["kl"]["metric_config"]["metric_unit"] == "nats"
    details = results["kl"]["metric_config"]["additional_details"]
    assert details["embedder.identity"] == metrics["provenance"]["embedders"]["tagger"]["identity"]


def test_latencies_are_means_with_the_percentiles_that_the_clips_allow(scored, tmp_path):
    result = results_of(exported(scored, tmp_path)[0])["generation"]
    walls = [
        row.phase_ns["generate"] for row in scored.rows() if row.system == "cascade" and row.ok
    ]
    score = result["score_details"]
    assert score["score"] == pytest.approx(statistics.mean(walls) / 1e9)
    assert score["uncertainty"]["standard_deviation"] == pytest.approx(
        statistics.stdev(walls) / 1e9
    )
    assert float(score["details"]["p50"]) == pytest.approx(statistics.median(walls) / 1e9)
    assert score["details"]["p90"] == "p90 needs 64 clips, there are 23"
    config = result["metric_config"]
    assert (config["metric_unit"], config["lower_is_better"]) == ("s", True)
    assert (config["score_type"], config["min_score"], config["max_score"]) == (
        "continuous", 0.0, "Infinity",
    )  # fmt: skip


def test_each_clip_has_its_own_values_and_a_failed_one_none(scored, tmp_path):
    log, samples = exported(scored, tmp_path)
    values: dict[str, dict[str, float]] = {}
    for sample in samples:
        key = sample["evaluation_result_id"].rpartition("/")[2]
        values.setdefault(key, {})[sample["sample_id"]] = sample["evaluation"]["score"]
    for clip, scores in metrics_of(scored)["systems"]["cascade"]["per_clip"].items():
        for key, value in scores.items():
            assert values[key][clip] == value
    assert set(values) == {"processing", "generation", "kl", "clap", "recall", "wer"}
    kl = results_of(log)["kl"]["score_details"]["score"]
    assert statistics.mean(values["kl"].values()) == pytest.approx(kl)
    rows = {row.clip: row for row in scored.rows() if row.system == "cascade"}
    for clip in (clip for clip in scored.clips if clip.id != LOST):
        row = rows[clip.id]
        errors, words = word_errors(clip.caption, row.text)
        assert values["wer"][clip.id] == pytest.approx(errors / words)
        assert values["processing"][clip.id] == pytest.approx(row.phase_ns["represent"] / 1e6)
    assert all(LOST not in clips and len(clips) == 23 for clips in values.values())
    told = log["source_metadata"]["additional_details"]
    assert json.loads(told["failed_clips"]) == {LOST: "timeout: no answer within 120 s"}


def test_a_line_says_what_was_asked_and_what_came_back(scored, tmp_path):
    _, samples = exported(scored, tmp_path)
    (sample,) = [
        line for line in samples
        if line["sample_id"] == "clip001" and line["evaluation_result_id"].endswith("/wer")
    ]  # fmt: skip
    clip = next(clip for clip in scored.clips if clip.id == "clip001")
    row = next(r for r in scored.rows() if (r.system, r.clip) == ("cascade", "clip001"))
    assert sample["input"] == {"raw": clip.caption, "reference": [clip.caption]}
    assert sample["output"] == {"raw": [f"sha256:{row.audio_sha256}"]}
    text = json.dumps(sample["input"], sort_keys=True, separators=(",", ":"))
    assert sample["sample_hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert sample["performance"] == {
        "latency_ms": pytest.approx((row.phase_ns["represent"] + row.phase_ns["generate"]) / 1e6),
        "generation_time_ms": pytest.approx(row.phase_ns["generate"] / 1e6),
    }
    metadata = sample["metadata"]
    assert metadata["transcript"] == row.text
    assert (metadata["word_errors"], metadata["words"]) == (
        str(clip.caption.count("tone")), str(len(clip.caption.split())),
    )  # fmt: skip
    # A required field that these metrics do not have is said to be empty, line by line.
    assert sample["evaluation"]["is_correct"] is False
    assert "the format requires a value" in metadata["is_correct"]


def test_what_is_not_measured_is_left_out_and_said(scored, tmp_path):
    log, samples = exported(scored, tmp_path, "star")
    told = log["source_metadata"]["additional_details"]
    absent = json.loads(told["not_measured"])
    assert absent.pop("IS").startswith("needs at least 72 clips")
    assert absent == {"OVL": "not measured", "REL": "not measured", "WER": "no transcripts"}
    assert told["without_values_of_clips"] == "FAD, FD"
    assert not {"ovl", "rel", "wer"} & set(results_of(log))
    ids = [sample["evaluation_result_id"] for sample in samples]
    assert not [name for name in ids if name.endswith(("/fad", "/wer"))]
    assert "transcript" not in samples[0]["metadata"]


def test_the_model_the_dataset_and_who_evaluated_are_named(scored, tmp_path):
    log, _ = exported(
        scored, tmp_path,
        organization="A Lab", relationship="third_party", model_id="an-org/a-model",
    )  # fmt: skip
    model, source = log["model_info"], log["source_metadata"]
    assert (model["name"], model["id"]) == ("Whisper + tones", "an-org/a-model")
    assert (model["developer"], model["additional_details"]["paradigm"]) == ("an-org", "cascade")
    assert source["source_type"] == "evaluation_run"
    assert source["source_organization_name"] == "A Lab"
    assert source["evaluator_relationship"] == "third_party"
    assert log["retrieved_timestamp"] == str(int(NOW.timestamp()))
    assert log["evaluation_timestamp"] == scored.record.started_at
    data = log["evaluation_results"][0]["source_data"]
    assert (data["dataset_name"], data["source_type"]) == ("tones", "other")
    assert data["additional_details"]["clips"] == "24"
    assert "/an-org/a-model/" in log["detailed_evaluation_results"]["file_path"]


def test_nothing_is_said_of_who_evaluated_unless_it_was_given(scored, tmp_path):
    log, _ = exported(scored, tmp_path)
    source, model = log["source_metadata"], log["model_info"]
    assert source["source_organization_name"] == "unknown"
    assert source["evaluator_relationship"] == "other"
    assert (model["id"], model["developer"]) == ("unknown/cascade", "unknown")
    assert model["additional_details"]["model_availability"] == "unknown"


def test_marks_of_the_run_go_with_its_numbers(scored, tmp_path):
    request = scored.record.request.model_copy(update={"limit": 24})
    copy = RunFolder.open(shutil.copytree(scored.path, tmp_path / "run"))
    copy.write_record(copy.record.model_copy(update={"request": request}))
    log, _ = exported(copy, tmp_path / "out")
    marks = log["source_metadata"]["additional_details"]["marks"]
    assert "1 of 24 clips failed" in marks
    assert "the source differs from its commit" in marks
    assert "only the first 24 clips" in marks


def test_every_system_of_a_run_is_exported_and_again_the_same(scored, tmp_path):
    def content(root: Path, when: datetime) -> dict[str, bytes]:
        paths = export_run(scored.path, root, now=when)
        assert len(paths) == 3
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    once = content(tmp_path / "a", NOW)
    assert len(once) == 6
    assert content(tmp_path / "b", NOW) == once
    # Later only the time of the export differs, in the same files: nothing is there twice.
    later = content(tmp_path / "a", NOW.replace(year=2027))
    stamp = re.compile(rb'"retrieved_timestamp": "\d+"')
    assert {k: stamp.sub(b"", v) for k, v in later.items()} == {
        k: stamp.sub(b"", v) for k, v in once.items()
    }


def test_latency_alone_is_exported_without_a_sound(tmp_path):
    run = FakeRun(tmp_path, n=12, request={"phase": "represent"}).make()
    rows = [json.loads(line) for line in run.journal_path.read_text().splitlines()]
    nothing = dict.fromkeys(("samples", "rate_hz", "audio_sha256"))
    for row in rows:
        row |= {**nothing, "spans": [s for s in row["spans"] if s["phase"] == "represent"]}
        del row["phase_ns"]["generate"]
    run.journal_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    log, samples = exported(run, tmp_path / "out", "star")
    assert set(results_of(log)) == {"processing"}
    assert "Generation" in json.loads(log["source_metadata"]["additional_details"]["not_measured"])
    assert {tuple(sample["output"]["raw"]) for sample in samples} == {()}
    assert not [sample for sample in samples if "performance" in sample]


def test_random_weights_are_refused(scored, tmp_path):
    use = {"use": "recorded", "options": {"weights": "random"}}
    run = FakeRun(tmp_path / "a", n=12, use=use).make()
    score_run(run.path)
    with pytest.raises(StabenchError, match=r"system 'cascade' .* ran on random weights"):
        export_run(run.path, tmp_path / "out")
    copy = shutil.copytree(scored.path, tmp_path / "run")
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["provenance"]["embedders"]["fad"]["origin"] = "random (seed 0)"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(StabenchError, match="on random weights: no quality"):
        export_run(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_without_results_are_refused(scored, tmp_path):
    run = FakeRun(tmp_path / "a", n=12).make()
    with pytest.raises(StabenchError, match="not scored; run stabench score"):
        export_run(run.path, tmp_path / "out")
    run.write_record(run.record.model_copy(update={"finished_at": None}))
    with pytest.raises(StabenchError, match="not finished; resume"):
        export_run(run.path, tmp_path / "out")
    (tmp_path / "scores").mkdir()
    shutil.copy(scored.metrics_path, tmp_path / "scores" / "metrics.json")
    with pytest.raises(StabenchError, match="scored from files; give the run of a suite"):
        export_run(tmp_path / "scores", tmp_path / "out")
    with pytest.raises(MissingError, match=r"no run\.json"):
        export_run(tmp_path / "none", tmp_path / "out")
    lost = [clip.id for clip in scored.clips]
    broken = FakeRun(tmp_path / "b", failed={"star": lost}, request={"phase": "represent"}).make()
    with pytest.raises(StabenchError, match=r"system 'star' .* nothing was measured"):
        export_run(broken.path, tmp_path / "out", "star")


@pytest.mark.parametrize(
    ("system", "who", "words"),
    [
        ("sttar", {}, "unknown system 'sttar'; did you mean 'star'"),
        ("star", {"model_id": "star"}, "--model-id 'star': expected DEVELOPER/MODEL"),
        ("star", {"model_id": "a/../b"}, "expected DEVELOPER/MODEL"),
        ("star", {"model_id": "data/star"}, "expected DEVELOPER/MODEL"),
        (None, {"model_id": "a/b"}, "the run has 3; give --system NAME too"),
        ("star", {"organization": " "}, "--organization is empty"),
    ],
)
def test_what_cannot_be_said_is_one_clear_line(scored, tmp_path, system, who, words):
    with pytest.raises(StabenchError, match=words):
        export_run(scored.path, tmp_path, system, Evaluator(**who))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(scored, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StabenchError, match=r"cannot be written .*; choose another folder"):
        export_run(scored.path, tmp_path / "file")


def test_the_command_prints_the_aggregate_and_what_it_was_not_told(
    scored, tmp_path, monkeypatch, capsys
):
    words = ["export", str(scored.path), "--format", "every-eval-ever", "--out", str(tmp_path)]
    words += ["--system", "star", "--relationship", "first_party"]
    monkeypatch.setattr(sys, "argv", ["stabench", *words])
    assert main.main() == 0
    out, err = capsys.readouterr()
    log = json.loads(Path(out.strip()).read_text())
    assert log["source_metadata"]["evaluator_relationship"] == "first_party"
    assert "not told: --organization, --model-id" in err


def test_exporting_imports_no_torch(scored, tmp_path):
    script = (
        "import sys, pathlib; from stabench.harness.leaderboard.export import export_run;"
        "export_run(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 'star');"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(scored.path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
