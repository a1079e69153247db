"""Series of a history: breaks, and change points between them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.history.history import HistoryRecord
from stabench.harness.history.series import find_metric, trace_systems

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
    (series,) = trace_systems(records, find_metric(records, key), suite="pocket", **how)
    return series


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
    assert point.estimate[:3] == pytest.approx((200, 180, 220))
    assert find_metric(records, "processing").unit == "ms"


def test_a_run_without_the_value_is_left_out():
    def unmeasured(value: dict[str, Any]) -> None:
        value["systems"]["star"]["quality"] = {}

    records = [record(0, 2.0), record(1, 2.0, unmeasured), record(2, 2.1)]
    assert [point.run for point in one_series(records).points] == ["run0", "run2"]


def test_one_machine_can_be_asked_for():
    records = [record(i, 2.0, machine_b if i % 2 else None) for i in range(8)]
    series = one_series(records, "processing", machine="processor b")
    assert [len(stretch.points) for stretch in series.stretches] == [4]


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
        trace_systems(records, find_metric(records, "kl"), **{"suite": "pocket", **how})


def test_an_unknown_metric_gets_the_nearest():
    with pytest.raises(StabenchError, match="unknown metric 'proccessing'; did you mean"):
        find_metric([record(0, 2.0)], "proccessing")
