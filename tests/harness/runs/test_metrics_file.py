"""metrics.json against its published schema, and the clip table beside it."""

import io
import json
from pathlib import Path

import jsonschema
import pytest
from pyarrow import parquet

from stabench.harness.errors import StabenchError
from stabench.harness.report.sections import describe_extremes
from stabench.harness.runs import metrics_file
from stabench.harness.schema import json_schema
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "metrics.schema.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A scored run with every kind of sanity row and one failed clip."""
    sanity = {"sanity": ["other-half", "noise", "silence", "shuffled"]}
    made = FakeRun(tmp_path_factory.mktemp("run"), failed={"star": ["clip003"]}, metrics=sanity)
    folder = made.make()
    score_run(folder.path)
    return folder


def test_the_published_schema_is_that_of_the_code():
    assert PUBLISHED.read_text() == json_schema(metrics_file.MetricsFile, "metrics.schema.json"), (
        "python -m stabench.harness.runs.metrics_file > docs/metrics.schema.json"
    )


def test_metrics_json_fits_the_published_schema(run):
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    content = json.loads((run.path / "metrics.json").read_text())
    jsonschema.validate(content, schema)
    for path in (("protocol", "digest"), ("embedders", "fad", "sha256")):
        broken = json.loads(json.dumps(content))
        *way, last = path
        place = broken["provenance"]
        for key in way:
            place = place[key]
        del place[last]
        with pytest.raises(jsonschema.ValidationError, match=f"'{last}' is a required property"):
            jsonschema.validate(broken, schema)
        (run.path / "broken").mkdir(exist_ok=True)
        (run.path / "broken/metrics.json").write_text(json.dumps(broken))
        with pytest.raises(StabenchError, match=f"{last}': Field required; score the run again"):
            metrics_file.read(run.path / "broken")


def test_the_clip_table_holds_every_clip_of_every_system(run):
    table = parquet.read_table(io.BytesIO((run.path / "clips.parquet").read_bytes()))
    rows = table.to_pylist()
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert len(rows) == 3 * 24
    for row in rows:
        values = metrics["systems"][row["system"]]["per_clip"].get(row["clip"], {})
        assert [row["kl"], row["clap"]] == [values.get("kl"), values.get("clap")]
    [failed] = [row for row in rows if not row["ok"]]
    assert (failed["system"], failed["clip"]) == ("star", "clip003")
    assert failed["reason"] == "timeout: no answer within 120 s"
    heard = [row for row in rows if row["system"] == "cascade"]
    assert sum(row["word_errors"] for row in heard) / sum(
        row["words"] for row in heard
    ) == pytest.approx(metrics["systems"]["cascade"]["cells"]["wer"]["value"])
    assert all(row["represent_ns"] > 0 for row in rows if row["ok"])


def test_best_and_worst_clips_are_ranked_by_the_metric_s_own_direction(run):
    metrics = metrics_file.read(run.path)
    captions = {clip.id: clip.caption for clip in run.clips}
    section = describe_extremes(metrics, captions)
    of_star = metrics.systems["star"].per_clip
    lines = {line.heading: at for at, line in enumerate(section.grid.lines) if line.heading}
    for label, column, best in (("KL", "kl", min), ("CLAP", "clap", max)):
        start = lines[f"STAR, by {label}"]
        first = [cell.main for cell in section.grid.lines[start + 1].cells]
        assert first[0] == "best"
        assert of_star[first[1]][column] == best(found[column] for found in of_star.values())
        assert first[-1] == captions[first[1]]
        worst = [cell.main for cell in section.grid.lines[start + 6].cells]
        ends = {min: max, max: min}
        assert of_star[worst[1]][column] == ends[best](found[column] for found in of_star.values())


def test_scores_of_the_former_schema_are_read_as_those_of_today(run, tmp_path):
    value = json.loads((run.path / "metrics.json").read_text())
    assert value["paired"]
    for line in value["paired"]:
        # Then differences had no test.
        line["difference"].pop("p_value", None)
    (tmp_path / "today").mkdir()
    (tmp_path / "today" / "metrics.json").write_text(json.dumps(value))
    for line in value["paired"]:
        cell = line.pop("difference")
        line |= {"difference": cell.pop("value"), **cell}
    del value["task"]
    (tmp_path / "metrics.json").write_text(json.dumps({**value, "schema": 4}, indent=1))
    assert metrics_file.read(tmp_path) == metrics_file.read(tmp_path / "today")
    (tmp_path / "metrics.json").write_text(json.dumps({**value, "schema": 3}))
    with pytest.raises(StabenchError, match="score the run again"):
        metrics_file.read(tmp_path)
