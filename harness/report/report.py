"""The report: report.md, .tex, .csv and .json in the folder, a page on the terminal."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from stabench.harness import files
from stabench.harness.errors import MissingError
from stabench.harness.profiling import costs_file
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Page, Section
from stabench.harness.render.terminal import show
from stabench.harness.report.cost_section import costs
from stabench.harness.report.files import to_csv, to_json
from stabench.harness.report.latex import latex
from stabench.harness.report.method import lead, method, notes
from stabench.harness.report.ranking import marks
from stabench.harness.report.sections import dependences, differences, extremes, failures
from stabench.harness.report.sections import results as results_section
from stabench.harness.report.table import Table, tabulate
from stabench.harness.report.timing_sections import (
    latencies,
    stage_table,
    time_shares,
)
from stabench.harness.runs.results import Results

SCHEMA = 1


def report(
    run: Path,
    stream: TextIO | None = None,
    *,
    sound_mb: float | None = None,
    sound_from: Sequence[Path] = (),
) -> Path:
    """Write the files, print the page to `stream` (standard output); return report.md.

    With `sound_mb` also report.html, with at most so many megabytes of previews of sound, which
    take some seconds to encode; speech and recordings among them lie in the run folder, in the
    cache or in a folder of `sound_from`. Needs no torch; without report.html no audio either.
    Raises MissingError when the folder holds no results, or one of `sound_from` is not there.
    """
    for folder in sound_from:
        if not folder.is_dir():
            raise MissingError(f"--sound-from '{folder}': no such folder; give a folder of WAVs")
    results = Results.read(run)
    table = tabulate(results)
    page = page_of(results, table)
    folder = results.folder
    files.write_bytes(folder / "report.md", to_markdown(page).encode())
    files.write_bytes(folder / "report.tex", latex(results, table).encode())
    files.write_bytes(folder / "report.csv", to_csv(table).encode())
    files.write_json(folder / "report.json", report_json(results, table))
    if sound_mb is not None:
        from stabench.harness.report.html.document import write_html

        write_html(results, table, page, sound_mb=sound_mb, sound_from=sound_from)
    show(page, stream or sys.stdout)
    return folder / "report.md"


def page_of(results: Results, table: Table) -> Page:
    """All sections that have something to say, the table first."""
    metrics = results.metrics
    said = notes(results)
    found = marks(table, (*results.paired, *results.paired_latencies))
    sections = (
        results_section(table, found),
        differences(results.paired, table),
        dependences(metrics, table) if metrics else None,
        latencies(results, table),
        time_shares(results, table),
        stage_table(results, table),
        costs(results, table),
        extremes(metrics, _captions(results), results.random_systems) if metrics else None,
        failures(metrics) if metrics else None,
        Section("Notes", points=said) if said else None,
        *method(results),
    )
    return Page(_title(results), lead(results), tuple(one for one in sections if one))


def _captions(results: Results) -> dict[str, str]:
    clips = results.run.clips if results.run else ()
    return {clip.id: clip.caption for clip in clips if clip.caption}


def _title(results: Results) -> str:
    if results.run is None:
        return f"Scores of {results.folder.name}"
    return results.run.suite.title or results.run.suite.name


def report_json(results: Results, table: Table) -> dict[str, Any]:
    """What report.json holds: rows, differences, and everything a number depends on."""
    metrics, record = results.metrics, results.run.record if results.run else None
    found = costs_file.read(results.folder)
    return {
        "schema": SCHEMA,
        "title": _title(results),
        **to_json(table),
        "paired": [line.model_dump(mode="json") for line in results.paired],
        "metrics": {k: v.model_dump(mode="json") for k, v in metrics.columns.items()}
        if metrics
        else {},
        "provenance": metrics.provenance.model_dump(mode="json") if metrics else {},
        "systems": results.run.about_systems() if results.run else {},
        "suite": record.suite.resolved() if record else None,
        "dataset": record.dataset.model_dump(mode="json", exclude={"clips"}) if record else None,
        "environment": record.model_dump(mode="json")["environment"] if record else None,
        "costs": found.model_dump(mode="json", by_alias=True) if found else None,
        "notes": list(notes(results)),
    }
