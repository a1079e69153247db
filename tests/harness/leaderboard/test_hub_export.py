"""Exporters: what the Hub's own library reads from the YAML is what the submission says."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.leaderboard.hub_export import Hub, export
from stabench.harness.submission.archive import write
from tests.harness.leaderboard.made_entries import HOSTILE, Leaderboard

ROOT = Path(__file__).resolve().parents[3]
HUB = Hub("org/toys", "https://example.org/board")


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    return Leaderboard(tmp_path).add("star", verdict={"recomputed": ["kl"], "latency": False})


def test_eval_results_are_read_by_the_hub_s_library(entry):
    found = parse_eval_result_entries(yaml.safe_load(export(entry, "hf-eval-results", HUB)))
    assert {one.task_id: one.value for one in found} == {
        "kl": 2.0,
        "recall": 0.8,
        "processing_median_ms": pytest.approx(20.0),
        "generation_median_s": pytest.approx(0.2),
    }
    kl, recall, processing, _ = found
    assert (kl.dataset_id, kl.source_url) == ("org/toys", "https://example.org/board")
    assert kl.date == "2026-01-01T10:05:00.123+00:00"
    for words in ("nats", "lower is better", "95 % interval 1.9 to 2.1", "n 12 clips"):
        assert words in kl.notes
    assert f"protocol_sha256 {'2' * 64}; embedder {'3' * 64}" in kl.notes
    assert "higher is better" in recall.notes
    assert "hardware Processor A, 1 of 2 cores; precision float32" in processing.notes
    assert kl.notes.endswith("made again by a check of the submission")
    assert recall.notes.endswith("self-reported")
    assert processing.notes.endswith("self-reported")


def test_model_index_is_read_by_the_hub_s_library(entry):
    card = yaml.safe_load(export(entry, "model-index", HUB))
    name, found = model_index_to_eval_results(card["model-index"])
    assert name == "STAR"
    kl = found[0]
    assert (kl.task_type, kl.dataset_type) == ("audio-to-audio", "org/toys")
    assert kl.dataset_name == "toys v1"
    assert kl.dataset_args == {"version": "v1", "clips": 12, "sha256": "1" * 64}
    assert (kl.metric_type, kl.metric_value, kl.metric_name) == ("kl", 2.0, "KL")
    ends = {key: kl.metric_args[key] for key in ("low", "high", "level", "n", "unit", "better")}
    assert ends == {
        "low": 1.9, "high": 2.1, "level": 0.95, "n": 12, "unit": "nats", "better": "lower",
    }  # fmt: skip
    assert kl.metric_args["embedder"] == "3" * 64
    assert kl.verified is None
    assert (kl.source_url, len(found)) == ("https://example.org/board", 4)


def test_a_data_set_s_own_name_stands_where_the_hub_has_none(entry):
    card = yaml.safe_load(export(entry, "model-index"))["model-index"][0]["results"][0]
    assert card["dataset"]["type"] == "toys"
    assert "source" not in card


@pytest.mark.parametrize("kind", ["hf-eval-results", "model-index"])
def test_hostile_text_stays_text(tmp_path, kind):
    text = f"{HOSTILE} - key: !!python/object:os.system {{a: [1, *x]}} # &y"
    folder = Leaderboard(tmp_path).add(
        "star",
        change=lambda v: (
            v["system"].update(label=text),
            v["hardware"].update(cpu=text),
            v["metrics"]["kl"].update(label=text, unit="yes"),
        ),
    )
    written = export(folder, kind, HUB)
    value = yaml.safe_load(written)
    assert "&id" not in written
    if kind == "hf-eval-results":
        assert value[0]["notes"].startswith(text)
    else:
        assert value["model-index"][0]["name"] == text
        assert value["model-index"][0]["results"][0]["metrics"][0]["args"]["unit"] == "yes"


def test_numbers_that_are_not_there_are_not_exported(tmp_path):
    missing = {"value": None, "low": None, "high": None, "reason": "needs captions"}
    folder = Leaderboard(tmp_path).add(
        "star",
        change=lambda v: (
            v["metrics"]["kl"].update(missing),
            v["latency"].update(phases={}, stages=[], reason="offline run"),
        ),
    )
    found = yaml.safe_load(export(folder, "hf-eval-results", HUB))
    assert [one["dataset"]["task_id"] for one in found] == ["recall"]


def test_a_package_and_a_bare_submission_say_the_same_but_are_unchecked(entry, tmp_path):
    bare = entry / "submission.json"
    package = tmp_path / "package.zip"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.write(bare, "submission.json")
    package.write_bytes(stream.getvalue())
    assert export(package, "model-index", HUB) == export(bare, "model-index", HUB)
    assert "made again" not in export(bare, "model-index", HUB)
    assert "made again" in export(entry, "model-index", HUB)


@pytest.mark.parametrize(
    ("kind", "hub", "words"),
    [
        ("model-indx", HUB, "unknown format 'model-indx'; did you mean 'model-index'"),
        ("hf-eval-results", Hub(), "needs --dataset ORG/NAME"),
        ("model-index", Hub(None, "javascript:alert(1)"), "expected an https:// address"),
        ("hf-eval-results", Hub("org/a b"), "--dataset 'org/a b': expected ORG/NAME"),
        ("hf-eval-results", Hub("a/b/c\n- x"), "expected ORG/NAME"),
    ],
)
def test_what_cannot_be_exported_is_said(entry, kind, hub, words):
    with pytest.raises(StabenchError, match=words):
        export(entry, kind, hub)


def test_files_that_are_no_submission(tmp_path):
    with pytest.raises(MissingError, match="no such file"):
        export(tmp_path / "none.zip", "model-index")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(StabenchError, match="field required"):
        export(tmp_path / "bad.json", "model-index")
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(StabenchError, match="submission refused"):
        export(tmp_path / "bad.zip", "model-index")
    damaged = write({"submission.json": b"{}"}).replace(b"{}", b"[]", 1)
    (tmp_path / "bad.zip").write_bytes(damaged)
    with pytest.raises(StabenchError, match="cannot be unpacked: Bad CRC-32"):
        export(tmp_path / "bad.zip", "model-index")


def test_exporting_imports_no_torch(entry):
    script = (
        "import sys, pathlib; from stabench.harness.leaderboard.hub_export import export;"
        "export(pathlib.Path(sys.argv[1]), 'model-index');"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(entry)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
