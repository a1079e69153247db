"""The section of costs: its arithmetic, what it leaves out, and the file it is read from."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from stabench.harness.errors import StabenchError
from stabench.harness.profiling import costs_file
from stabench.harness.profiling.costs_file import CostsFile
from stabench.harness.profiling.energy import Energy
from stabench.harness.profiling.profile import Profile, StageCost, unprofiled
from stabench.harness.profiling.roofline import Ceilings
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Page, Section
from stabench.harness.render.terminal import print_page
from stabench.harness.report.cost_section import bound_s, describe_costs
from stabench.harness.report.report import report, report_json
from stabench.harness.report.table import tabulate
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from tests.harness.fake_run import FakeRun

CEILINGS = Ceilings("NVIDIA H200", "2.13.0", 2, {"float32": 50e12, "bfloat16": 800e12}, 4e12)
BUSY = StageCost(
    "generate",
    "sampler",
    operations=900,
    flops={"float32": 5 * 10**12, "bfloat16": 8 * 10**12},
    read_bytes=10**9,
    moved_bytes=10**10,
    launches=20,
    graphs=1,
    kernels=1_000,
    waits=3,
    peak_bytes=2 * 10**9,
)
READER = replace(BUSY, name="decoder", flops={"bfloat16": 10**9}, read_bytes=8 * 10**9)
QUIET = StageCost("represent", "asr", operations=0, flops={}, read_bytes=0, moved_bytes=0, waits=0)
NO_ENERGY = Energy(reason="no counter here")

Write = Callable[..., RunFolder]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A run folder with these profiles: `write({"star": profile}, n=24)`."""

    def make(systems: dict[str, Profile], n: int = 24, **more: object) -> RunFolder:
        folder = FakeRun(tmp_path, n=n, protocol=more.pop("protocol", {})).make()
        costs_file.write(folder.path, CostsFile(systems=systems, **more))
        return folder

    return make


def section(folder: RunFolder) -> Section:
    results = Results.read(folder.path)
    found = describe_costs(results, tabulate(results))
    assert found is not None
    return found


def cells(folder: RunFolder, stage: str) -> dict[str, str]:
    """The printed line of a stage by column."""
    grid = section(folder).grid
    [line] = [line for line in grid.lines if line.cells and line.cells[0].main == stage]
    heads = [head.text for head in grid.heads]
    return {head: cell.main for head, cell in zip(heads, line.cells, strict=True)}


def test_a_roofline_is_the_longer_of_computing_and_reading() -> None:
    assert bound_s(BUSY, CEILINGS) == pytest.approx(5 / 50 + 8 / 800)
    assert bound_s(READER, CEILINGS) == pytest.approx(8e9 / 4e12)
    assert bound_s(replace(BUSY, flops={}), CEILINGS) == pytest.approx(1e9 / 4e12)


@pytest.mark.parametrize(
    "stage",
    [
        QUIET,
        replace(BUSY, flops=None),
        replace(BUSY, flops={"float64": 5}),
        StageCost("generate", "sampler"),
    ],
)
def test_without_a_count_or_a_ceiling_there_is_no_roofline(stage: StageCost) -> None:
    assert bound_s(stage, CEILINGS) is None
    assert bound_s(BUSY, None) is None
    slow = replace(CEILINGS, flops_per_s={"float32": None, "bfloat16": 1e12})
    assert bound_s(BUSY, slow) is None


def test_the_ratio_is_the_median_of_the_timed_clips_over_the_roofline(write: Write) -> None:
    folder = write({"star": Profile("clip001", (BUSY,))}, ceilings=CEILINGS)
    walls_ns = [row.spans[1].wall_ns for row in folder.rows() if row.system == "star"]
    found = cells(folder, "sampler")
    assert found["roofline (ms)"] == "110"
    assert float(found["median (ms)"]) == pytest.approx(np.median(walls_ns) / 1e6, rel=0.01)
    ratio = float(found["times roofline"])
    assert ratio == pytest.approx(np.median(walls_ns) / 1e6 / 110, rel=0.01)
    assert [found[name] for name in ("operations", "launches", "kernels", "waits")] == [
        "900",
        "20",
        "1000",
        "3",
    ]
    assert (found["GFLOP"], found["read (MB)"], found["peak (MB)"]) == ("13000", "1000", "2000")


def test_nothing_is_said_of_a_stage_in_which_nothing_was_counted(write: Write) -> None:
    stages = (QUIET, replace(QUIET, name=REMAINDER), replace(BUSY, name=REMAINDER, launches=2))
    folder = write({"cascade": Profile("clip001", stages, NO_ENERGY)}, ceilings=CEILINGS)
    found = cells(folder, "asr")
    assert float(found.pop("median (ms)")) > 0
    assert set(found.values()) == {"asr", "n/a"}
    names = [line.cells[0].main for line in section(folder).grid.lines if line.cells]
    assert names == ["asr", "generate (remainder)"]
    assert cells(folder, "generate (remainder)")["launches"] == "2"


def test_kernels_of_other_libraries_are_shown_without_their_work(write: Write) -> None:
    """CTranslate2 launches kernels that no operation of torch stands for."""
    stage = replace(QUIET, launches=40, kernels=50, graphs=0, waits=2)
    folder = write({"cascade": Profile("clip001", (stage,))}, ceilings=CEILINGS)
    found = cells(folder, "asr")
    assert (found["launches"], found["kernels"], found["waits"]) == ("40", "50", "2")
    assert {found[name] for name in ("GFLOP", "read (MB)", "roofline (ms)")} == {"n/a"}


def test_medians_need_as_many_clips_as_elsewhere(write: Write) -> None:
    folder = write({"star": Profile("clip001", (BUSY,))}, n=10, ceilings=CEILINGS)
    found = cells(folder, "sampler")
    assert (found["median (ms)"], found["times roofline"]) == ("n/a", "n/a")
    assert found["roofline (ms)"] == "110"
    assert "Medians need 11 clips; there are 10." in section(folder).points


def test_a_batch_has_no_medians(write: Write) -> None:
    offline = {"scenario": "offline", "batch_size": 4}
    folder = write({"star": Profile("clip001", (BUSY,))}, protocol=offline)
    assert "No medians: offline run: a batch has no latency." in section(folder).points


def test_energy_is_told_for_each_system_or_once_why_not(write: Write) -> None:
    known = Energy(12.34, 71.2, 300.0, 5.2, 17)
    stages = (BUSY,)
    folder = write(
        {"star": Profile("c", stages, known), "cascade": Profile("c", stages, NO_ENERGY)}
    )
    points = section(folder).points
    assert "STAR: energy 12.3 J a clip beyond idling at 71 W (17 clips in 5.2 s)" in points
    assert "Energy of Whisper + tones n/a: no counter here." in points
    folder = write({name: Profile("c", stages, NO_ENERGY) for name in ("star", "cascade")})
    assert [point for point in section(folder).points if "nergy" in point] == [
        "Energy n/a: no counter here."
    ]


def test_failures_are_one_line_each(write: Write) -> None:
    folder = write({"star": unprofiled("the worker died: SIGKILL")})
    found = section(folder)
    assert found.grid is None
    assert "STAR: not profiled: the worker died: SIGKILL" in found.points
    assert found.points[0] == "Ceilings n/a: nothing computed by torch was counted."
    folder = write({"star": Profile("c", (BUSY,))}, no_ceilings="ceilings of 'cuda': no GPU")
    assert section(folder).points[0] == "Ceilings n/a: ceilings of 'cuda': no GPU."


def test_ceilings_are_told_with_what_they_hang_on(write: Write) -> None:
    folder = write({"star": Profile("c", (BUSY,))}, ceilings=CEILINGS)
    rates = "800 TFLOP/s in bfloat16, 50.0 TFLOP/s in float32, 4000 GB/s"
    first = section(folder).points[0]
    assert first.startswith("Ceilings of NVIDIA H200: ")
    assert all(rate in first for rate in rates.split(", "))
    on_cpu = replace(CEILINGS, device="CPU", threads=1, flops_per_s={"int8": None})
    folder = write({"star": Profile("c", (BUSY,))}, ceilings=on_cpu)
    told = "Ceilings of CPU: n/a in int8, 4000 GB/s (torch 2.13.0, 1 thread)."
    assert section(folder).points[0] == told


def test_the_section_is_in_the_report_and_on_the_terminal(write: Write) -> None:
    folder = write({"star": Profile("clip001", (BUSY, READER), NO_ENERGY)}, ceilings=CEILINGS)
    stream = io.StringIO()
    report(folder.path, stream)
    assert "Costs" in stream.getvalue()
    text = (folder.path / "report.md").read_text()
    assert "## Costs" in text
    assert "| decoder | 900 | 20 | 1000 | 3 |" in text
    page = Page("", "", (section(folder),))
    narrow = io.StringIO()
    print_page(page, Console(file=narrow, width=80))
    assert max(map(len, narrow.getvalue().splitlines())) <= 80
    assert to_markdown(page).count("| sampler |") == 1


def test_a_run_without_profiles_has_no_such_section(tmp_path: Path) -> None:
    results = Results.read(FakeRun(tmp_path, n=3).make().path)
    assert describe_costs(results, tabulate(results)) is None


def test_the_json_report_holds_the_costs_as_they_are_filed(write: Write) -> None:
    profile = Profile("clip001", (BUSY, QUIET), NO_ENERGY, eager=True, failures=())
    folder = write({"star": profile}, ceilings=CEILINGS)
    results = Results.read(folder.path)
    kept = report_json(results, tabulate(results))["costs"]
    assert CostsFile.model_validate_json(json.dumps(kept)).systems == {"star": profile}


def test_the_file_is_strict_and_says_what_is_wrong(write: Write) -> None:
    profile = Profile("clip001", (BUSY, QUIET), NO_ENERGY, eager=True, failures=("one", "two"))
    folder = write({"star": profile}, ceilings=CEILINGS)
    assert costs_file.read(folder.path).systems == {"star": profile}
    path = folder.path / "costs.json"
    path.write_text(path.read_text().replace('"launches"', '"lunches"'))
    wanted = r"costs.json: key 'systems.star.stages.0.lunches': .*; remove the file and resume"
    with pytest.raises(StabenchError, match=wanted):
        costs_file.read(folder.path)
