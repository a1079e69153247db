r"""LaTeX: the table of a report in the form of the paper's Table 2, as a `table*` of booktabs.

It is ASCII and needs booktabs and graphicx. A document that shows it alone:

    \documentclass{article}
    \usepackage[a4paper,landscape,margin=15mm]{geometry}
    \usepackage{booktabs,graphicx}
    \begin{document}
    \input{report.tex}
    \end{document}
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from stabench.harness.formatting import figure, interval
from stabench.harness.render.escape import cut
from stabench.harness.render.escape import escape_latex as escaped
from stabench.harness.render.escape import shorten_latex as shortened
from stabench.harness.report.method import DIGEST, lead
from stabench.harness.report.ranking import Marks, explain, find_marks
from stabench.harness.report.table import Row, Table
from stabench.harness.runs.results import Results
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import DERIVED, NOT_MEASURED, Column, heading

BLOCKS = {"latency": "Latency", "quality": "Objective metrics", "listeners": "Subjective metrics"}
# The columns after the paper's.
FURTHER = "Further metrics"
ABSENT = "--"
UNHEARD = f"{NOT_MEASURED}, needs listeners"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class About(NamedTuple):
    """What stands around a table: its title, a name for \\ref, and sentences of provenance."""

    title: str
    name: str
    sentences: tuple[str, ...] = ()


def latex(results: Results, table: Table) -> str:
    """report.tex of a run or of scores."""
    # Sentences under the table name systems, and are to be no longer than its cells allow.
    rows = [row._replace(label=cut(row.label)) for row in table.rows]
    # The paper's table has the phases alone, without what follows from them.
    columns = tuple(column for column in table.columns if column.key not in DERIVED)
    short = table._replace(rows=rows, columns=columns)
    return to_latex(short, find_marks(results, short), about(results))


def to_latex(
    table: Table, marks: Marks, about: About, *, intervals: bool = True, sanity: bool = False
) -> str:
    """The table, its caption above it and its notes below.

    `intervals` puts the 95 % interval of each value in a smaller line under it; `sanity` adds the
    sanity rows.
    """
    rows = [row for row in table.rows if sanity or not row.is_sanity]
    notes = _letter_reasons(rows, table.columns)
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        f"\\caption{{{_write_caption(table, marks, about, intervals)}}}",
        f"\\label{{tab:{re.sub('[^a-z0-9]+', '-', about.name.lower()).strip('-') or 'run'}}}",
        r"\par\smallskip\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        # Shrunk to the width of the page where it is wider, but never enlarged.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"\\begin{{tabular}}{{lc{'c' * len(table.columns)}}}",
        r"\toprule",
        *_write_heads(table.columns),
        r"\midrule",
        *_write_body(table._replace(rows=rows), marks, notes, intervals),
        r"\bottomrule",
        r"\end{tabular}}",
        *_write_notes(rows, notes, (*marks.open, *about.sentences)),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def about(results: Results) -> About:
    """Title, name and provenance of the results."""
    suite = results.run.suite if results.run else None
    title = (suite.title or suite.name) if suite else f"Scores of {results.folder.name}"
    sentences = [lead(results)]
    if results.metrics:
        shared = results.metrics.provenance
        networks = ", ".join(
            f"{role}: {network.name} ({network.origin}, sha256 {network.sha256[:DIGEST]})"
            for role, network in shared.embedders.items()
        )
        sentences += [f"Protocol {shared.protocol.title}; {networks}."]
        sentences += [f"{note}." for note in results.metrics.notes]
    versions = results.metrics.provenance.versions if results.metrics else {}
    git = results.run.record.environment.git if results.run else None
    # A version names a release; only the commit names the code of a run between two of them.
    commit = f", commit {git.commit[:DIGEST]}{' with changes' if git.dirty else ''}" if git else ""
    sentences += [f"stabench {versions.get('stabench', 'of unknown version')}{commit}."]
    return About(title, suite.name if suite else results.folder.name, tuple(sentences))


def _write_caption(table: Table, marks: Marks, about: About, intervals: bool) -> str:
    spread = any(cell.sd is not None for row in table.rows for cell in row.cells.values())
    parts = [
        f"{about.title}.",
        "Times are mean \N{PLUS-MINUS SIGN} standard deviation." if spread else "",
        "In brackets: 95 % interval over clips (of a time, of its mean)." if intervals else "",
        *explain(table, marks),
    ]
    return escaped(" ".join(filter(None, parts)))


def _write_heads(columns: Sequence[Column]) -> Iterator[str]:
    """Blocks of columns over a rule each, then the columns."""
    blocks = [(block, len(list(group))) for block, group in groupby(c.block for c in columns)]
    # The paper's table has three blocks; the suite's own columns follow, again in one of quality.
    names = [FURTHER if at > 2 else BLOCKS[block] for at, (block, _) in enumerate(blocks)]
    spans = (
        f"\\multicolumn{{{n}}}{{c}}{{{name}}}" for name, (_, n) in zip(names, blocks, strict=True)
    )
    yield f"& & {' & '.join(spans)} \\\\"
    # LaTeX counts columns from 1, and the first two are the system and its clips.
    first, rules = 3, []
    for _, n in blocks:
        rules.append(f"\\cmidrule(lr){{{first}-{first + n - 1}}}")
        first += n
    yield " ".join(rules)
    yield f"System & clips & {' & '.join(escaped(c.title) for c in columns)} \\\\"


def _write_body(
    table: Table, marks: Marks, notes: dict[str, str], intervals: bool
) -> Iterator[str]:
    """Each group under its name, a rule between groups."""
    columns = table.columns
    groups = [(p, [row for row in table.rows if row.paradigm == p]) for p in table.task.groups]
    for index, (paradigm, group) in enumerate((p, group) for p, group in groups if group):
        yield from [r"\midrule"] * bool(index)
        yield f"\\multicolumn{{{len(columns) + 2}}}{{l}}{{\\textit{{{heading(paradigm)}}}}} \\\\"
        for row in group:
            label = shortened(row.label) + _raise_text(r"\ddagger" if row.caveat else "")
            planned = f"/{row.n + row.failed}" if row.failed else ""
            values = [_print_value(row, column, marks, notes) for column in columns]
            yield " & ".join([rf"\quad {label}", f"{row.n}{planned}", *values]) + r" \\"
            if intervals:
                ends = []
                for column in columns:
                    cell = row.cells[column.key]
                    text = interval(cell.low, cell.high, column.digits)
                    # Nothing goes under the dash of a missing value.
                    shown = text and cell.value is not None
                    ends.append(rf"{{\scriptsize {escaped(text)}}}" if shown else "")
                # 2 pt keep them closer to the values above than to the row below.
                yield f"& & {' & '.join(ends)} \\\\[2pt]"


def _print_value(row: Row, column: Column, marks: Marks, notes: dict[str, str]) -> str:
    """The value, bold or daggered, with its spread; or a dash. Either with the letter of a note."""
    cell = row.cells[column.key]
    letter = notes.get(_read_reason(cell), "")
    if cell.value is None:
        return ABSENT + _raise_text(letter)
    mark = marks.of(row, column.key)
    value = escaped(figure(cell.value, column.digits))
    value = rf"\textbf{{{value}}}" if mark.best else value
    signs = (r"\dagger" if mark.worse else "") + (r"\S" if mark.trained else "")
    value += _raise_text(signs + (letter and f" {letter}"))
    return value if cell.sd is None else rf"{value} $\pm$ {figure(cell.sd, column.digits)}"


def _raise_text(text: str) -> str:
    return f"$^{{{text.strip()}}}$" if text else ""


def _read_reason(cell: Estimate) -> str:
    return UNHEARD if cell.reason == NOT_MEASURED else cell.reason or ""


def _letter_reasons(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, str]:
    """A letter for every reason why a cell is empty, in the order of the table."""
    reasons = (_read_reason(row.cells[column.key]) for row in rows for column in columns)
    # A dict keeps the order of the table, in which a reader meets the letters.
    lettered = dict.fromkeys(reason for reason in reasons if reason)
    return {
        reason: LETTERS[index] if index < len(LETTERS) else str(index + 1)
        for index, reason in enumerate(lettered)
    }


def _write_notes(
    rows: Sequence[Row], notes: dict[str, str], sentences: Sequence[str]
) -> Iterator[str]:
    """Notes and provenance, left and small."""
    reasons = [f"$^{{{letter}}}$ {escaped(reason)}." for reason, letter in notes.items()]
    caveats = [
        rf"$^{{\ddagger}}$ {shortened(row.label)}: {escaped(row.caveat)}"
        for row in rows
        if row.caveat
    ]
    lines = [*caveats, *reasons, *map(escaped, sentences)]
    if lines:
        yield r"\par\smallskip"
        yield rf"\parbox{{\linewidth}}{{\scriptsize\raggedright {' '.join(lines)}}}"
