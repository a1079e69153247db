"""A run that can be compared with nothing, and tables that no run can be compared with."""

import io
import shutil
from typing import Any

import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.render.markdown import to_markdown
from stabench.harness.reproduce.reproduce import reproduce, reproduce_run
from stabench.harness.runs.results import Results
from tests.harness.reproduce.conftest import PAPERS, edit
from tests.harness.reproduce.test_reproduce import dataset, judged, protocol


def test_a_run_that_can_be_compared_with_nothing_says_so_in_one_line(made):
    stream = io.StringIO()
    page = reproduce_run(made, stream)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith(f"run '{made}': none of 320 published figures could be compared")
    assert line.endswith(f"{page} says why of each")
    assert "156.33 ± 62.16 ms" in page.read_text()


def test_a_table_asked_for_by_name_is_shown_whether_or_not_it_can_be_compared(made, as_published):
    stream = io.StringIO()
    reproduce_run(made, stream, names=["tangoflux", "tango2"])
    text = stream.getvalue()
    assert "TangoFlux: text-to-audio" in text
    assert "STAR, Table" not in text
    assert "seen in a secondary text" in " ".join(text.split())
    assert "none of" in text.splitlines()[-1]
    with pytest.raises(StabenchError, match="unknown paper 'tangflux'; did you mean 'tangoflux'"):
        reproduce_run(as_published, io.StringIO(), names=["tangflux"])


def test_an_oracle_stands_beside_a_text_to_audio_model_and_is_not_compared(as_published):
    def run(record: Any) -> None:
        record["suite"]["system"][0] |= {"use": "oracle-tango2", "paradigm": "oracle"}

    folder = edit(as_published, run)
    for name in ("tango2", "impact-table1", "tangoflux"):
        figures = judged(folder, PAPERS[name])
        beside = [verdict for verdict in figures if verdict.systems]
        assert {v.outcome for v in beside} == {"not comparable"}, name
        assert {v.reasons for v in beside} == {(PAPERS[name].incomparable,)}, name
        assert {v.group for v in beside} == {"Tango 2"}
        trained = {v.figure for v in figures if v.published.trained and v.group == "Tango 2"}
        assert trained == {"CLAP"}
    text = to_markdown(reproduce(Results.read(folder), (PAPERS["tango2"],)))
    assert "0.57§" in text
    assert "§ Tango 2: its preference pairs were chosen by CLAP" in text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (None, "no system of the run stands for it"),
        (dataset, "clips of audiocaps-mine"),
        (protocol, "protocol stabench"),
        ("folders", "scored from folders, which name no system"),
    ],
)
def test_the_line_says_why_whatever_keeps_a_run_from_being_compared(
    made, as_published, tmp_path, change, why
):
    folder = made if change is None else as_published
    if change is dataset:
        folder = edit(as_published, dataset)
    elif change is protocol:
        folder = edit(as_published, on_a_cpu, protocol)
    elif change == "folders":
        folder = tmp_path / "scores"
        folder.mkdir()
        shutil.copy(made / "metrics.json", folder / "metrics.json")
    stream = io.StringIO()
    reproduce_run(folder, stream)
    (line,) = stream.getvalue().splitlines()
    assert "none of 320 published figures could be compared" in line
    assert why in (folder / "reproduce.md").read_text()
    assert "most often: " in line


def on_a_cpu(value: Any) -> None:
    value["request"]["device"] = "cpu"
