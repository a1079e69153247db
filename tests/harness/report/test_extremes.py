"""Extremes: the best and worst clips are those of metrics.json, and no others."""

import json

import pytest

from stabench.harness.formatting import figure
from stabench.harness.report.report import page_of
from stabench.harness.report.sections import SHOWN, describe_extremes
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun


@pytest.fixture
def run(tmp_path):
    made = FakeRun(tmp_path, n=4 * SHOWN, failed={"oracle": ["clip001"]}).make()
    score_run(made.path)
    return made


def listed(section) -> dict[str, list]:
    """The lines under each heading."""
    found: dict[str, list] = {}
    for line in section.grid.lines:
        if line.heading:
            own = found[line.heading] = []
        else:
            own.append([cell.main for cell in line.cells])
    return found


def test_the_best_come_first_and_the_worst_from_the_very_worst_on(run):
    metrics = Results.read(run.path).metrics
    found = listed(describe_extremes(metrics, {"clip003": "A tone."}))
    for column, label, sign in (("kl", "KL", 1), ("clap", "CLAP", -1)):
        clips = metrics.systems["star"].per_clip
        ranked = sorted(clips, key=lambda clip: (sign * clips[clip][column], clip))
        lines = found[f"STAR, by {label}"]
        assert [line[0] for line in lines] == ["best"] * SHOWN + ["worst"] * SHOWN
        assert [line[1] for line in lines] == [*ranked[:SHOWN], *ranked[::-1][:SHOWN]]
        for _, clip, kl, clap, caption in lines:
            assert (kl, clap) == (figure(clips[clip]["kl"], 2), figure(clips[clip]["clap"], 3))
            assert caption == ("A tone." if clip == "clip003" else "")


def test_few_clips_have_no_extremes(run):
    metrics = Results.read(run.path).metrics
    assert "Tones from the true caption, by KL" not in listed(describe_extremes(metrics, {}))
    assert len(listed(describe_extremes(metrics, {}))) == 4


def test_without_captions_there_is_no_column_of_them(run):
    metrics = Results.read(run.path).metrics
    for captions, heads in (({"clip003": "A tone."}, 5), ({}, 4)):
        grid = describe_extremes(metrics, captions).grid
        assert len(grid.heads) == heads
        assert {len(line.cells) for line in grid.lines if not line.heading} == {heads}


def test_what_is_no_number_is_not_ranked(run):
    value = json.loads(run.metrics_path.read_text())
    value["systems"]["star"]["per_clip"]["clip003"]["kl"] = float("nan")
    run.metrics_path.write_text(json.dumps(value))
    found = listed(describe_extremes(Results.read(run.path).metrics, {}))
    assert "STAR, by KL" not in found
    assert all(line[2] != "nan" for line in found["STAR, by CLAP"])


def test_a_system_on_random_weights_has_none_even_where_it_was_scored(run):
    run.add_system("star", {"provenance": {"weights": "random"}})
    results = Results.read(run.path)
    section = page_of(results, tabulate(results)).section("extremes")
    assert {heading.split(",")[0] for heading in listed(section)} == {"Whisper + tones"}
