"""The chart: who is on the front, where points lie, and that labels can be read."""

from itertools import pairwise

import numpy as np
import pytest

from stabench.harness.report.html import scatter
from stabench.harness.report.html.scatter import (
    HEIGHT,
    LINE,
    Pair,
    average_ms,
    choose_first,
    draw_charts,
    find_front,
)
from stabench.harness.report.sections import count_separated
from stabench.harness.report.table import Row, Table, tabulate
from stabench.harness.runs.metrics_file import DifferenceRecord
from stabench.harness.runs.results import Results
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.speech_to_audio import TASK
from stabench.harness.tasks.task import Column
from tests.harness.report.html.pages import made

KL = Column("kl", "KL", "", "lower", 2, "quality")
CLAP = Column("clap", "CLAP", "", "higher", 3, "quality")
TOLD = ("oracle",)


def pair(name: str, latency: float, quality: float, paradigm: str = "cascade") -> Pair:
    ends = Estimate(latency, 0.9 * latency, 1.1 * latency, 20)
    return Pair(Row(name, name, paradigm, 20, 0, {}), ends, Estimate(quality, None, None, 20))


def drawn(column: Column, pairs: list[Pair]) -> scatter.Chart:
    best = find_front(pairs, column.better, TOLD)
    return scatter.draw_chart(column, "Processing and generation", "total", pairs, best, ())


def test_the_front_holds_whom_nobody_beats():
    pairs = [pair("slow", 9, 1.0), pair("mid", 5, 2.0), pair("fast", 1, 3.0), pair("bad", 6, 2.5)]
    assert [one.row.system for one in find_front(pairs, "lower", TOLD)] == ["fast", "mid", "slow"]
    assert [one.row.system for one in find_front(pairs, "higher", TOLD)] == ["fast"]


def test_an_oracle_is_not_on_the_front_and_beats_nobody():
    pairs = [pair("oracle", 1, 0.1, "oracle"), pair("a", 2, 1.0), pair("b", 3, 2.0)]
    assert [one.row.system for one in find_front(pairs, "lower", TOLD)] == ["a"]


def test_a_tie_in_one_number_is_decided_by_the_other_and_twins_are_both_kept():
    pairs = [pair("a", 1, 2.0), pair("b", 1, 1.0), pair("c", 1, 1.0)]
    assert {one.row.system for one in find_front(pairs, "lower", TOLD)} == {"b", "c"}


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_front_is_what_comparing_all_with_all_finds(better):
    rng = np.random.default_rng(3)
    pairs = [pair(str(i), *map(float, rng.integers(1, 9, 2))) for i in range(40)]
    sign = 1 if better == "lower" else -1
    kept = {
        a.row.system
        for a in pairs
        if not any(
            b.latency.value <= a.latency.value
            and sign * b.quality.value <= sign * a.quality.value
            and (b.latency.value, b.quality.value) != (a.latency.value, a.quality.value)
            for b in pairs
        )
    }
    assert {one.row.system for one in find_front(pairs, better, TOLD)} == kept


@pytest.mark.parametrize("column", [KL, CLAP])
def test_up_is_better_and_left_is_faster(column):
    chart = drawn(column, [pair("a", 10, 0.2), pair("b", 400, 0.9)])
    by_name = {point.system: point for point in chart.points}
    assert by_name["a"].x < by_name["b"].x
    assert (by_name["a"].y < by_name["b"].y) == (column.better == "lower")
    assert ("reversed" in chart.y_title) == (column.better == "lower")
    assert "logarithmic" in chart.x_title
    assert by_name["a"].x_ends[0] < by_name["a"].x < by_name["a"].x_ends[1]


def test_the_line_of_the_front_goes_through_its_points_in_steps():
    pairs = [pair("slow", 9, 1.0), pair("mid", 5, 2.0), pair("fast", 1, 3.0)]
    chart = drawn(KL, pairs)
    points = {point.system: (point.x, point.y) for point in chart.points}
    starts = [(step.x1, step.y1) for step in chart.steps]
    assert {points["fast"], points["mid"], points["slow"]} <= set(starts)
    assert all(a.x2 == b.x1 and a.y2 == b.y1 for a, b in pairwise(chart.steps))
    assert chart.front == ("fast", "mid", "slow")


def test_slow_systems_are_drawn_in_seconds_and_other_clips_are_said():
    chart = drawn(KL, [pair("a", 900, 1.0), pair("b", 5_000, 2.0)])
    assert chart.x_title == "Processing and generation (s)"
    assert chart.points[0].text.startswith("a: 0.900 [0.810, 0.990] s, KL 1.00")
    assert chart.same_clips
    fewer = pair("c", 2_000, 1.5)
    fewer = fewer._replace(quality=fewer.quality._replace(n=19))
    assert not drawn(KL, [pair("a", 900, 1.0), fewer]).same_clips


def test_labels_do_not_lie_over_one_another():
    pairs = [pair(f"s{i}", 5 + i / 1000, 2 + i / 1000) for i in range(15)]
    chart = drawn(KL, [*pairs, pair("far", 90, 9)])
    ys = sorted(point.label_y for point in chart.points)
    assert all(b - a >= LINE - 1e-9 for a, b in pairwise(ys))
    assert all(y <= HEIGHT for y in ys)


def test_of_very_many_systems_the_labels_of_each_side_are_apart():
    count = HEIGHT // LINE
    pairs = [pair(f"s{i}", 5 + 90 * (i % 2), 2 + i / 1000) for i in range(2 * count - 2)]
    chart = drawn(KL, pairs)
    for side in (True, False):
        ys = sorted(point.label_y for point in chart.points if (point.x > 0.5) == side)
        assert len(ys) == count - 1
        assert all(b - a >= LINE - 1e-9 for a, b in pairwise(ys))
        assert all(y <= HEIGHT for y in ys)


def minus(a: str, b: str, column: str, low: float, high: float) -> DifferenceRecord:
    p = 0.5 if low <= 0 <= high else 0.01
    difference = Estimate((low + high) / 2, low, high, 20, p_value=p)
    return DifferenceRecord(a=a, b=b, column=column, difference=difference)


@pytest.mark.parametrize(
    ("kl", "clap", "first", "why"),
    [
        (((-2, -1), (-2, 1), (-2, 1)), ((1, 2), (1, 2), (-1, 2)), "clap", "apart, 2 of 3"),
        (((-2, -1), (1, 2), (-2, 1)), ((1, 2), (1, 2), (-1, 2)), "kl", "apart, 2 of 3"),
        (((-2, 1), (-2, 1), (-2, 1)), ((-1, 2), (-1, 2), (-1, 2)), "kl", "no metric tells any"),
        # Printed as [0.000, 0.000], the interval is no difference.
        (((-2, 1), (-2, 1), (-2, 1)), ((1e-9, 2e-9), (-1, 2), (-1, 2)), "kl", "tells any"),
    ],
)
def test_the_first_chart_is_of_the_metric_that_tells_most_pairs_apart(kl, clap, first, why):
    pairs = [pair("a", 1, 3.0), pair("b", 2, 2.0), pair("c", 3, 1.0)]
    table = Table((KL, CLAP), [one.row for one in pairs], TASK)
    charts = [drawn(column, pairs) for column in (KL, CLAP)]
    names = (("a", "b"), ("a", "c"), ("b", "c"))
    paired = [
        minus(a, b, key, *ends)
        for key, intervals in (("kl", kl), ("clap", clap))
        for (a, b), ends in zip(names, intervals, strict=True)
    ]
    found = choose_first(charts, count_separated(paired, table), 3, "paired differences")
    assert found.metric == first
    assert why in found.reason
    assert found.reason.startswith(f"{first.upper()} is shown first: ")
    assert choose_first(charts, {}, 0, "").metric == "kl"
    assert choose_first([], {"kl": 1}, 1, "") is None


def test_total_latency_is_the_mean_of_both_phases_of_each_clip(tmp_path):
    folder = made(tmp_path, scored=False, n=6)
    results = Results.read(folder.path)
    rows = [row for row in folder.rows() if row.system == "star"]
    total = average_ms(results, "star", "total")
    assert total.value == pytest.approx(
        sum(row.phase_ns["represent"] + row.phase_ns["generate"] for row in rows) / len(rows) / 1e6
    )
    assert total.low < total.value < total.high
    parts = [average_ms(results, "star", key).value for key in ("processing", "generation")]
    assert sum(parts) == pytest.approx(total.value)


def test_unscored_runs_have_no_chart(tmp_path):
    results = Results.read(made(tmp_path, scored=False, n=4).path)
    assert draw_charts(results, tabulate(results)) == []
