"""Figures as they are printed: digits, true minus signs, intervals, and text that cannot bite."""

import re
import unicodedata
from math import floor, log10

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
# Printed where there is no number.
NOTHING = "\N{EN DASH}"


def figure(value: float, digits: int) -> str:
    """Return a number with `digits` decimals, a real minus sign, and never a negative zero.

    >>> figure(-0.001, 2), ascii(figure(-1.5, 1))
    ('0.00', "'\\\\u22121.5'")
    """
    text = f"{value:.{digits}f}"
    if text.startswith("-") and not text.strip("-0."):
        text = text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None, digits: int) -> str:
    """Return the ends of an interval in brackets, or nothing when there is none."""
    if low is None or high is None:
        return ""
    return f"[{figure(low, digits)}, {figure(high, digits)}]"


def is_zero(low: float, high: float, digits: int) -> bool:
    """Return whether an interval is printed as zeros: it differs from 0 by rounding only."""
    return {figure(low, digits), figure(high, digits)} == {figure(0.0, digits)}


def decimals(values: list[float], least_figures: int = 3, most: int = 4) -> int:
    """Return decimals that give the smallest value `least_figures` significant ones (0 to most).

    >>> decimals([265.83, 35.93]), decimals([2.76]), decimals([0.0123]), decimals([])
    (1, 2, 4, 2)
    """
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return least_figures - 1
    return min(max(least_figures - 1 - floor(log10(min(sizes))), 0), most)


def plain(text: str) -> str:
    """Return one line without control characters, terminal escapes or marks that reorder text.

    >>> plain("a\\x1b[31m red\\nline")
    'a[31m red line'
    """
    spaced = "".join(" " if c.isspace() else c for c in text)
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


def replace_unwritable(text: str) -> str:
    """Return a text that every reader of UTF-8 takes: lone surrogates and NUL become U+FFFD.

    >>> replace_unwritable("caf\\udce9")
    'caf\ufffd'
    """
    return _UNWRITABLE.sub("\ufffd", text)


def counted(n: int, what: str) -> str:
    """Return a number and its noun.

    >>> counted(1, "clip"), counted(3, "clip")
    ('1 clip', '3 clips')
    """
    return f"{n} {what}" + ("" if n == 1 else "s")
