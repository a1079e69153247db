"""The plot of a history: values with intervals, change points, and gaps where provenance broke."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness import atomic
from harness.board.history_series import Metric, Series, Stretch
from harness.errors import StabenchError
from harness.figures import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart."""
MARKERS = "osD^vP*"


def draw(metric: Metric, found: list[Series], out: Path) -> Path:
    """Write a PNG or SVG, the same bytes for the same history; one panel below another a system.

    Raises StabenchError for another kind of file, or with nothing to draw.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise StabenchError(f"--out '{out}': expected a name that ends in {' or '.join(SUFFIXES)}")
    if not found:
        raise StabenchError(f"history: no record has {metric.key}; nothing to draw")
    atomic.write_bytes(out, _image(metric, found, out.suffix.lower()[1:]))
    return out


def _image(metric: Metric, found: list[Series], kind: str) -> bytes:
    import io

    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": "stabench", "font.size": 9, "text.parse_math": False}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(8, 1.0 + 1.9 * len(found)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
        runs = sorted({(point.at, point.run) for one in found for point in one.points})
        places = {run: place for place, (_, run) in enumerate(runs)}
        for index, (panel, one) in enumerate(zip(panels, found, strict=True)):
            _panel(panel, metric, one, places, index)
        _dates(panels[-1], [f"{at:%Y-%m-%d}" for at, _ in runs])
        out = io.BytesIO()
        undated = {"svg": {"Date": None}, "png": {"Software": None}}
        figure.savefig(out, format=kind, dpi=150, metadata=undated[kind])
    return out.getvalue()


def _panel(
    panel: "Axes", metric: Metric, series: Series, places: dict[str, int], index: int
) -> None:
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    for stretch in series.stretches:
        first = places[stretch.points[0].run]
        if stretch.why:
            panel.axvline(first - 0.5, color="0.5", linestyle=":", gid="break")
        _line(panel, stretch, places, colour, marker)
        for change in stretch.changes:
            place = places[stretch.points[change.index].run]
            panel.axvline(place - 0.5, color="#AA0000", linestyle="--", gid="change")
            text = f"p {change.p_value:.4f}"
            top = panel.get_xaxis_transform()
            panel.text(place - 0.4, 0.97, text, color="#AA0000", va="top", transform=top)
    arrow = "\N{DOWNWARDS ARROW}" if metric.better == "lower" else "\N{UPWARDS ARROW}"
    unit = f" ({metric.unit})" if metric.unit else ""
    panel.set_ylabel(plain(f"{metric.label}{unit} {arrow}"))
    panel.set_title(plain(series.label), loc="left")
    panel.set_xlim(-0.7, len(places) - 0.3)
    panel.grid(axis="y", color="0.9")
    panel.spines[["top", "right"]].set_visible(False)


def _line(
    panel: "Axes", stretch: Stretch, places: dict[str, int], colour: str, marker: str
) -> None:
    """One stretch: no line leaves it."""
    points = stretch.points
    along = [places[point.run] for point in points]
    below = [0.0 if point.low is None else point.value - point.low for point in points]
    above = [0.0 if point.high is None else point.high - point.value for point in points]
    values = [point.value for point in points]
    panel.errorbar(
        along, values, (below, above), color=colour, ecolor=colour, elinewidth=0.8, capsize=2,
        marker=marker, markersize=4, linewidth=1.2, gid="stretch",
    )  # fmt: skip


def _dates(panel: "Axes", dates: list[str]) -> None:
    """At most eight dates under the lowest panel."""
    step = -(-len(dates) // 8)
    panel.set_xticks(range(0, len(dates), step), dates[::step])
