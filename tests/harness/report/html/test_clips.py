"""Clips: what the page says of one clip in one system, from the journal and the scores."""

import json
from dataclasses import replace

import pytest

from stabench.harness.report.html.clips import NOT_RUN, view_clips
from stabench.harness.runs import journal
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

SYSTEMS = (("star", "end-to-end", "STAR"), ("oracle", "oracle", "Oracle"))


@pytest.fixture
def run(tmp_path):
    return FakeRun(tmp_path, n=3, systems=SYSTEMS, failed={"star": ["clip001"]}).make()


def output(run, clip: str, system: int = 0):
    views = {view.id: view for view in view_clips(Results.read(run.path))}
    return views[clip].outputs[system]


def test_times_are_means_over_repeats_in_milliseconds(run):
    first = next(row for row in run.rows() if (row.system, row.clip) == ("star", "clip003"))
    later = {**first.phase_ns, "represent": first.phase_ns["represent"] + 2_000_000}
    again = replace(first, repeat=1, phase_ns=later)
    with run.journal_path.open("a") as file:
        file.write(json.dumps(journal.to_json(again)) + "\n")
    found = output(run, "clip003")
    assert found.times_ms["processing"] == pytest.approx(first.phase_ns["represent"] / 1e6 + 1)
    assert found.times_ms["generation"] == pytest.approx(first.phase_ns["generate"] / 1e6)
    assert (found.repeats, output(run, "clip002").repeats) == (2, 1)


def test_a_clip_without_a_result_has_its_reason(run):
    lines = run.journal_path.read_text().splitlines()
    run.journal_path.write_text("".join(line + "\n" for line in lines if '"clip002"' not in line))
    assert output(run, "clip001").reason == "timeout: no answer within 120 s"
    assert output(run, "clip002").reason == NOT_RUN
    assert (output(run, "clip003").ok, output(run, "clip001").ok) == (True, False)
    assert output(run, "clip001").times_ms == {}


def test_what_is_no_number_is_no_value(run):
    score_run(run.path)
    value = json.loads(run.metrics_path.read_text())
    value["systems"]["star"]["per_clip"]["clip003"]["kl"] = float("nan")
    run.metrics_path.write_text(json.dumps(value))
    assert "kl" not in output(run, "clip003").values
    assert "clap" in output(run, "clip003").values


def test_the_oracle_heard_nothing_and_its_sound_has_an_address(run):
    found = output(run, "clip003", 1)
    assert (found.transcript, found.alignment) == (None, None)
    assert found.wav == "audio/oracle/clip003.wav"
    (run.path / found.wav).unlink()
    assert output(run, "clip003", 1).wav is None
