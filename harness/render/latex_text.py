"""Text for LaTeX: any string as ASCII that every engine prints and none runs."""

import unicodedata

from stabench.harness.formatting import plain

LONGEST = 80
"""Characters of a name that are printed; a table is no place for more."""

ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{''}",
    "`": r"\`{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
"""What LaTeX would read as a command or the argument of one."""
LIGATURES = "-,'"
"""Characters that LaTeX joins when they come in pairs."""

SYMBOLS = {
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{MINUS SIGN}": "$-$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{DEGREE SIGN}": r"$^{\circ}$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{INFINITY}": r"$\infty$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{DAGGER}": r"$^{\dagger}$",
    "\N{LEFT SINGLE QUOTATION MARK}": "{`}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "{'}",
    "\N{LEFT DOUBLE QUOTATION MARK}": "{``}",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "{''}",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}

ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING CEDILLA}": "c",
    "\N{COMBINING DOT BELOW}": "d",
}
"""Accents of LaTeX's kernel, for any encoding of fonts."""


def escaped(text: str) -> str:
    """One line that LaTeX prints as it is: what has no command is named, such as {[}U+732B{]}."""
    line = unicodedata.normalize("NFC", plain(text))
    pairs = zip(line, " " + line, strict=False)
    return "".join(_character(one, before) for one, before in pairs)


def shortened(text: str) -> str:
    """The same, at most LONGEST characters of it."""
    return escaped(cut(text))


def cut(text: str) -> str:
    """At most LONGEST characters of a line, before it is escaped."""
    line = plain(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _character(one: str, before: str) -> str:
    known = ASCII.get(one) or SYMBOLS.get(one)
    if known:
        return known
    if one.isascii():
        return f"{{}}{one}" if one == before and one in LIGATURES else one
    base, *marks = tuple(unicodedata.normalize("NFD", one))
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in ACCENTS:
        return f"\\{ACCENTS[marks[0]]}{{{base}}}"
    return f"{{[}}U+{ord(one):04X}{{]}}"
