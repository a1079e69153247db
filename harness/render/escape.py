"""Text in each format: any string, whoever wrote it, so that it is printed as it is.

One function for each format: a text is escaped by it once, where a cell or a sentence is printed.
All of them make it plain first (formatting.plain): one line, without control characters, terminal
escapes and marks that reorder text. The terminal needs no more.
"""

import json
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabench.harness.formatting import plain

if TYPE_CHECKING:
    from jinja2 import Environment

# Characters that Markdown (GitHub's) may read as markup.
MARKDOWN = set("\\`*_{}[]<>|#~$@&")
# What makes a list or a rule of a line that begins with it: a dash, a plus, a number's dot.
MARKER = re.compile(r"(\d*)([-+.)])(?= |$|[-+])")


def escape_markdown(text: str) -> str:
    """Return text that Markdown prints as it is, within a cell or after other text.

    >>> print(escape_markdown("a|b <i>"))
    a\\|b \\<i\\>
    """
    # Blanks at the ends are nothing in Markdown, and would keep stars beside them from being bold.
    return "".join(f"\\{c}" if c in MARKDOWN else c for c in plain(text).strip())


def escape_markdown_line(text: str) -> str:
    """Return the same for a paragraph or a list's point: what begins a line begins no list.

    >>> print(escape_markdown_line("1. STAR - a system"))
    1\\. STAR - a system
    """
    line = escape_markdown(text)
    marker = MARKER.match(line)
    if marker is None or bool(marker[1]) != (marker[2] in ".)"):
        return line
    return f"{marker[1]}\\{line[len(marker[1]) :]}"


# What a spreadsheet may run when a text cell begins with it.
FORMULA = tuple(
    "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
    "\N{FULLWIDTH COMMERCIAL AT}"
)


def escape_csv(text: str) -> str:
    """Return text that no spreadsheet runs as a formula; quotes and commas are the writer's.

    >>> escape_csv("=1+1")
    "'=1+1"
    """
    line = plain(text)
    return f"'{line}" if line.lstrip().startswith(FORMULA) else line


def load_templates(*folders: Path) -> "Environment":
    """Return the templates of folders, which escape every text and make it plain.

    A template may import one of another of the folders. What it is to print as it is (a sheet, a
    script, JSON for a script) it marks `safe`. A filter `plain` is for texts that go into an
    address.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        # A line of a template that is only a tag leaves no line in the page.
        trim_blocks=True,
        lstrip_blocks=True,
        # What is marked safe is a subclass of str, and keeps its line breaks.
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    templates.filters["plain"] = plain
    return templates


# Within JSON these characters occur in strings only, where the escape means the same.
SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def encode_script_json(value: Any) -> str:
    """Return `value` as JSON for a script element: no markup in it, and its texts plain.

    Raises ValueError for what is no JSON, such as NaN.
    """
    # NaN is no JSON: a browser would refuse the whole page for it.
    text = json.dumps(
        _make_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.translate(SCRIPT)


def _make_plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): _make_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(item) for item in value]
    return value


# Characters of a name that LaTeX prints; its table is no place for more.
LONGEST = 80

# What LaTeX would read as a command or the argument of one.
LATEX_ASCII = {
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
# Characters that LaTeX joins when they come in pairs.
LATEX_LIGATURES = "-,'"

LATEX_SYMBOLS = {
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
    "\N{SECTION SIGN}": r"\S{}",
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

# Accents of LaTeX's kernel, for any encoding of fonts.
LATEX_ACCENTS = {
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


def escape_latex(text: str) -> str:
    """Return ASCII that every engine of LaTeX prints as the text, in one line, and none runs.

    A character without a command is named, such as {[}U+732B{]}.
    """
    # Composed, a letter and its accent have a command; apart, the accent would only be named.
    line = unicodedata.normalize("NFC", plain(text))
    pairs = zip(line, " " + line, strict=False)
    return "".join(_escape_character(character, before) for character, before in pairs)


def shorten_latex(text: str) -> str:
    """Return the same, at most LONGEST characters of it."""
    return escape_latex(cut(text))


def cut(text: str) -> str:
    """Return at most LONGEST characters of a line, before it is escaped."""
    line = plain(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _escape_character(character: str, before: str) -> str:
    command = LATEX_ASCII.get(character) or LATEX_SYMBOLS.get(character)
    if command:
        return command
    if character.isascii():
        # Braces keep the second of a pair apart: two dashes stay two dashes.
        paired = character == before and character in LATEX_LIGATURES
        return f"{{}}{character}" if paired else character
    base, *marks = tuple(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in LATEX_ACCENTS:
        return f"\\{LATEX_ACCENTS[marks[0]]}{{{base}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"
