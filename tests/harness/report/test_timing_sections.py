"""Timings: percentiles are those of the samples, shown only where there are clips enough."""

import json
from dataclasses import replace

import pytest

from stabench.harness.formatting import decimals, figure
from stabench.harness.render.page import Printed
from stabench.harness.report.table import tabulate
from stabench.harness.report.timing_sections import (
    describe_latencies,
    describe_shares,
    describe_stages,
)
from stabench.harness.runs.journal import Span, to_json
from stabench.harness.runs.results import Results
from tests.harness.fake_run import FakeRun

SYSTEMS = (("star", "end-to-end", "STAR"), ("few", "end-to-end", "Few"))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    """64 clips, of which one system failed 4: enough for the p90 of the other."""
    failed = {"few": [f"clip00{i}" for i in range(1, 5)]}
    made = FakeRun(tmp_path_factory.mktemp("run"), n=64, systems=SYSTEMS, failed=failed).make()
    return Results.read(made.path)


def test_median_and_p90_stand_where_64_clips_are_timed(results):
    section = describe_latencies(results, tabulate(results))
    assert [head.text for head in section.grid.heads] == [
        "System",
        "clips",
        "Processing median (ms)",
        "Processing p90 (ms)",
        "Generation median (s)",
        "Generation p90 (s)",
    ]
    assert section.points == ("Not shown: p95 needs 130, p99 needs 662 clips; there are 64.",)
    star, few = section.grid.lines
    assert [cell.main for cell in star.cells[:2]] == ["STAR", "64"]
    places = [("represent", 50, 1e6), ("represent", 90, 1e6)]
    places += [("generate", 50, 1e9), ("generate", 90, 1e9)]
    for cell, (phase, percent, unit_ns) in zip(star.cells[2:], places, strict=True):
        value = results.latency("star", phase).percentile(percent).value / unit_ns
        assert cell.main == figure(value, decimals([value]))
        assert cell.under.startswith("[")
    assert [cell.main for cell in few.cells[1:4:2]] == ["60", "\N{EN DASH}"]


def test_a_few_clips_have_no_percentile(tmp_path):
    found = Results.read(FakeRun(tmp_path, n=10, systems=SYSTEMS).make().path)
    assert describe_latencies(found, tabulate(found)) is None


def test_shares_of_stages_add_up_to_the_whole(results):
    lines = [line.cells for line in describe_stages(results, tabulate(results)).grid.lines[1:6]]
    assert [cells[1].main for cells in lines][-1] == "(remainder)"
    assert sum(read_percent(cells[4]) for cells in lines) == pytest.approx(100, abs=0.3)
    for phase in ("represent", "generate"):
        shares = [read_percent(cells[3]) for cells in lines if cells[0].main == phase]
        assert sum(shares) == pytest.approx(100, abs=0.3), phase
    walls = [row.phase_ns["represent"] + row.phase_ns["generate"] for row in results.timed("star")]
    mean_ms = sum(walls) / len(walls) / 1e6
    assert sum(float(cells[2].main) for cells in lines) == pytest.approx(mean_ms, abs=0.05)


def test_what_no_stage_claimed_is_a_share_of_its_own_phase(tmp_path):
    """A tenth of a short phase is next to nothing of both."""
    folder = FakeRun(tmp_path, n=4, systems=SYSTEMS[:1]).make()
    rows = [
        replace(
            row,
            phase_ns={"represent": 1_000_000, "generate": 99_000_000},
            spans=(Span("represent", "listen", 900_000), Span("generate", "sampler", 98_010_000)),
        )
        for row in folder.rows()
    ]
    folder.journal_path.write_text("".join(json.dumps(to_json(row)) + "\n" for row in rows))
    results = Results.read(folder.path)
    (point,) = describe_shares(results, tabulate(results)).points
    assert point.endswith(
        ": listen 0.9 %, sampler 98.0 %; other 10.0 % of represent, 1.0 % of generate"
    )
    lines = [line.cells for line in describe_stages(results, tabulate(results)).grid.lines[1:]]
    left = {cells[0].main: cells[3].main for cells in lines if cells[1].main == "(remainder)"}
    assert left == {"represent": "10.0 %", "generate": "1.0 %"}


def read_percent(cell: Printed) -> float:
    return float(cell.main.rstrip(" %"))
