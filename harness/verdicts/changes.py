"""Changes as they are printed: old and new, the difference with its interval, p."""

from harness.figures import decimals, figure, interval
from harness.page import Printed
from harness.verdicts.verdict import Line


def ends(line: Line) -> tuple[str, str]:
    """Old and new; times in milliseconds."""
    old, new = line.change.old, line.change.new
    if line.block == "quality":
        return figure(old, line.digits), figure(new, line.digits)
    digits = decimals([old / 1e6, new / 1e6])
    return f"{figure(old / 1e6, digits)} ms", f"{figure(new / 1e6, digits)} ms"


def change(line: Line) -> Printed:
    """The change, of a time in percent, and its interval under it."""
    found = (line.change.change, line.change.low, line.change.high)
    if line.block != "quality":
        value, low, high = (100 * (end - 1) for end in found)
        return Printed(f"{signed(value, 1)} %", interval(low, high, 1))
    value, low, high = found
    digits = max(line.digits, decimals([high - low], least_figures=2))
    return Printed(signed(value, digits), interval(low, high, digits))


def signed(value: float, digits: int) -> str:
    """A figure with a plus sign where it is above 0 as printed."""
    text = figure(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def p(value: float) -> str:
    """Three decimals, or that it is smaller."""
    return "< 0.001" if value < 0.001 else figure(value, 3)
