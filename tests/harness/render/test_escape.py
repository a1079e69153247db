"""Hostile texts in every format: printed as they were written, escaped once and not twice.

What a format makes of a text is read back by a reader of that format that is not ours.
"""

import csv
import io
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console

from stabench.harness.formatting import plain
from stabench.harness.render.escape import (
    LATEX_ASCII,
    LONGEST,
    escape_latex,
    escape_markdown,
    escape_markdown_line,
    load_templates,
    shorten_latex,
)
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.render.terminal import print_page
from stabench.harness.report.report import to_csv
from stabench.harness.report.table import Row, Table
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.speech_to_audio import TASK, Column
from tests.harness.render.hostile import HOSTILE
from tests.harness.report.html.parsed import Element, parsed

TEXTS = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def squeezed(text: str) -> str:
    """The text as a browser shows it: blanks at its ends are nothing, several are one."""
    return " ".join(plain(text).split())


def page_of(text: str) -> Page:
    """A page that has the text wherever it can have one."""
    heads = (Head(text), Head(text, "numbers"), Head("key"))
    lines = (
        Line((Printed(text, text, strong=True), Printed(text), Printed("1"))),
        Line((Printed(text), Printed(text, text), Printed("2")), quiet=True),
        Line(heading=text or "group"),
        Line((Printed("a"), Printed("b"), Printed("c"))),
    )
    section = Section("s", text, (text, f"{text}: said"), Grid(heads, lines), (text, f"{text}: x"))
    return Page(text, text, (section,))


def read_markdown(text: str) -> Element:
    """The document that a renderer of GitHub's Markdown makes; fails where it is not closed."""
    rendered = READER.render(text).replace("<br>", " ").replace("<hr />", "<hr></hr>")
    return parsed(f"<main>{rendered}</main>").one("main")


@TEXTS
def test_markdown_prints_what_was_written(text):
    shown = squeezed(text)
    page = read_markdown(to_markdown(page_of(text)))
    tags = {element.tag for element in page.all()}
    known = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert tags <= known | {"strong", "em", "sub"}
    assert [squeezed(e.text) for tag in ("h1", "h2") for e in page.all(tag)] == [shown, shown]
    paragraphs = [squeezed(e.text) for e in page.children if e.tag == "p"]
    assert paragraphs == [*[shown] * (2 if shown else 0), squeezed(f"{text}: said")]
    points = [squeezed(e.text) for e in page.all("li")]
    assert points == [shown, squeezed(f"{text}: x")]
    rows = [[squeezed(cell.text) for cell in row.children] for row in page.all("tr")]
    twice = squeezed(f"{shown} {shown}")
    assert rows == [
        [shown, shown, "key"],
        [twice, shown, "1"],
        [shown, twice, "2"],
        [shown or "group", "", ""],
        ["a", "b", "c"],
    ]
    emphasised = [squeezed(e.text) for tag in ("strong", "em") for e in page.all(tag)]
    # Strong: a cell and a heading. Quiet: the three cells of its line.
    assert emphasised == ([shown] * 4 + ["2"] if shown else ["group", "2"])


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x2FF)))
def test_markdown_prints_any_text(text):
    """Also where it begins a line; marks of emphasis and lists are most of what is drawn here."""
    for escape in (escape_markdown, escape_markdown_line):
        element = read_markdown(f"x {escape(text)} x")
        assert squeezed(element.text) == squeezed(f"x {text} x")
    assert squeezed(read_markdown(escape_markdown_line(text)).text) == squeezed(text)


@pytest.mark.parametrize("text", ["12 clips", "1.5 s", "-1", "a - b", "10.", "v1. x"])
def test_what_begins_no_list_is_left_alone(text):
    assert escape_markdown_line(text) == ("10\\." if text == "10." else text)


@TEXTS
def test_html_prints_what_was_written(text, tmp_path):
    source = (
        '<p title="{{ text }}">{{ text }}</p>{% for one in [text] %}<i>{{ one }}</i>{% endfor %}'
    )
    (tmp_path / "page.html").write_text(source)
    page = parsed(load_templates(tmp_path).get_template("page.html").render(text=text))
    assert [element.tag for element in page.all()] == ["p", "i"]
    assert [element.text for element in page.all()] == [plain(text)] * 2
    assert page.one("p").attributes == {"title": plain(text)}


def test_html_leaves_what_is_marked_safe_alone(tmp_path):
    (tmp_path / "page.html").write_text("<style>{{ sheet|safe }}</style>")
    made = load_templates(tmp_path).get_template("page.html").render(sheet="a > b {\n}")
    assert made == "<style>a > b {\n}</style>"


def table_of(text: str) -> Table:
    cell = Estimate.missing(text)
    listeners = Column(text or "ovl", text, "", "higher", 2, "listeners")
    return Table((listeners,), [Row(text, text, "cascade", 3, 0, {listeners.key: cell})], TASK)


@TEXTS
def test_csv_is_read_back_and_no_cell_is_a_formula(text):
    heads, row = csv.reader(io.StringIO(to_csv(table_of(text))))
    # A quote before it is how a spreadsheet takes a cell for text.
    quote = "'" if re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", text) else ""
    assert row == [quote + plain(text)] * 2 + ["cascade", "3", "0", quote + plain(text), "", ""]
    key = plain(text or "ovl")
    assert heads[5:] == [f"{quote}{key}", f"{quote}{key}_low", f"{quote}{key}_high"]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")) for cell in row)


@TEXTS
@pytest.mark.parametrize("colour", [False, True])
def test_the_terminal_prints_what_was_written_and_obeys_none_of_it(text, colour):
    stream = io.StringIO()
    how = {"force_terminal": True, "color_system": "standard"} if colour else {}
    print_page(page_of(text), Console(file=stream, width=2_000, highlight=False, **how))
    printed = stream.getvalue()
    # Bold, dim, italic and underlined, as the page asks for; no colour.
    bare = re.sub("\x1b\\[[0-4](;[0-4])*m", "", printed)
    assert not {c for c in bare if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co")} - {"\n"}
    lines = [" ".join(line.split()) for line in bare.splitlines()]
    # The title, the lead, the section's title, a paragraph.
    assert lines.count(squeezed(text)) >= 4
    assert f"- {squeezed(text)}".strip() in lines
    assert " ".join(f"{plain(text)}: said".split()) in lines
    rows = bare.split(": said")[1]
    # Folded, as the first column is, a name keeps all its characters.
    assert "".join(plain(text).split()) in "".join(rows.split()) or len(text) > 30


@TEXTS
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_folds_names_and_drops_nothing_of_them(text, width):
    """A gate's page has three columns of texts, the last with a reason under its verdict."""
    heads = (Head("A"), Head("B"), Head("C"), Head("n", "numbers"))
    cells = (Printed(text), Printed(text), Printed("same", text), Printed("12345"))
    page = Page("", "", (Section("s", "", grid=Grid(heads, (Line(cells),))),))
    stream = io.StringIO()
    print_page(page, Console(file=stream, width=width, highlight=False))
    printed = stream.getvalue()
    assert max(map(cell_len, printed.splitlines())) <= width
    assert "12345" in printed
    characters = Counter("".join(printed.split()).replace("\N{BOX DRAWINGS LIGHT HORIZONTAL}", ""))
    assert characters == Counter("ABCnsame12345" + 3 * "".join(plain(text).split()))


LATEX = {
    "pipe": r"a\textbar{}b \textbar{}\textbar{} c",
    "backslash": r"a\textbackslash{}b \textbackslash{}\textbar{} c\textbackslash{}",
    "script": r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{}",
    "entity": r"\&amp; \&copy; \&\#60;b\&\#62; R\&D",
    "template": r"\{\{ 7{*}7 \}\} \{\% raw \%\}",
    "dollar": r"\$x\textasciicircum{}2\$ costs \$5",
    "underscore": r"my\_system\_v2 \_\_init\_\_ {*}bold{*} {*}{*}x{*}{*}",
    "percent": r"100 \% of \#1 \textasciitilde{} x\textasciicircum{}2",
    "newline": r"first second  \textbar{} third fourth",
    "control": "a{[}31m red 2J",
    "direction": "abcgpj.exex",
    "emoji": "{[}U+1F436{]} {[}U+1F468{]}{[}U+1F469{]} dog",
    "accents": "Zo\\\"{e} \\L{}\\'{o}d\\'{z} {[}U+732B{]} \\'{e}",
    "latex": r"\textbackslash{}input\{/etc/passwd\} \{x\} \textbackslash{}end\{document\}",
    "option": "{[}2pt{]} {*} star",
    "ligatures": "-{}- -{}-{}- ,{}, '{}'",
    "attribute": "{''} onclick={''}alert(1){''} '",
    "code": r"\`{}rm\`{} \`{}\`{}\`{}sh\textasciitilde{}\textasciitilde{}\textasciitilde{}",
    "nothing": "",
}


@pytest.mark.parametrize("name", LATEX)
def test_latex_prints_what_was_written(name):
    assert escape_latex(HOSTILE[name]) == LATEX[name]


@TEXTS
def test_latex_is_read_back(text):
    """The commands undone by a table of what each prints; what has none is named by its number."""
    printed = {command: character for character, command in LATEX_ASCII.items()}
    printed |= {"\\L{}": "\u0141", "{}": ""}
    accents = {"'": "\u0301", '"': "\u0308"}
    line = escape_latex(text)
    line = re.sub(
        r"""\\(['"])\{(\w)\}""",
        lambda m: unicodedata.normalize("NFC", m[2] + accents[m[1]]),
        line,
    )
    line = re.sub(r"\{\[\}U\+([0-9A-F]{4,6})\{\]\}", lambda m: chr(int(m[1], 16)), line)
    pattern = "|".join(map(re.escape, sorted(printed, key=len, reverse=True)))
    read = re.sub(pattern, lambda m: printed[m[0]], line)
    assert read == unicodedata.normalize("NFC", plain(text))
    assert len(re.sub(pattern, "x", shorten_latex(text).replace("\\ldots{}", "x"))) <= LONGEST
