"""Series of a history: breaks, change points between them, the page and the plot."""

import io
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.history import history
from stabench.harness.history.history import HistoryRecord
from stabench.harness.history.plot import MOST_EVENTS, draw, lines, show
from stabench.harness.history.series import metric_of, series

ROOT = Path(__file__).resolve().parents[3]
Change = Callable[[dict[str, Any]], None]


def record(index: int, kl: float, change: Change | None = None) -> HistoryRecord:
    """The record of day `index`: star's KL, and a latency of 100 ms for each unit of it."""
    median = {"value": kl * 1e8, "low": kl * 0.9e8, "high": kl * 1.1e8, "n": 144}
    value = {
        "run": f"run{index}",
        "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=index),
        "stabench": "0.1.0",
        "source": {"commit": f"{index:040x}", "dirty": False},
        "suite": {"name": "pocket", "digest": "0" * 64},
        "dataset": {"name": "pocket", "version": "v1", "n": 144, "digest": "1" * 64},
        "machine": {
            "device": "cpu", "name": "Processor A", "cores": 2, "threads": 1,
            "torch": "2.13.0", "python": "3.11", "platform": "Linux",
        },
        "conditions": {
            "scenario": "single-stream", "batch_size": 1, "precision": "float32",
            "warmups": 2, "repeats": 1, "seed": 0,
        },
        "protocol": {"title": "pocket 1 (b846f61e)", "digest": "2" * 64},
        "columns": {
            "kl": {
                "label": "KL", "better": "lower", "unit": "nats", "digits": 2, "version": 1,
                "embedder": "pocket-cnn14", "identity": "3" * 64, "precision": "float32",
            }
        },
        "systems": {
            "star": {
                "label": "STAR", "paradigm": "end-to-end", "sha256": "4" * 64,
                "precision": "float32", "n": 144, "failed": 0,
                "quality": {"kl": {"value": kl, "low": kl - 0.5, "high": kl + 0.5, "n": 144}},
                "median_ns": {"represent": median},
            }
        },
    }  # fmt: skip
    if change:
        change(value)
    return HistoryRecord.model_validate(value)


def machine_b(value: dict[str, Any]) -> None:
    value["machine"]["name"] = "Processor B"


def another_network(value: dict[str, Any]) -> None:
    value["columns"]["kl"]["identity"] = "9" * 64


CHANGES: dict[str, tuple[Change, str]] = {
    "embedder": (another_network, "embedder"),
    "protocol": (lambda v: v["protocol"].update(title="pocket 2 (aaaaaaaa)"), "protocol"),
    "metric": (lambda v: v["columns"]["kl"].update(version=2), "version of the metric"),
    "clips": (lambda v: v["dataset"].update(digest="7" * 64), "dataset"),
    "seed": (lambda v: v["conditions"].update(seed=1), "seed"),
    "precision": (lambda v: v["systems"]["star"].update(precision="float16"), "precision"),
}


def noisy(n: int, step_at: int, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return list(2 + 0.05 * rng.normal(size=n) + 0.5 * (np.arange(n) >= step_at))


def one_series(records: list[HistoryRecord], key: str = "kl", **how: Any):
    (found,) = series(records, metric_of(records, key), suite="pocket", **how)
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_provenance_breaks_a_quality_series_and_is_named(name):
    change, word = CHANGES[name]
    records = [record(i, 2.0, change if i >= 4 else None) for i in range(8)]
    first, second = one_series(records).stretches
    assert (len(first.points), len(second.points), first.why) == (4, 4, "")
    assert second.why.startswith(f"{word} was ")


def test_the_machine_breaks_latency_and_not_quality():
    records = [record(i, 2.0, machine_b if i >= 4 else None) for i in range(8)]
    assert len(one_series(records).stretches) == 1
    latency = one_series(records, "processing").stretches
    assert [len(stretch.points) for stretch in latency] == [4, 4]
    assert "was Processor A" in latency[1].why
    assert "is Processor B" in latency[1].why


def test_a_change_of_embedder_does_not_break_latency():
    records = [record(i, 2.0, another_network if i >= 4 else None) for i in range(8)]
    assert len(one_series(records, "processing").stretches) == 1


def test_a_level_that_moved_is_found_within_a_stretch_and_never_across_a_break():
    values = noisy(24, 12)
    together = one_series([record(i, v) for i, v in enumerate(values)])
    assert [change.index for change in together.stretches[0].changes] == [12]
    apart = [record(i, v, another_network if i >= 12 else None) for i, v in enumerate(values)]
    assert [stretch.changes for stretch in one_series(apart).stretches] == [(), ()]


def test_latencies_are_medians_in_the_unit_of_their_column():
    records = [record(0, 2.0)]
    (point,) = one_series(records, "processing").points
    assert (point.value, point.low, point.high) == pytest.approx((200, 180, 220))
    assert metric_of(records, "processing").unit == "ms"


def test_a_run_without_the_value_is_left_out():
    def unmeasured(value: dict[str, Any]) -> None:
        value["systems"]["star"]["quality"] = {}

    records = [record(0, 2.0), record(1, 2.0, unmeasured), record(2, 2.1)]
    assert [point.run for point in one_series(records).points] == ["run0", "run2"]


def test_one_machine_can_be_asked_for():
    records = [record(i, 2.0, machine_b if i % 2 else None) for i in range(8)]
    found = one_series(records, "processing", machine="processor b")
    assert [len(stretch.points) for stretch in found.stretches] == [4]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"suite": "pockett"}, "unknown suite 'pockett'; did you mean 'pocket'"),
        ({"system": "sttar"}, "unknown system 'sttar'; did you mean 'star'"),
        ({"machine": "Processor C"}, "unknown machine 'Processor C'; did you mean 'Processor"),
    ],
)
def test_unknown_names_get_the_nearest(how, words):
    records = [record(0, 2.0)]
    with pytest.raises(StabenchError, match=words):
        series(records, metric_of(records, "kl"), **{"suite": "pocket", **how})


def test_an_unknown_metric_gets_the_nearest():
    with pytest.raises(StabenchError, match="unknown metric 'proccessing'; did you mean"):
        metric_of([record(0, 2.0)], "proccessing")


def test_the_page_names_the_step_its_direction_its_commits_and_the_break():
    records = [record(i, v) for i, v in enumerate(noisy(24, 12))]
    records += [record(24 + i, 3.0, another_network) for i in range(2)]
    metric = metric_of(records, "kl")
    page = list(lines(metric, series(records, metric, suite="pocket")))
    assert page[0] == "KL (nats), lower is better"
    plot, carets = page[3], page[4]
    assert plot[2 + 24] == "│"
    assert carets.index("^") == 2 + 12
    (change,) = [line for line in page if line.startswith("  change")]
    assert "worse" in change
    assert f"commits {11:040x}"[:20] in change
    assert "2026-01-13 00:00" in change
    (gap,) = [line for line in page if line.startswith("  break")]
    assert "embedder was pocket-cnn14" in gap


def test_a_small_step_is_told_with_the_digits_that_show_it():
    records = [record(index, 2.001 if index < 12 else 2.004) for index in range(24)]
    metric = metric_of(records, "kl")
    text = "\n".join(lines(metric, series(records, metric, suite="pocket")))
    assert "2.001 to 2.004, worse" in text


def test_few_runs_are_said_to_be_few():
    metric = metric_of([record(0, 2.0)], "kl")
    page = list(lines(metric, series([record(0, 2.0)], metric, suite="pocket")))
    assert page[-1] == "  Change points need 8 runs of one provenance; there is 1."


def test_machines_in_turn_break_every_run_and_the_last_breaks_are_told():
    records = [record(index, 2.0, machine_b if index % 2 else None) for index in range(30)]
    metric = metric_of(records, "processing")
    page = list(lines(metric, series(records, metric, suite="pocket")))
    assert sum(line.startswith("  break") for line in page) == MOST_EVENTS
    assert "  (17 earlier events not told)" in page
    assert f"{records[-1].at:%Y-%m-%d %H:%M}" in page[-2]
    [one] = series(records, metric, suite="pocket", machine="processor b")
    assert len(one.stretches) == 1


def test_a_terminal_obeys_nothing_in_a_label():
    def hostile(value: dict[str, Any]) -> None:
        value["systems"]["star"]["label"] = "\x1b[31mred\u202e\n"
        value["columns"]["kl"]["label"] = "KL\x07"

    records = [record(0, 2.0, hostile)]
    metric = metric_of(records, "kl")
    text = "".join(lines(metric, series(records, metric, suite="pocket")))
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


def groups(svg: bytes, name: str) -> list[ElementTree.Element]:
    """The marks of one kind; matplotlib's gid is the id of a group."""
    return [one for one in ElementTree.fromstring(svg).iter() if one.get("id") == name]


def test_the_plot_joins_no_values_across_a_break_and_is_the_same_twice(tmp_path):
    records = [record(i, v) for i, v in enumerate(noisy(16, 8))]
    records += [record(16 + i, 2.0, another_network) for i in range(5)]
    metric = metric_of(records, "kl")
    found = series(records, metric, suite="pocket")
    svg = draw(metric, found, tmp_path / "kl.svg").read_bytes()
    assert draw(metric, found, tmp_path / "again.svg").read_bytes() == svg
    assert (len(groups(svg, "break")), len(groups(svg, "change"))) == (1, 1)
    paths = [one.find("{http://www.w3.org/2000/svg}path") for one in groups(svg, "stretch")]
    steps = [path.get("d").split().count("L") for path in paths if path is not None]
    assert sorted(n for n in steps if n > 1) == [4, 15]  # those of one step are intervals
    png = draw(metric, found, tmp_path / "kl.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert draw(metric, found, tmp_path / "again.png").read_bytes() == png


def test_a_plot_needs_a_known_kind_of_file(tmp_path):
    records = [record(0, 2.0)]
    metric = metric_of(records, "kl")
    with pytest.raises(StabenchError, match=r"ends in \.png or \.svg"):
        draw(metric, series(records, metric, suite="pocket"), tmp_path / "kl.pdf")


def test_showing_reads_the_file_and_imports_no_torch(tmp_path):
    path = tmp_path / "history.jsonl"
    for index in range(3):
        history.append(record(index, 2.0), path)
    out = io.StringIO()
    show("kl", path, stream=out)
    assert "3 runs" in out.getvalue()
    script = (
        "import sys, pathlib; from stabench.harness.history.plot import show;"
        "show('kl', pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]));"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "kl.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
