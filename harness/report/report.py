"""The report: report.md, .tex, .csv and .json in the folder, a page on the terminal.

All of them are made from one table (report/table.py) and one page (render/page.py).
"""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from stabench.harness import files
from stabench.harness.errors import StabenchError
from stabench.harness.profiling import costs_file
from stabench.harness.render.escape import escape_csv
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Page, Section
from stabench.harness.render.terminal import show
from stabench.harness.report.condition_section import describe_conditions
from stabench.harness.report.cost_section import describe_costs
from stabench.harness.report.latex import latex
from stabench.harness.report.method import describe_method, lead, notes
from stabench.harness.report.ranking import find_marks
from stabench.harness.report.sections import (
    describe_dependence,
    describe_differences,
    describe_extremes,
    describe_failures,
    describe_results,
)
from stabench.harness.report.summary import WIDTH, summarize
from stabench.harness.report.table import Row, Table, tabulate
from stabench.harness.report.timing_sections import (
    describe_latencies,
    describe_shares,
    describe_stages,
)
from stabench.harness.runs.results import Results

SCHEMA = 1


def report(
    run: Path,
    stream: TextIO | None = None,
    *,
    sound_mb: float | None = None,
    sound_from: Sequence[Path] = (),
    brief: bool = False,
) -> Path:
    """Write the files, print the page to `stream` (standard output); return report.md.

    `brief` prints what fits on a screen instead (report/summary.py).

    With `sound_mb` also report.html, with at most so many megabytes of previews of sound, which
    take some seconds to encode; speech and recordings among them lie in the run folder, in the
    cache or in a folder of `sound_from`. Needs no torch; without report.html no audio either.
    `sound_from` are folders, or NAME=DIR (report/html/sound_folders.py); a line on standard error
    says of which nothing is used. Raises MissingError when the folder holds no results, or one of
    `sound_from` is not there, StabenchError for a name of no system.
    """
    results = Results.read(run)
    _check_sound_folders(results, sound_from, sound_mb)
    table = tabulate(results)
    page = page_of(results, table)
    folder = results.folder
    # Each file is written whole or not at all; the page is printed last, when all are there.
    for under in () if results.condition else map(results.under, results.conditions):
        rows = tabulate(under)
        _write_files(under, rows, page_of(under, rows))
    _write_files(results, table, page)
    if sound_mb is not None and folder != results.home:
        print("report.html has the clean clips; none is written for a condition", file=sys.stderr)
    elif sound_mb is not None:
        # Late: no other format needs what it reads of clips and sounds.
        from stabench.harness.report.html.document import write_html

        write_html(
            results,
            table,
            page,
            sound_mb=sound_mb,
            sound_from=sound_from,
            tell=lambda line: print(line, file=sys.stderr),
        )
    out = stream or sys.stdout
    if brief:
        show(summarize(results, table, find_marks(results, table)), out, width=WIDTH)
    else:
        show(page, out)
    return folder / "report.md"


def _write_files(results: Results, table: Table, page: Page) -> None:
    """Write report.md, .tex, .csv and .json into the folder of the results."""
    folder = results.folder
    folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(folder / "report.md", to_markdown(page).encode())
    files.write_bytes(folder / "report.tex", latex(results, table).encode())
    files.write_bytes(folder / "report.csv", to_csv(table).encode())
    files.write_json(folder / "report.json", report_json(results, table))


def _check_sound_folders(
    results: Results, sound_from: Sequence[Path], sound_mb: float | None
) -> None:
    """Raise for folders of sound that are wrong, before anything is written."""
    if not sound_from:
        return
    if not sound_mb:
        raise StabenchError(
            "--sound-from is for the sounds of report.html, of which there are none; leave out "
            "--no-html or --sound-mb 0"
        )
    # Late: no other format needs what it reads.
    from stabench.harness.report.html.sound_folders import parse_sound_folders

    parse_sound_folders(sound_from, results)


def page_of(results: Results, table: Table) -> Page:
    """Return all sections that have something to say, the table first."""
    metrics, warnings = results.metrics, notes(results)
    clips = results.run.clips if results.run else ()
    captions = {clip.id: clip.caption for clip in clips if clip.caption}
    sections = (
        describe_results(table, find_marks(results, table)),
        describe_conditions(results, table),
        # Before the verdicts: what they rest on.
        Section("notes", "Notes", points=warnings) if warnings else None,
        describe_differences(results.judged, table),
        describe_dependence(metrics, table) if metrics else None,
        describe_latencies(results, table),
        describe_shares(results, table),
        describe_stages(results, table),
        describe_costs(results, table),
        describe_extremes(metrics, captions, results.random_systems) if metrics else None,
        describe_failures(metrics, table) if metrics else None,
        *describe_method(results),
    )
    return Page(_make_title(results), lead(results), tuple(filter(None, sections)))


def _make_title(results: Results) -> str:
    if results.run is None:
        return f"Scores of {results.folder.name}"
    title = results.run.suite.title or results.run.suite.name
    return f"{title}, under {results.condition}" if results.condition else title


def to_csv(table: Table) -> str:
    """Return a line a row; of each column its value, sd where shown, and the ends of its interval.

    Names and reasons are the only texts in it, each escaped as it is written.
    """
    heads = ["system", "label", "paradigm", "n", "failed"]
    for column in table.columns:
        timed = column.block == "latency"
        name = f"{column.key}_{column.unit}" if timed and column.unit else column.key
        heads += [name, *([f"{name}_sd"] if timed else []), f"{name}_low", f"{name}_high"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(escape_csv, heads))
    for row in table.rows:
        names = (row.system, row.label, row.paradigm)
        numbers: list[float | str | None] = []
        for column in table.columns:
            cell = row.cells[column.key]
            sd = [cell.sd] if column.block == "latency" else []
            # Columns that need listeners are always empty: the reader is told, not left to guess.
            unheard = cell.value is None and column.block == "listeners"
            numbers += [cell.reason if unheard else cell.value, *sd, cell.low, cell.high]
        fields = (*names, row.n, row.failed, *numbers)
        writer.writerow(escape_csv(field) if isinstance(field, str) else field for field in fields)
    return out.getvalue()


def report_json(results: Results, table: Table) -> dict[str, Any]:
    """Return what report.json holds: rows, differences, and all that a number depends on."""
    metrics, record = results.metrics, results.run.record if results.run else None
    costs = costs_file.read(results.folder)
    return {
        "schema": SCHEMA,
        "title": _make_title(results),
        **({"condition": results.condition} if results.condition else {}),
        "columns": [column._asdict() for column in table.columns],
        "rows": [_describe_row(row, table) for row in table.systems],
        "sanity": [_describe_row(row, table) for row in table.rows if row.is_sanity],
        "paired": [line.model_dump(mode="json") for line in results.paired],
        "metrics": {k: v.model_dump(mode="json") for k, v in metrics.columns.items()}
        if metrics
        else {},
        "provenance": metrics.provenance.model_dump(mode="json") if metrics else {},
        "systems": results.run.about_systems() if results.run else {},
        "suite": record.suite.resolved() if record else None,
        "dataset": record.dataset.model_dump(mode="json", exclude={"clips"}) if record else None,
        "environment": record.model_dump(mode="json")["environment"] if record else None,
        "costs": costs.model_dump(mode="json", by_alias=True) if costs else None,
        "notes": list(notes(results)),
    }


def _describe_row(row: Row, table: Table) -> dict[str, Any]:
    cells = {}
    for column in table.columns:
        cell = row.cells[column.key]
        fields = {name: getattr(cell, name) for name in ("value", "low", "high", "n")}
        fields |= {"unit": column.unit, "better": column.better}
        fields |= {} if cell.sd is None else {"sd": cell.sd}
        fields |= {} if cell.p_value is None else {"p_value": cell.p_value}
        fields |= {"reason": cell.reason} if cell.reason else {}
        cells[column.key] = fields
    return {**row._asdict(), "cells": cells}
