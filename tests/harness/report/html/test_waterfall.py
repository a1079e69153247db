"""The waterfall: stages and remainder fill each phase without a gap, on one axis."""

import statistics
from itertools import pairwise

import pytest

from stabench.harness.report.html.waterfall import draw_waterfalls
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from tests.harness.report.html.pages import made


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = made(tmp_path_factory.mktemp("run"), scored=False, n=6)
    results = Results.read(folder.path)
    return folder, {one.system: one for one in draw_waterfalls(results, tabulate(results))}


def test_stages_and_remainder_add_up_to_the_phase(found):
    folder, systems = found
    for name, one in systems.items():
        rows = [row for row in folder.rows() if row.system == name]
        for phase in ("represent", "generate"):
            parts = [bar for bar in one.bars if bar.phase == phase and bar.kind != "sum"]
            (whole,) = (bar for bar in one.bars if bar.phase == phase and bar.kind == "sum")
            wall_ns = statistics.fmean(row.phase_ns[phase] for row in rows)
            assert sum(bar.mean_ns for bar in parts) == pytest.approx(wall_ns)
            assert whole.mean_ns == pytest.approx(wall_ns)
            assert parts[-1].kind == "remainder"
            assert (whole.start, whole.width) == pytest.approx(
                (parts[0].start, sum(bar.width for bar in parts))
            )


def test_each_bar_begins_where_the_one_before_ends_and_the_slowest_fills_the_axis(found):
    _, systems = found
    for one in systems.values():
        bars = [bar for bar in one.bars if bar.kind != "sum"]
        assert bars[0].start == 0
        assert all(b.start == pytest.approx(a.start + a.width) for a, b in pairwise(bars))
        assert sum(bar.share for bar in bars) == pytest.approx(1)
        sums = [bar for bar in one.bars if bar.kind == "sum"]
        for whole in sums:
            parts = [bar.share for bar in bars if bar.phase == whole.phase]
            assert whole.share == pytest.approx(sum(parts))
            assert whole.percent == f"{100 * whole.share:.1f} %"
    ends = [one.bars[-1].start + one.bars[-1].width for one in systems.values()]
    assert max(ends) == pytest.approx(1)
    assert sorted(systems) == ["cascade", "oracle", "star", "star-small"]


def test_untimed_runs_have_no_waterfall(tmp_path):
    how = {"scenario": "offline", "batch_size": 2}
    results = Results.read(made(tmp_path, scored=False, n=2, protocol=how).path)
    assert draw_waterfalls(results, tabulate(results)) == []
