"""The curves of a training as a picture, drawn from its log."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from stabench.systems.training.log import read_log

PANEL_INCHES = (7.0, 2.4)
# Of the log, none is a result by itself.
ASIDE = ("step", "seconds_per_step", "samples_per_s")


def plot_curves(log: Path, target: Path, names: Sequence[str] = ("fad", "clap")) -> None:
    """Draw `names` of a training log over its steps, one above the other; PNG or SVG by suffix.

    Raises ValueError for a name that the log holds no number of.
    """
    from matplotlib.figure import Figure

    lines = read_log(log)
    known = dict.fromkeys(key for line in lines for key in line if key not in ASIDE)
    points = {
        name: [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        for name in names
    }
    for name, values in points.items():
        if not values:
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}" if near else f"there are {', '.join(known)}"
            raise ValueError(f"{log}: no {name!r} in it; {advice}")
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(points)), layout="constrained")
    panels = figure.subplots(len(points), sharex=True, squeeze=False)[:, 0]
    for panel, (name, values) in zip(panels, points.items(), strict=True):
        panel.plot(*zip(*values, strict=True), marker="o", markersize=3, linewidth=1)
        panel.set_ylabel(name)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("training steps")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
