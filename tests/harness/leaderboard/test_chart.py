"""Charts of a board: only what was checked is drawn, on one machine, and the front is its own."""

from pathlib import Path
from typing import Any

import pytest

from stabench.harness.leaderboard.chart import CLAIMED, Drawing, draw_board
from stabench.harness.leaderboard.entries import entries
from stabench.harness.leaderboard.site import build
from stabench.harness.leaderboard.tables import boards
from tests.harness.leaderboard.made_entries import HOSTILE, Leaderboard, phase
from tests.harness.report.html.parsed import parsed


@pytest.fixture
def made(tmp_path: Path) -> Leaderboard:
    return Leaderboard(tmp_path / "leaderboard")


def drawings(made: Leaderboard) -> list[Drawing]:
    (board,) = boards(entries(made.root))
    return draw_board(board, 0)


def timed(ms: float):
    def change(value: dict[str, Any]) -> None:
        value["latency"]["phases"] = {"represent": phase(ms), "generate": phase(2 * ms)}

    return change


def test_points_are_metrics_against_the_mean_of_all_phases(made):
    made.add("fast", 3.0, timed(10.0))
    made.add("good", 1.0, timed(20.0))
    made.add("bad", 4.0, timed(15.0))
    (drawing,) = drawings(made)
    chart = drawing.charts[0]
    assert chart.metric == "kl"
    points = {point.system: point for point in chart.points}
    assert {name: point.latency.value for name, point in points.items()} == {
        "fast": 30.0, "good": 60.0, "bad": 45.0,
    }  # fmt: skip
    assert all(point.y_ends for point in points.values())
    ends = (points["good"].latency.low, points["good"].latency.high)
    assert ends == pytest.approx((0.9 * 60.0, 1.1 * 60.0))
    assert chart.front == ("FAST", "GOOD")
    assert chart.missing == ()
    assert chart.y_title == "KL (nats) ↓, axis reversed: up is better"
    assert chart.x_title == "Processing and generation (ms)"


def test_a_phase_without_an_interval_leaves_the_sum_without_one(made):
    def bare(value: dict[str, Any]) -> None:
        value["latency"]["phases"]["represent"]["mean_ns"].update(low=None, high=None)

    made.add("a", 2.0, bare)
    made.add("b", 1.0)
    (drawing,) = drawings(made)
    points = {point.system: point for point in drawing.charts[0].points}
    assert points["a"].x_ends is None
    assert points["a"].latency.value == points["b"].latency.value
    assert points["b"].x_ends is not None


def test_the_first_metric_is_that_of_most_intervals_apart(made):
    def recall(value: float):
        return lambda v: v["metrics"]["recall"].update(value=value, low=value, high=value)

    for name, share in (("a", 0.2), ("b", 0.4), ("c", 0.6)):
        made.add(name, 2.0, recall(share))
    (drawing,) = drawings(made)
    assert [chart.metric for chart in drawing.charts] == ["recall", "kl"]
    assert drawing.first.reason == (
        "Event recall is shown first: no metric tells more pairs of systems apart, 3 of 3 by "
        "intervals that do not overlap."
    )


def test_claims_and_fewer_clips_are_named_and_not_drawn(made):
    def fewer(value: dict[str, Any]) -> None:
        for one in value["latency"]["phases"].values():
            one["clips"] = 10

    def lost(value: dict[str, Any]) -> None:
        value["metrics"]["kl"]["n"] = 10

    made.add("a", 2.0)
    made.add("b", 1.0)
    made.add("claim", 0.001, audited=False)
    made.add("partly", 0.001, verdict={"recomputed": ["recall"]})
    made.add("skipped", 0.001, fewer)
    made.add("lost", 0.001, lost)
    made.add("untimed", 0.001, verdict={"latency": False})
    (drawing,) = drawings(made)
    chart = next(chart for chart in drawing.charts if chart.metric == "kl")
    assert {point.system for point in chart.points} == {"a", "b"}
    assert sorted(chart.missing) == [
        f"CLAIM ({CLAIMED})",
        "LOST (10 of 12 clips)",
        f"PARTLY ({CLAIMED})",
        "SKIPPED (timed on 10 of 12 clips)",
        f"UNTIMED ({CLAIMED})",
    ]


def test_a_system_timed_in_one_phase_only_has_no_total(made):
    made.add("a", 2.0)
    made.add("b", 1.0)
    made.add("half", 0.1, lambda v: v["latency"]["phases"].pop("generate"))
    (drawing,) = drawings(made)
    assert "HALF (not timed in every phase)" in drawing.charts[0].missing


def test_each_machine_has_its_own_chart_and_one_system_has_none(made):
    def other(value: dict[str, Any]) -> None:
        value["hardware"]["cpu"] = "Processor B"

    made.add("a", 2.0)
    made.add("b", 1.0)
    made.add("c", 0.5, other)
    assert [drawing.machine for drawing in drawings(made)] == ["Processor A, 1 of 2 cores"]
    made.add("d", 0.7, other)
    both = drawings(made)
    assert [drawing.machine[:11] for drawing in both] == ["Processor A", "Processor B"]
    assert {point.system for point in both[1].charts[0].points} == {"c", "d"}


def test_an_oracle_is_drawn_and_is_on_no_front(made):
    made.add("a", 2.0)
    made.add("oracle", 0.1, lambda v: v["system"].update(paradigm="oracle"))
    (drawing,) = drawings(made)
    assert {point.system for point in drawing.charts[0].points} == {"a", "oracle"}
    assert drawing.charts[0].front == ("A",)
    assert drawing.told == ("oracle",)


def test_two_versions_of_a_system_are_told_apart(made):
    for name, version in (("a", "1"), ("b", "2")):
        made.add(
            name, 2.0, lambda v, version=version: v["system"].update(label="S", version=version)
        )
    (drawing,) = drawings(made)
    assert {point.label for point in drawing.charts[0].points} == {"S, 1", "S, 2"}


def test_the_page_has_its_charts_without_a_script_and_with_what_they_show_in_words(made, tmp_path):
    made.add("a", 2.0, lambda v: v["system"].update(label=HOSTILE, paradigm="unheard-of"))
    made.add("b", 1.0)
    made.add("c", 1.0, lambda v: v["dataset"].update(digest="9" * 64))
    made.add("d", 1.5, lambda v: v["dataset"].update(digest="9" * 64))
    page = parsed(build(made.root, tmp_path / "site", None).read_text())
    charts = list(page.all("svg", role="img"))
    assert len(charts) == 2 * 2
    for chart in charts:
        named, told = chart.attributes["aria-labelledby"].split()
        assert page.one(id=named).text.endswith("against processing and generation")
        assert "220 [198, 242] ms" in page.one(id=told).text
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert not [e for e in page.all("figure") if "hidden" in e.attributes]
    assert not list(page.all("img"))
