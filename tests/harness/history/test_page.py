"""What is told and drawn of a history: the command's lines, and the one plot."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.history import history
from stabench.harness.history.page import MOST_EVENTS, lines, show, suites
from stabench.harness.history.plot import DARK, FEWEST_RUNS, _compose_figure, draw
from stabench.harness.history.series import find_metric, trace_systems
from tests.harness.history.test_series import another_network, machine_b, noisy, record

ROOT = Path(__file__).resolve().parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_names_the_step_its_direction_its_commits_and_the_break():
    records = [record(i, v) for i, v in enumerate(noisy(24, 12))]
    records += [record(24 + i, 3.0, another_network) for i in range(2)]
    metric = find_metric(records, "kl")
    page = list(lines(metric, trace_systems(records, metric, suite="pocket")))
    assert page[0] == "KL (nats), lower is better"
    assert page[2] == "STAR (star), 26 runs"
    assert page[3].startswith("  last    2026-01-26 00:00: 3.00 [2.50, 3.50], 144 clips, commit ")
    (change,) = [line for line in page if line.startswith("  change")]
    assert "worse" in change
    assert f"commits {11:040x}"[:20] in change
    assert "2026-01-13 00:00" in change
    (gap,) = [line for line in page if line.startswith("  break")]
    assert "embedder was pocket-cnn14" in gap


def test_a_small_step_is_told_with_the_digits_that_show_it():
    records = [record(index, 2.001 if index < 12 else 2.004) for index in range(24)]
    metric = find_metric(records, "kl")
    text = "\n".join(lines(metric, trace_systems(records, metric, suite="pocket")))
    assert "2.001 to 2.004, worse" in text


def test_few_runs_are_said_to_be_few():
    metric = find_metric([record(0, 2.0)], "kl")
    page = list(lines(metric, trace_systems([record(0, 2.0)], metric, suite="pocket")))
    assert page[-1] == "  Change points need 8 runs of one provenance; there is 1."


def test_machines_in_turn_break_every_run_and_the_last_breaks_are_told():
    records = [record(index, 2.0, machine_b if index % 2 else None) for index in range(30)]
    metric = find_metric(records, "processing")
    page = list(lines(metric, trace_systems(records, metric, suite="pocket")))
    assert sum(line.startswith("  break") for line in page) == MOST_EVENTS
    assert "  (17 earlier events not told)" in page
    assert f"{records[-1].at:%Y-%m-%d %H:%M}" in page[-2]
    [series] = trace_systems(records, metric, suite="pocket", machine="processor b")
    assert len(series.stretches) == 1


def test_a_terminal_obeys_nothing_in_a_label():
    def hostile(value: dict[str, Any]) -> None:
        value["systems"]["star"]["label"] = "\x1b[31mred\u202e\n"
        value["columns"]["kl"]["label"] = "KL\x07"

    records = [record(0, 2.0, hostile)]
    metric = find_metric(records, "kl")
    text = "".join(lines(metric, trace_systems(records, metric, suite="pocket")))
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


def plotted(records: list[history.HistoryRecord], key: str = "kl") -> bytes:
    metric = find_metric(records, key)
    return draw(metric, trace_systems(records, metric, suite="pocket"))


def paths(svg: bytes, name: str) -> list[list[str]]:
    """The path commands of every mark of one kind; matplotlib's gid is the id of a group."""
    groups = [group for group in ElementTree.fromstring(svg).iter() if group.get("id") == name]
    return [path.get("d", "").split() for group in groups for path in group.findall(f"{SVG}path")]


def test_the_plot_joins_no_values_across_a_break_and_is_the_same_twice():
    records = [record(i, v) for i, v in enumerate(noisy(16, 8))]
    records += [record(16 + i, 2.0, another_network) for i in range(5)]
    svg = plotted(records)
    assert plotted(records) == svg
    assert (len(paths(svg, "break")), len(paths(svg, "change"))) == (1, 1)
    lines_to = [path.count("L") for path in paths(svg, "stretch")]
    assert lines_to == [15, 4]
    assert b"<dc:date>" not in svg


def test_the_plot_obeys_no_settings_of_the_reader_s_matplotlib():
    import matplotlib

    records = [record(0, 2.0)]
    svg = plotted(records)
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.fonttype": "none"}):
        assert plotted(records) == svg


def test_intervals_are_drawn_as_they_are_and_none_where_there_is_none():
    def bounds(low: float | None, high: float | None):
        def change(value: dict[str, Any]) -> None:
            value["systems"]["star"]["quality"]["kl"].update(low=low, high=high)

        return change

    # The interval of a biased statistic may lie beside its value.
    records = [record(0, 2.0, bounds(2.1, 2.4)), record(1, 2.0, bounds(None, None))]
    assert len(paths(plotted(records), "intervals")) == 1
    assert len(paths(plotted(records[:1]), "intervals")) == 1
    assert paths(plotted(records[1:]), "intervals") == []


def test_every_colour_of_the_plot_has_a_dark_one_and_text_contrasts_with_both_papers():
    records = [record(i, v) for i, v in enumerate(noisy(24, 12))]
    svg = plotted([*records, record(24, 2.0, another_network)]).decode()
    style, _, drawing = svg.partition("</style>")
    for kind, colour in set(re.findall(r"(fill|stroke): (#[0-9a-f]{6})", drawing)):
        assert f'[style*="{kind}: {colour}"]{{{kind}: {DARK[colour]} !important}}' in style

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    paper, ink, _, series, change = DARK
    for front in (ink, series, change):
        for a, b in ((front, paper), (DARK[front], DARK[paper])):
            dim, bright = sorted((luminance(a), luminance(b)))
            assert (bright + 0.05) / (dim + 0.05) >= 4.5


def test_the_plot_fits_a_narrow_screen_with_long_and_hostile_labels():
    def labelled(value: dict[str, Any]) -> None:
        value["systems"]["star"]["label"] = "<script>$\\frac{1}$\x1b[31m" + "a long label " * 40
        value["columns"]["kl"]["label"] = "$KL_{x"

    svg = plotted([record(0, 2.0, labelled)])
    root = ElementTree.fromstring(svg)
    assert root.get("width") == "288pt"  # 384 px, of which 362 are free on a screen of 390
    assert not [element for element in root.iter() if element.tag.endswith("script")]


def test_a_plot_needs_a_known_kind_of_file_and_something_to_draw(tmp_path):
    path = tmp_path / "history.jsonl"
    history.append(record(0, 2.0), path)
    with pytest.raises(
        StabenchError, match=r"--out '.*kl\.png': expected a name that ends in \.svg"
    ):
        show("kl", path, out=tmp_path / "kl.png")
    with pytest.raises(StabenchError, match="no record has generation; nothing to draw"):
        show("generation", path, out=tmp_path / "generation.svg")
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]


def test_the_command_and_the_site_draw_the_same_bytes(tmp_path):
    path = tmp_path / "history.jsonl"
    for index in range(FEWEST_RUNS):
        history.append(record(index, 2.0 + index), path)
    show("kl", path, out=tmp_path / "kl.svg", stream=io.StringIO())
    [suite] = suites(history.read(path))
    kl = suite.metrics[-1]
    assert kl.drawing == (tmp_path / "kl.svg").read_bytes()
    assert (kl.title, kl.address) == ("KL (nats), lower is better", "history/1-2.svg")


def test_few_runs_are_a_table_alone_and_a_plot_that_was_asked_for_says_so(tmp_path):
    path, out, stream = tmp_path / "history.jsonl", tmp_path / "kl.svg", io.StringIO()
    for index in range(FEWEST_RUNS - 1):
        history.append(record(index, 2.0 + index), path)
    needs = rf"--out '.*kl\.svg': not drawn, a plot needs {FEWEST_RUNS} runs .* there are 4"
    with pytest.raises(StabenchError, match=needs):
        show("kl", path, out=out, stream=stream)
    assert not out.exists()
    assert "STAR (star), 4 runs" in stream.getvalue()
    [suite] = suites(history.read(path))
    assert [(metric.address, metric.drawing) for metric in suite.metrics] == [("", b"")] * 2
    assert {line.runs for metric in suite.metrics for line in metric.lines} == {4}


def test_a_system_with_few_runs_is_not_drawn_beside_one_with_many():
    def newcomer(value: dict[str, Any]) -> None:
        value["systems"]["new"] = {**value["systems"]["star"], "label": "New"}

    records = [record(index, 2.0, newcomer if index > 4 else None) for index in range(7)]
    [suite] = suites(records)
    kl = suite.metrics[-1]
    assert kl.drawn == ("STAR",)
    assert [(line.label, line.runs) for line in kl.lines] == [("STAR", 7), ("New", 2)]


def test_the_axes_of_the_plot_have_labels_with_the_unit():
    from matplotlib.figure import Figure

    records = [record(index, 2.0) for index in range(FEWEST_RUNS)]
    for key, label in (("kl", "KL (nats)"), ("processing", "Processing, median\n(ms)")):
        figure, metric = Figure(), find_metric(records, key)
        _compose_figure(figure, metric, trace_systems(records, metric, suite="pocket"))
        (panel,) = figure.axes
        assert panel.get_ylabel() == label
        assert panel.get_xlabel() == "run, in order of time (date)"


def test_the_history_of_this_repository_is_read_and_drawn():
    records = history.read(ROOT / "results" / "history.jsonl")
    assert len(records) >= 4
    assert len(paths(plotted(records), "break")) >= 2


def test_showing_reads_the_file_and_imports_no_torch(tmp_path):
    path = tmp_path / "history.jsonl"
    for index in range(FEWEST_RUNS):
        history.append(record(index, 2.0), path)
    out = io.StringIO()
    show("kl", path, stream=out)
    assert f"{FEWEST_RUNS} runs" in out.getvalue()
    script = (
        "import sys, pathlib; from stabench.harness.history.page import show;"
        "show('kl', pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]));"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "kl.svg")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
