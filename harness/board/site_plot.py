"""Small plots of a series for a page: SVG with classes only, coloured by the page's style."""

from collections.abc import Iterator
from html import escape

from harness.board.history_series import Series, Stretch

WIDTH, HEIGHT, MARGIN = 320, 64, 6


class Canvas:
    """From a run's number and a value to a place on the drawing, in its units."""

    def __init__(self, series: Series) -> None:
        points = series.points
        ends = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
        self._low, self._spread = min(ends), (max(ends) - min(ends)) or 1.0
        self._runs = len(points)

    def x(self, index: float) -> str:
        """Across: `index` counts the runs of the series."""
        step = (WIDTH - 2 * MARGIN) / max(self._runs - 1, 1)
        place = MARGIN + step * index if self._runs > 1 else WIDTH / 2
        return f"{place:.1f}"

    def y(self, value: float) -> str:
        """Down."""
        share = (value - self._low) / self._spread
        return f"{HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share:.1f}"


def drawing(series: Series, label: str) -> str:
    """The SVG of a series; `label` is what a screen reader says of it."""
    canvas, first = Canvas(series), 0
    parts: list[str] = []
    for stretch in series.stretches:
        parts += _stretch(canvas, stretch, first)
        first += len(stretch.points)
    return (
        f'<svg class="series" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _stretch(canvas: Canvas, stretch: Stretch, first: int) -> Iterator[str]:
    """Marks, intervals, a line and dots; the line ends with the stretch."""
    if stretch.why:
        yield _rule(canvas, first - 0.5, "gap")
    for change in stretch.changes:
        yield _rule(canvas, first + change.index - 0.5, "change")
    places = [(canvas.x(first + i), point) for i, point in enumerate(stretch.points)]
    for x, point in places:
        if point.low is not None and point.high is not None:
            low, high = canvas.y(point.low), canvas.y(point.high)
            yield f'<line class="ends" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
    path = " ".join(f"{x},{canvas.y(point.value)}" for x, point in places)
    yield f'<polyline class="line" points="{path}"/>' if len(places) > 1 else ""
    yield from (
        f'<circle class="dot" cx="{x}" cy="{canvas.y(point.value)}" r="2"/>' for x, point in places
    )


def _rule(canvas: Canvas, index: float, name: str) -> str:
    x = canvas.x(index)
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}"/>'
