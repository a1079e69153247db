"""Runs of probes beside each other and beside the paper: clips pair, miniatures never reproduce."""

import io
import json
import shutil

import pytest

from stabench.harness.cli.main import main
from stabench.harness.compare import read_evidence
from stabench.harness.compare.command import exit_code
from stabench.harness.compare.compare import OtherProvenance, compare
from stabench.harness.probing.run_file import ProbeRun
from stabench.harness.reproduce.paper import FOLDER, read
from stabench.harness.reproduce.probe_cells import judge_probes, list_published
from stabench.harness.reproduce.reproduce import reproduce_run

TABLE1 = read(FOLDER / "star-table1.toml")
USES = {"good": "hubert", "deaf": "dac"}


@pytest.fixture
def copy(toy_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(toy_run, folder)
    return folder


def edit(folder, name, change):
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def pose(folder, uses=USES, recipe=None, **figures):
    """Have the toy's run look like one of the paper's encoders on AudioCaps."""

    def run(value):
        for use in value["probes"]["encoder"]:
            use["use"] = uses[use["name"]]
        value["probes"]["recipe"] = recipe or {}

    edit(folder, "run.json", run)
    edit(
        folder,
        "probes.json",
        lambda v: v.update({"corpus": "audiocaps", "classes": 527, **figures}),
    )
    return judge_probes(TABLE1, ProbeRun(folder))


def test_two_runs_are_paired_clip_by_clip(toy_run, copy):
    def worsen(value):
        for probe in value["probes"]:
            if probe["encoder"] == "good":
                probe["per_clip"] = {clip: x - 0.2 for clip, x in probe["per_clip"].items()}
                probe["cell"]["value"] -= 0.2

    edit(copy, "probes.json", worsen)
    comparison = compare(read_evidence.read(toy_run), read_evidence.read(copy))
    good, deaf = comparison.systems
    words = {line.key: line.verdict for line in good.lines}
    assert (words["mlp"], words["qformer"]) == ("regressed", "regressed")
    assert {line.verdict for line in deaf.lines if line.key == "mlp"} == {"same"}
    [line] = [line for line in good.lines if line.key == "mlp"]
    assert line.change.n == 60
    assert line.change.change == pytest.approx(-0.2)


def test_equal_runs_lack_nothing_that_could_be_measured(toy_run, copy):
    comparison = compare(read_evidence.read(toy_run), read_evidence.read(copy))
    assert exit_code(comparison, strict=True) == 0


def test_runs_on_other_clips_are_not_compared(toy_run, copy):
    edit(copy, "probes.json", lambda value: value.update(corpus_version="v2"))
    with pytest.raises(OtherProvenance, match="dataset was toy v1 and is toy v2"):
        compare(read_evidence.read(toy_run), read_evidence.read(copy))


def test_every_cell_of_the_paper_has_a_verdict(copy):
    verdicts = pose(copy)
    assert len(verdicts) == 10
    outcomes = {(v.systems, v.figure): v.outcome for v in verdicts}
    assert outcomes[("deaf",), "mAP, MLP"] == "off"
    assert sum(v.outcome == "not run" for v in verdicts) == 6

    def meet(value):
        for probe in value["probes"]:
            if (probe["encoder"], probe["bridge"]) == ("good", "mlp"):
                probe["cell"] = {"value": 0.45, "low": 0.43, "high": 0.48, "n": 60}

    edit(copy, "probes.json", meet)
    [hubert] = [v for v in pose(copy) if v.systems == ("good",) and v.figure == "mAP, MLP"]
    assert (hubert.outcome, hubert.published.value) == ("reproduced", 0.457)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"uses": {"good": "pocket-hubert", "deaf": "dac"}}, "pocket-size"),
        ({"corpus": "pocket"}, "clips of pocket, not of audiocaps"),
        ({"classes": 20}, "20 classes, not AudioSet's 527"),
        ({"recipe": {"mlp": {"batch": 64}}}, "trained with another batch than"),
    ],
)
def test_what_is_not_the_papers_is_not_compared(copy, change, reason):
    [verdict] = [
        v for v in pose(copy, **change) if v.systems == ("good",) and v.figure == "mAP, MLP"
    ]
    assert verdict.outcome == "not comparable"
    assert any(reason in text for text in verdict.reasons)


def test_random_weights_are_not_compared(copy):
    def randomise(value):
        for use in value["probes"]["encoder"]:
            use["options"] = {"weights": "random"}

    edit(copy, "run.json", randomise)
    assert {v.outcome for v in pose(copy) if v.systems} == {"not comparable"}


def test_reproduce_says_of_every_table_why_nothing_is_compared(toy_run, copy, tmp_path):
    stream = io.StringIO()
    reproduce_run(copy, stream, out=tmp_path / "out")
    assert "none of 308 published figures could be compared with it" in stream.getvalue()
    value = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    assert value["counts"]["reproduced"] == value["counts"]["off"] == 0
    [table] = [paper for paper in value["papers"] if paper["name"] == "star-table1"]
    assert len(table["verdicts"]) == 10


def test_the_papers_figures_are_those_of_the_encoders_registered_for_it():
    from stabench.harness.suites import probes

    published = list_published(TABLE1, probes.load("table1"))
    assert published["flan-t5", "qformer"] == "0.486"
    assert len(published) == 10


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "table1", "--clip", "a"], "--clip: a suite of probes has none"),
        (["run", "table1", "--system", "hubret"], "did you mean 'hubert'"),
        (["run", "table1", "--set", "probes.corpse=a"], "did you mean 'corpus'"),
        (["doctor", "--noise", "--suite", "table1"], "is one of probes, not of systems"),
    ],
)
def test_the_command_line_says_what_such_a_suite_has_not(
    words, line, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stabench", *words])
    assert main() == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1


def test_report_shows_the_table_again(copy, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["stabench", "report", str(copy)])
    assert main() == 0
    printed = capsys.readouterr().out
    assert "Table 1" in printed
    assert "Q-Former" in printed
    assert (copy / "report.md").is_file()
    assert json.loads((copy / "report.json").read_text())["suite"]["name"] == "toy-table1"
