"""LaTeX: the table as booktabs, which no name can break and which compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.harness.render.escape import LONGEST, escape_latex, shorten_latex
from stabench.harness.report import latex as module
from stabench.harness.report.latex import About, latex, to_latex
from stabench.harness.report.ranking import Mark, Marks, marks
from stabench.harness.report.table import Table, tabulate
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

EVIL = (
    "\\input{/etc/passwd}$x^2$ {a_b} & 50% #1 ~ \x1b[31m\nred\u202e <b> [x] * -- 猫 é \u0301 ``q''"
)
SYSTEMS = (
    ("cascade", "cascade", EVIL),
    ("star", "end-to-end", "[0.1] STAR"),
    ("oracle", "oracle", "*" * 300),
)
ENGINE = shutil.which("pdflatex") or shutil.which("tectonic")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("run")
    metrics = {"sanity": ["other-half", "noise"]}
    made = FakeRun(
        root, n=51, systems=SYSTEMS, failed={"star": ["clip005"]}, metrics=metrics
    ).make()
    score_run(made.path)
    return Results.read(made.path)


@pytest.fixture(scope="module")
def table(run: Results) -> Table:
    return tabulate(run)


def preamble() -> str:
    """The document of the module's docstring."""
    block = module.__doc__.split("\n\n")[2]
    return "\n".join(line.strip() for line in block.splitlines()) + "\n"


def compiled(folder: Path, tex: str) -> str:
    """The log of the engine for the documented document. Fails when there is no PDF."""
    (folder / "report.tex").write_text(tex, "ascii")
    (folder / "doc.tex").write_text(preamble(), "ascii")
    strict = ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
    command = [ENGINE, *(strict if ENGINE.endswith("pdflatex") else ["--keep-logs"]), "doc.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = (folder / "doc.log").read_text("utf-8", "replace") if done.returncode == 0 else ""
    assert done.returncode == 0, done.stdout[-3_000:].decode(errors="replace")
    assert (folder / "doc.pdf").stat().st_size > 10_000
    return log


def test_the_documented_preamble_has_six_lines():
    assert len(preamble().splitlines()) == 6
    assert r"\input{report.tex}" in preamble()


@pytest.mark.skipif(ENGINE is None, reason="neither pdflatex nor tectonic is here")
def test_it_compiles_alone_and_fits_the_page(run, table, tmp_path):
    log = compiled(tmp_path, latex(run, table))
    assert "Overfull" not in log


@pytest.mark.skipif(ENGINE is None, reason="neither pdflatex nor tectonic is here")
def test_characters_of_every_kind_compile(table, tmp_path):
    kinds = "".join(map(chr, [*range(0x20, 0x250), *range(0x2010, 0x2060), 0x4E2D, 0x1F600]))
    rows = [table.rows[0]._replace(label=kinds[i : i + 60]) for i in range(0, len(kinds), 60)]
    tex = to_latex(table._replace(rows=rows), marks(table, []), About(kinds, "x", (kinds,)))
    compiled(tmp_path, tex)


def test_names_are_only_text(run, table):
    tex = latex(run, table)
    assert tex.isascii()
    assert "\\input" not in tex
    assert r"\textbackslash{}input\{/etc/passwd\}" in tex
    assert not re.search(r"\\\\\s*[\[*](?!2pt)", tex)
    assert "U+732B" in tex
    assert "\\'{e}" in tex
    assert "*" * 81 not in tex.replace("{*}", "*")


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_ascii_with_balanced_braces_and_no_free_special(text):
    tex = escape_latex(text)
    assert tex.isascii()
    bare = re.sub(r"\\[{}$&#%_]", "", tex)
    assert bare.count("{") == bare.count("}")
    known = {"textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater"}
    commands = set(re.findall(r"\\([a-zA-Z]+)", bare))
    kernel = "textbar|pm|times|cdot|circ|mu|infty|uparrow|downarrow|rightarrow|leq|geq|dagger|ldots"
    kernel += "|ss|ae|AE|oe|OE|o|O|l|L|u|v|H|r|c|d|S"
    assert commands <= known | set(kernel.split("|"))
    assert not re.search(r"[&#%]", bare)


def test_escapes_say_what_was_there():
    assert escape_latex("a_b & 50%") == r"a\_b \& 50\%"
    assert escape_latex("a--b") == "a-{}-b"
    assert escape_latex("\N{MINUS SIGN}1.5 \N{PLUS-MINUS SIGN} 2") == r"$-$1.5 $\pm$ 2"
    assert escape_latex("Zoë Łódź") == "Zo\\\"{e} \\L{}\\'{o}d\\'{z}"
    assert escape_latex("猫") == "{[}U+732B{]}"
    assert shorten_latex("x" * LONGEST) == "x" * LONGEST
    assert shorten_latex("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + r"\ldots{}"


def test_the_form_is_that_of_the_paper_s_table(run, table):
    tex = latex(run, table)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){3-4}"):
        assert rule in tex
    heads = (
        tex.index("Processing (ms)"),
        tex.index("FAD $\\downarrow$"),
        tex.index("REL $\\uparrow"),
    )
    assert sorted(heads) == list(heads)
    groups = [tex.index(rf"\textit{{{name}}}") for name in ("Cascade", "End to end", "Oracle")]
    assert sorted(groups) == groups
    assert "Sanity" not in tex
    assert "& 50/51 &" in tex


def test_values_carry_spread_interval_and_marks_and_dashes_their_notes(run, table):
    tex = latex(run, table)
    star = next(row for row in table.rows if row.system == "star")
    time = star.cells["processing"]
    digits = next(column.digits for column in table.columns if column.key == "processing")
    assert rf"$\pm$ {time.sd:.{digits}f}" in tex
    assert f"{{[}}{time.low:.{digits}f}, {time.high:.{digits}f}{{]}}" in tex
    paired = (*run.paired, *run.paired_latencies)
    best = {key for (_, key), mark in marks(table, paired).cells.items() if mark.best}
    assert tex.count(r"\textbf{") >= len(best) > 0
    letters = set(re.findall(r"--\$\^\{(\w)\}\$", tex))
    assert "a" in letters
    for letter in letters:
        assert tex.count(f"$^{{{letter}}}$ ") >= 1
    assert "not measured, needs listeners" in tex
    assert "stabench" in tex.split(r"\bottomrule")[1]


def test_the_best_is_bold_and_the_worse_has_a_dagger(table):
    rows = [row for row in table.rows if row.paradigm != "oracle"]
    found = Marks({("cascade", "fd"): Mark(worse=True), ("star", "fd"): Mark(best=True)})
    tex = to_latex(table._replace(rows=rows), found, About("T", "t"))
    cascade, star = (f"{row.cells['fd'].value:.2f}" for row in rows[:2])
    assert rf"& {cascade}$^{{\dagger}}$ &" in tex
    assert rf"& \textbf{{{star}}} &" in tex
    assert tex.count(r"\textbf") == 1


def test_intervals_and_sanity_rows_are_options(run, table):
    about = About("T", "a b/c")
    bare = to_latex(table, marks(table, []), about, intervals=False)
    assert "scriptsize {[}" not in bare
    assert "In brackets" not in bare
    assert r"\label{tab:a-b-c}" in bare
    assert "White noise" in to_latex(table, marks(table, []), about, sanity=True)
