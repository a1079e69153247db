"""The plot of a history: an SVG of values with intervals, change points, and breaks.

There is one drawing, for the command and for the leaderboard's site: the same history gives the
same bytes. It is 384 CSS pixels wide, so that a narrow screen shows it at full size, and it follows
the reader's choice of a dark or light page by itself.
"""

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stabench.harness.errors import StabenchError
from stabench.harness.formatting import plain
from stabench.harness.history.series import Series, Stretch
from stabench.harness.tasks.task import Column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER, INK, RULE, SERIES, CHANGE = "#fdfdfc", "#1b1c1e", "#c9ccd1", "#0b57a4", "#a3202c"
# Each colour on a light page, and what it is on a dark one; those of the site's style.
DARK = {PAPER: "#16181b", INK: "#e6e7e9", RULE: "#41464d", SERIES: "#8ab8f0", CHANGE: "#f28b8b"}
WIDTH_IN, PANEL_IN, HEAD_IN = 4.0, 1.5, 1.0
MOST_DATES = 3
# Runs of a system below which its course is a table only: of fewer points a line shows nothing.
FEWEST_RUNS = 5
# Characters of a title that fit the width, and of an axis that fit a panel's height.
LONGEST_LINE, LONGEST_AXIS = 48, 20
RC: dict[Any, Any] = {
    # Without a salt of our own the ids in the SVG are random, and no two drawings are the same.
    "svg.hashsalt": "stabench",
    "font.size": 9,
    "font.family": "DejaVu Sans",
    # A label with two dollar signs would be set as a formula, or fail as one.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
}


def list_drawable(traced: Sequence[Series]) -> list[Series]:
    """Return the series that have runs enough to be drawn."""
    return [series for series in traced if len(series.points) >= FEWEST_RUNS]


def draw(metric: Column, traced: Sequence[Series]) -> bytes:
    """Return the SVG of a metric, one panel below another for each system.

    Raises StabenchError with nothing to draw.
    """
    if not traced:
        raise StabenchError(f"history: no record has {metric.key}; nothing to draw")
    import matplotlib
    from matplotlib.figure import Figure

    # Whatever a user's matplotlibrc says, the bytes are the same.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        figure = Figure(figsize=(WIDTH_IN, HEAD_IN + PANEL_IN * len(traced)), layout="constrained")
        _compose_figure(figure, metric, traced)
        out = io.BytesIO()
        # Date and version of matplotlib would make the bytes others.
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _follow_theme(out.getvalue())


def _compose_figure(figure: "Figure", metric: Column, traced: Sequence[Series]) -> None:
    """Put title, panels and dates on the figure; runs are evenly spaced in order of time."""
    runs = sorted({(point.at, point.run) for series in traced for point in series.points})
    places = {run: place for place, (_, run) in enumerate(runs)}
    unit = f" ({metric.unit})" if metric.unit else ""
    figure.suptitle(_fit_title(f"{metric.label}{unit}, {metric.better} is better"), fontsize=9)
    panels = figure.subplots(len(traced), 1, sharex=True, squeeze=False)[:, 0]
    for panel, series in zip(panels, traced, strict=True):
        for stretch in series.stretches:
            _draw_stretch(panel, stretch, places)
        panel.set_title(_fit_title(series.label), loc="left", fontsize=9)
        panel.set_ylabel(_fit_title(f"{metric.label}{unit}", LONGEST_AXIS), fontsize=8)
        panel.set_xlim(-0.7, len(places) - 0.3)
        # Room above the line for the p of a change point.
        panel.margins(y=0.2 if any(stretch.changes for stretch in series.stretches) else 0.05)
        panel.grid(axis="y")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    # Rounded up, so that no more than MOST_DATES are written.
    step = -(-len(runs) // MOST_DATES)
    panels[-1].set_xlabel("run, in order of time (date)", fontsize=8)
    panels[-1].set_xticks(range(0, len(runs), step), [f"{at:%Y-%m-%d}" for at, _ in runs[::step]])


def _draw_stretch(panel: "Axes", stretch: Stretch, places: dict[str, int]) -> None:
    """Draw one stretch: no line leaves it. What has no interval is drawn without one."""
    points = stretch.points
    along = [places[point.run] for point in points]
    # Half a place before its first run: the rule marks what changed between two runs.
    if stretch.why:
        panel.axvline(along[0] - 0.5, color=INK, linewidth=1, linestyle=":", gid="break")
    known = [
        (place, point.estimate.low, point.estimate.high)
        for place, point in zip(along, points, strict=True)
        if point.estimate.low is not None and point.estimate.high is not None
    ]
    if known:
        panel.vlines(*zip(*known, strict=True), color=SERIES, linewidth=0.9, gid="intervals")
    panel.plot(
        along, [point.value for point in points], color=SERIES,
        marker="o", markersize=3.5, linewidth=1.2, gid="stretch",
    )  # fmt: skip
    for change in stretch.changes:
        place = along[change.index] - 0.5
        panel.axvline(place, color=CHANGE, linewidth=1, linestyle="--", gid="change")
        panel.annotate(
            f"p {change.p_value:.4f}", (place, 1), xycoords=panel.get_xaxis_transform(),
            xytext=(3, -2), textcoords="offset points", va="top", color=CHANGE,
        )  # fmt: skip


def _fit_title(text: str, width: int = LONGEST_LINE) -> str:
    """Return a title in at most two lines of `width` characters."""
    return textwrap.fill(plain(text), width, max_lines=2, placeholder=" …")


def _follow_theme(svg: bytes) -> bytes:
    """Add a style by which a browser swaps every colour for its dark counterpart.

    Matplotlib writes colours into `style` attributes, so the rules look for them there. A viewer
    without style sheets shows the light drawing.
    """
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}: {dark} !important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    style = f"<style>@media (prefers-color-scheme: dark){{{''.join(rules)}}}</style>\n"
    head, tag, rest = svg.partition(b" <defs>\n")
    if not tag:
        raise AssertionError("matplotlib writes its style first, within <defs>")
    return head + b" " + style.encode() + tag + rest
