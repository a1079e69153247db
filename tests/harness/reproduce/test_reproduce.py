"""Reproduce: every published figure gets a verdict, and none is compared that must not be."""

import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabench.harness.errors import Inconclusive
from stabench.harness.formatting import NOTHING
from stabench.harness.render.markdown import to_markdown
from stabench.harness.report.table import tabulate
from stabench.harness.reproduce.figures import NOT_RATED, Verdict, judge_paper
from stabench.harness.reproduce.paper import Paper
from stabench.harness.reproduce.reproduce import reproduce, reproduce_run
from stabench.harness.runs.results import Results
from tests.harness.reproduce.conftest import MINIATURES, PAPERS, TABLE1, TABLE2, edit

ROOT = Path(__file__).resolve().parents[3]
CELLS = {"cell": 54, "ratio": 10, "claim": 2}
NOTHING_RUN = {"not run": 62, "not rated": 4}


def judged(folder: Path, paper: Paper = TABLE2) -> list[Verdict]:
    results = Results.read(folder)
    return judge_paper(paper, results, tabulate(results))


def cell(folder: Path, group: str, figure: str) -> Verdict:
    return next(v for v in judged(folder) if (v.group, v.figure) == (group, figure))


def test_every_cell_has_a_verdict_and_a_run_of_other_systems_is_not_run(made):
    figures = judged(made)
    assert Counter(verdict.kind for verdict in figures) == CELLS
    assert Counter(verdict.outcome for verdict in figures) == NOTHING_RUN
    assert all(verdict.reasons for verdict in figures)
    assert [v.outcome for v in judged(made, TABLE1)] == ["not run"] * 10


def test_scores_of_a_run_as_published_are_compared(as_published):
    for key in ("FAD", "FD", "KL", "IS", "CLAP"):
        assert cell(as_published, "STAR", key).outcome == "reproduced"
    off = cell(as_published, "Whisper + TANGO 2", "KL")
    assert (off.outcome, off.systems) == ("off", ("cascade",))
    assert off.sigmas == pytest.approx(1.96 * (1.48 - 1.225) / 0.148)
    assert cell(as_published, "Whisper + AUDIT", "KL").outcome == "not run"


def test_times_themselves_are_never_compared_and_listeners_never_asked(as_published):
    times = [v for v in judged(as_published) if v.figure in ("Processing", "Generation")]
    assert {v.outcome for v in times if v.systems} == {"not comparable"}
    assert all("hardware" in v.reasons[0] for v in times if v.systems)
    unheard = [v for v in judged(as_published) if v.figure in ("OVL", "REL")]
    assert Counter((v.outcome, v.reasons[0]) for v in unheard) == {
        ("not run", "needs listeners"): 8,
        ("not rated", NOT_RATED): 4,
    }
    assert cell(as_published, "STAR", "OVL").published[:1] == (4.22,)


def test_a_miniature_stands_for_its_row_and_is_not_comparable(as_published):
    verdict = cell(as_published, "DAC encoder", "FAD")
    assert (verdict.outcome, verdict.systems) == ("not comparable", ("small",))
    assert any("pocket-size" in reason for reason in verdict.reasons)
    assert verdict.published.value == 5.49


def test_in_a_run_of_miniatures_every_published_figure_is_shown_and_none_compared(made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("audio"))

    def run(value: Any) -> None:
        for system, use in zip(value["suite"]["system"], MINIATURES, strict=True):
            system["use"] = use

    figures = judged(edit(folder, run))
    assert Counter(v.outcome for v in figures) == {
        "not comparable": 21 + 4,
        "not run": 37,
        "not rated": 4,
    }
    assert {v.figure for v in figures if v.published.value is None} == {"OVL", "REL"}
    assert {v.outcome for v in figures if v.published.value is None} == {"not rated"}
    dash = cell(folder, "DAC encoder", "OVL")
    assert (dash.outcome, dash.systems, dash.reasons) == ("not rated", (), (NOT_RATED,))
    assert dash.run.value is None
    page = to_markdown(reproduce(Results.read(folder), (TABLE1, TABLE2)))
    assert "25 not comparable, 47 not run, 4 not rated" in page
    (number,) = re.findall(rf"^- (\d+): {NOT_RATED}$", page, re.MULTILINE)
    assert (
        page.count(f"| OVL | not rated<br><sub>see {number}</sub> | {NOTHING} | {NOTHING} |") == 2
    )


def random(value: Any) -> None:
    value["suite"]["system"][1]["options"] = {"weights": "random"}


def bridgeless(value: Any) -> None:
    value["suite"]["system"][1]["options"] = {"without_bridge": True}


def dataset(value: Any) -> None:
    value["dataset"]["name"] = "audiocaps-mine"


def few(value: Any) -> None:
    for system in value["systems"].values():
        system["cells"]["fad"]["n"] = 10


def protocol(value: Any) -> None:
    value["provenance"]["protocol"]["name"] = "stabench"


def digest(value: Any) -> None:
    value["provenance"]["protocol"]["digest"] = "0" * 64


def weights(value: Any) -> None:
    value["provenance"]["embedders"]["fad"]["origin"] = "random, seed 0"


def precision(value: Any) -> None:
    value["provenance"]["embedders"]["fad"]["precision"] = "bfloat16"


@pytest.mark.parametrize(
    ("run", "scores", "message"),
    [
        (random, None, "random weights"),
        (bridgeless, None, "star: without_bridge is True"),
        (dataset, None, "clips of audiocaps-mine"),
        (None, few, "10 clips; the paper does not state"),
        (None, protocol, "protocol stabench"),
        (None, digest, "protocol paper"),
        (None, weights, "embedder weights"),
        (None, precision, "bfloat16"),
    ],
)
def test_each_departure_from_the_paper_alone_forbids_the_comparison(
    as_published, run, scores, message
):
    verdict = cell(edit(as_published, run, scores), "STAR", "FAD")
    assert verdict.outcome == "not comparable"
    assert len(verdict.reasons) == 1
    assert message in verdict.reasons[0]


def test_random_weights_are_the_reason_before_scoring_too(as_published):
    (as_published / "metrics.json").unlink()
    verdict = cell(edit(as_published, random), "STAR", "FAD")
    assert (verdict.outcome, verdict.reasons) == (
        "not comparable",
        ("random weights: latency only",),
    )
    assert cell(as_published, "Whisper + TANGO 2", "FAD").outcome == "not run"


def test_a_ratio_of_times_is_that_of_the_means_on_common_clips(as_published):
    results = Results.read(as_published)
    means = [
        np.mean([row.phase_ns["represent"] for row in results.timed(name)])
        for name in ("star", "cascade")
    ]
    verdict = cell(as_published, "Ratios: STAR", "Processing, over Whisper + TANGO 2")
    ends = (35.93 / 156.33, 35.925 / 156.335, 35.935 / 156.325)
    assert verdict.published[:3] == pytest.approx(ends)
    assert verdict.run.value == pytest.approx(means[0] / means[1])
    assert verdict.run.low < verdict.run.value < verdict.run.high
    assert (verdict.outcome, verdict.systems) == ("off", ("star", "cascade"))


def test_the_claim_is_shown_as_worded_and_as_the_table_gives_it(as_published):
    worded, computed = (v for v in judged(as_published) if v.kind == "claim")
    assert worded.published.value == 76.9
    assert computed.published.value == pytest.approx(77.017, abs=1e-3)
    assert worded.run == computed.run
    ratio = cell(as_published, "Ratios: STAR", "Processing, over Whisper + TANGO 2").run
    assert worded.run.value == pytest.approx(100 * (1 - ratio.value))
    assert worded.run.low == pytest.approx(100 * (1 - ratio.high))
    text = to_markdown(reproduce(Results.read(as_published), (TABLE1, TABLE2)))
    assert "give 77.0 %, rounded to 36 and 156 ms they give 76.9 %" in text


def as_fast_as_published(folder: Path) -> Path:
    """Each clip's processing of STAR takes about 0.23 of the cascade's."""
    path, times = folder / "journal.jsonl", {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for index, row in enumerate(row for row in rows if row["system"] == "cascade"):
        times[row["clip"]] = (
            row["phase_ns"]["represent"] * 35.93 / 156.33 * (0.98 + 0.04 * (index % 2))
        )
    for row in rows:
        if row["system"] == "star":
            row["phase_ns"]["represent"], row["spans"] = int(times[row["clip"]]), []
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_published_ratio_and_its_claim_are_reproduced_by_times_in_that_ratio(as_published):
    folder = as_fast_as_published(as_published)
    figures = [v for v in judged(folder) if v.kind != "cell" and v.systems == ("star", "cascade")]
    fast = [v for v in figures if v.figure.startswith(("Processing", "the same", "“"))]
    assert len(fast) == 3
    assert {v.outcome for v in fast} == {"reproduced"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("device", "cpu", "timed on cpu"),
        ("dataset", "audiocaps-mine", "speech of audiocaps-mine, not of audiocaps or"),
        ("variant", "graph", "star: variant is graph, as published it is default or eager"),
        ("precision", "bfloat16", "star: precision is bfloat16"),
        ("asr", {"variant": "half"}, "cascade: asr.variant is half"),
    ],
)
def test_a_ratio_needs_the_systems_as_published_and_an_accelerator(
    as_published, key, value, message
):
    def run(record: Any) -> None:
        cascade, star, _ = record["suite"]["system"]
        if key == "device":
            record["request"]["device"] = value
        elif key == "dataset":
            record["dataset"]["name"] = value
        elif key == "precision":
            star["precision"] = value
        else:
            (cascade if key == "asr" else star)["options"] = {key: value}

    verdict = cell(edit(as_published, run), "Ratios: STAR", "Processing, over Whisper + TANGO 2")
    assert verdict.outcome == "not comparable"
    assert len(verdict.reasons) == 1
    assert message in verdict.reasons[0]


def test_suites_name_their_own_systems_and_what_is_offline_was_not_timed(as_published):
    def run(record: Any) -> None:
        record["suite"] |= {"name": "demo"}
        record["suite"]["run"]["scenario"] = "offline"
        record["suite"]["system"][0] |= {"name": "tango2", "use": "recorded"}

    folder = edit(as_published, run)
    figures = judged(folder)
    assert {v.systems for v in figures if v.group == "Whisper + TANGO 2" and v.systems} == {
        ("tango2",)
    }
    times = [v for v in figures if v.kind != "cell"]
    assert {v.outcome for v in times} == {"not run"}


def test_scores_of_folders_stand_for_no_system(made, tmp_path):
    shutil.copy(made / "metrics.json", tmp_path / "metrics.json")
    figures = judged(tmp_path)
    assert Counter(verdict.kind for verdict in figures) == CELLS
    assert Counter(verdict.outcome for verdict in figures) == NOTHING_RUN


def test_the_command_writes_page_and_json_and_loads_nothing_heavy(as_published):
    script = (
        "import sys; from pathlib import Path;"
        "from stabench.harness.reproduce.reproduce import reproduce_run;"
        f"reproduce_run(Path({str(as_published)!r}));"
        "assert not {'torch', 'scipy', 'pandas', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reproduced" in done.stdout
    written = json.loads((as_published / "reproduce.json").read_text())
    assert written["counts"]["reproduced"] == sum(
        verdict["outcome"] == "reproduced"
        for paper in written["papers"]
        for verdict in paper["verdicts"]
    )
    assert sum(written["counts"].values()) == sum(
        len(judged(as_published, p)) for p in PAPERS.values()
    )
    page = (as_published / "reproduce.md").read_text()
    assert page.count("| ") > 64
    assert "156.33 ± 62.16 ms" in page
    assert "3.63" in page


def test_strict_is_inconclusive_when_nothing_could_be_compared(made, as_published):
    with pytest.raises(Inconclusive, match="none of 320 published figures") as error:
        reproduce_run(made, io.StringIO(), strict=True)
    assert error.value.exit_code == 5
    assert reproduce_run(as_published, io.StringIO(), strict=True).name == "reproduce.md"
    edit(as_published, dataset)
    outcomes = {v.outcome for v in judged(as_published)}
    assert outcomes == {"not comparable", "not run", "not rated"}
    with pytest.raises(Inconclusive):
        reproduce_run(as_published, io.StringIO(), strict=True)
