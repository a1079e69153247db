"""A run of probes: every probe is a row, failures too; what is missing alone is trained again."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stabench.harness.errors import MissingError, StabenchError, TooManyFailures
from stabench.harness.probing import page
from stabench.harness.probing import run as probing
from stabench.harness.probing.figures import make_figures
from stabench.harness.probing.run_file import ProbeRecord, ProbeRun, Request, find_probe_run
from stabench.harness.render.markdown import to_markdown
from stabench.harness.runs.run_folder import RunFolder
from tests.harness.probing.conftest import write_suite
from tests.harness.probing.toy_corpus import Toy


def begin(folder, names=("good", "deaf"), assignments=()):
    suite = str(write_suite(folder, names))
    return probing.begin(suite, (), assignments, Request(), folder / "runs")


def test_figures_are_those_of_the_logits_over_all_test_clips(toy_run):
    run, labels = ProbeRun(toy_run), Toy("").read("test").labels
    figures = run.figures
    assert len(figures.probes) == 4
    assert (figures.clips, figures.classes) == ({"train": 90, "validation": 40, "test": 60}, 4)
    for probe in figures.probes:
        logits = np.load(run.probe_path(probe.encoder, probe.bridge).with_suffix(".npy"))
        assert probe.cell.value == pytest.approx(average_precision_score(labels, logits), abs=1e-9)
        assert probe.cell.low < probe.cell.value < probe.cell.high or probe.cell.value == 1
        assert probe.cell.n == 60
        values = [*probe.per_clip.values()]
        assert np.mean(values) == pytest.approx(probe.cell.value, abs=1e-12)


def test_the_encoder_that_hears_is_ahead_by_every_bridge(toy_run):
    figures = ProbeRun(toy_run).figures
    for bridge in ("mlp", "qformer"):
        assert figures.find("good", bridge).cell.low > figures.find("deaf", bridge).cell.high
    pairs = {(line.a, line.b): line.difference for line in figures.differences}
    assert len(pairs) == 4
    lower = pairs[("deaf", "mlp"), ("good", "mlp")]
    assert lower.high < 0


def test_the_page_is_the_papers_table_bridges_by_encoders(toy_run):
    run = ProbeRun(toy_run)
    published = {("good", "mlp"): "0.457"}
    text = to_markdown(page.build_page(run.record.probes, run.figures, published))
    for word in (
        "GOOD",
        "DEAF",
        "MLP, paper",
        "0.457",
        "MLP",
        "Q-Former",
        "Read the caption: GOOD.",
        "Hear it spoken: DEAF.",
        "a toy",
        "90 clips to train on",
    ):
        assert word in text
    value = run.figures.find("good", "mlp").cell.value
    assert f"{value:.3f}" in text


def test_a_probe_that_fails_is_a_row_with_its_error(tmp_path, here):
    run = begin(tmp_path, ("good", "broken"))
    probing.execute(run)
    with pytest.raises(TooManyFailures, match=r"2 of 4 probes failed .*weights are not here"):
        probing.check_failures(run)
    failed = run.figures.find("broken", "mlp")
    assert failed.cell.value is None
    assert failed.cell.reason == "encoder 'broken': its weights are not here"
    assert run.figures.find("good", "mlp").cell.value > 0.9
    text = to_markdown(page.build_page(run.record.probes, run.figures, {}))
    assert text.count("its weights are not here") >= 2
    assert run.record.finished_at


def test_a_run_of_failures_alone_has_no_figures(tmp_path, here):
    run = begin(tmp_path, ("broken",))
    with pytest.raises(StabenchError, match="every probe failed; the first: encoder 'broken'"):
        probing.execute(run)
    with pytest.raises(MissingError, match=r"no probes\.json yet"):
        _ = run.figures


def test_a_resumed_run_trains_what_is_missing_alone(tmp_path, here, monkeypatch):
    run = begin(tmp_path)
    probing.execute(run)
    before = (run.path / "probes.json").read_bytes()
    run.probe_path("good", "qformer").unlink()
    here.clear()
    again = probing.resume(find_probe_run(run.path), None, Request())
    probing.execute(again)
    assert here == [("good", "qformer")]
    # The same weights: only the time that it took differs.
    old, new = (json.loads(text) for text in (before, (run.path / "probes.json").read_bytes()))
    for value in (old, new):
        for probe in value["probes"]:
            probe["wall_s"] = 0
    assert old == new


def test_a_resumed_run_is_the_same_run(tmp_path):
    run = begin(tmp_path)
    path = write_suite(tmp_path)
    path.write_text(path.read_text().replace("epochs = 6", "epochs = 7"))
    with pytest.raises(StabenchError, match=r"suite key recipe\.mlp\.epochs was 6 and is 7"):
        probing.resume(run, str(path), Request())
    with pytest.raises(StabenchError, match="option key device"):
        probing.resume(run, None, Request(device="cuda"))


def test_a_killed_probe_is_kept_with_how_it_ended(tmp_path):
    run = begin(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    run.log_path("good", "mlp").write_text("loading\nalmost there\n")
    probing._tell(run, probing._Running(probing.Unit("good", "mlp"), process, 0.0))
    error = run.read_probe("good", "mlp").error
    assert error == "its process ended with -9: almost there"


def test_a_probe_ends_with_the_run_that_started_it(tmp_path):
    run = begin(tmp_path, ("good",))
    run.write_probe(ProbeRecord(encoder="good", bridge="mlp", error="of an earlier attempt"))
    process = probing._start(run, probing.Unit("good", "mlp"))
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=100) == 1
    assert run.read_probe("good", "mlp") is None


def test_a_wrong_recipe_is_one_line_before_a_folder_is_made(tmp_path):
    with pytest.raises(StabenchError, match=r"recipe\.mlp: unknown key 'epoch'; did you mean"):
        begin(tmp_path, assignments=("recipe.mlp.epoch=3",))
    assert not (tmp_path / "runs").exists()


def test_logits_of_other_clips_are_refused(tmp_path, here):
    run = begin(tmp_path, ("good",))
    probing.execute(run)
    np.save(run.probe_path("good", "mlp").with_suffix(".npy"), np.zeros((3, 4), np.float32))
    with pytest.raises(StabenchError, match="the corpus has changed"):
        make_figures(run)


def test_other_readers_of_runs_say_what_such_a_folder_is(toy_run):
    with pytest.raises(StabenchError, match="is a run of probes, not of systems"):
        RunFolder.open(toy_run)


@pytest.mark.slow
def test_probes_run_in_processes_of_their_own(tmp_path):
    run = begin(tmp_path, ("good", "broken"), ("probes.bridges=['mlp']",))
    probing.execute(run)
    with pytest.raises(TooManyFailures, match="1 of 2 probes failed"):
        probing.check_failures(run)
    assert run.figures.find("good", "mlp").cell.value > 0.9
    assert "weights are not here" in run.figures.find("broken", "mlp").error


@pytest.mark.slow
def test_a_probe_without_an_end_is_ended(tmp_path):
    run = begin(tmp_path, ("good",), ("probes.bridges=['mlp']", "probes.timeout_s=0.01"))
    with pytest.raises(StabenchError, match=r"no end after 0\.01 s \(timeout_s\)"):
        probing.execute(run)
