"""The section of a run's conditions: every system under each, and what was measured on the speech.

The clean speech has the report's own table; each condition has a whole report of its own in its
folder. Nothing is pooled over conditions.
"""

from stabench.harness.datasets.conditions.rendering import HeardClip
from stabench.harness.formatting import NOTHING, counted, figure, interval
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.report.ranking import SHARE, Marks, find_marks
from stabench.harness.report.table import Row, Table, tabulate
from stabench.harness.runs.conditions_file import SCORES
from stabench.harness.runs.results import Results
from stabench.harness.tasks.task import REAL_TIME, TOTAL, Column

TEXT = (
    "Every clip was heard under each condition, too, and is scored against the same recordings "
    "and captions; each group of rows is of one condition, and bold is the best in it.",
    "A system that reads the true caption hears no condition: it was run once, its sounds are "
    "those of the clean speech and its times are not shown again. The whole report of a condition "
    f"is {SCORES}/CONDITION/report.md; conditions.json has what was measured on each clip.",
)


def describe_conditions(results: Results, table: Table, *, brief: bool = False) -> Section | None:
    """Return a group of rows for each condition of a run, or None without any.

    `table` is that of the clean speech; its columns are shown. `brief` leaves the intervals out.
    """
    if not results.conditions or results.condition is not None or results.run is None:
        return None
    columns = _choose_columns(table)
    lines = [Line(heading="clean")]
    lines += _list_lines(table, find_marks(results, table), columns, brief=brief)
    records = results.run.read_conditions().conditions
    for record in records:
        under = results.under(record.name)
        rows = tabulate(under)
        name = record.label if record.label == record.name else f"{record.label} ({record.name})"
        lines.append(Line(heading=name))
        lines += _list_lines(rows, find_marks(under, rows), columns, brief=brief)
    points = tuple(
        f"{record.label}: {_describe_speech(list(record.clips.values()))}." for record in records
    )
    heads = (Head("System"), Head("clips"), *(Head(c.title, c.block) for c in columns))
    title, text = "Under each condition", () if brief else TEXT
    return Section("conditions", title, text, Grid(heads, tuple(lines)), points)


def _choose_columns(table: Table) -> list[Column]:
    """Return the columns in which a system has a number; of times the first phase and the total."""
    later = {phase.column.key for phase in table.task.phases[1:]}
    hidden = {SHARE, REAL_TIME.key, *later}
    return [
        column
        for column in table.columns
        if column.key not in hidden
        and any(row.cells[column.key].value is not None for row in table.systems)
    ] or [TOTAL]


def _list_lines(table: Table, marks: Marks, columns: list[Column], *, brief: bool) -> list[Line]:
    lines = []
    for row in table.systems:
        planned = f"/{row.n + row.failed}" if row.failed else ""
        cells = [Printed(row.label), Printed(f"{row.n}{planned}")]
        cells += [_print_cell(row, column, marks, brief=brief) for column in columns]
        lines.append(Line(tuple(cells)))
    return lines


def _print_cell(row: Row, column: Column, marks: Marks, *, brief: bool) -> Printed:
    cell = row.cells.get(column.key)
    if cell is None or cell.value is None:
        return Printed(NOTHING)
    ends = "" if brief else interval(cell.low, cell.high, column.digits)
    return Printed(figure(cell.value, column.digits), ends, strong=marks.of(row, column.key).best)


def _describe_speech(clips: list[HeardClip]) -> str:
    """Return what was measured on the speech of a condition: least and most of each measure."""
    values: dict[str, list[float]] = {}
    for clip in clips:
        for part in clip.parts:
            for key, value in part.measured.items():
                values.setdefault(f"{key} of {part.name}", []).append(value)
        if clip.gain is not None and clip.gain != 1:
            values.setdefault("gain where it was scaled", []).append(clip.gain)
    failed = sum(clip.failure is not None for clip in clips)
    words = [
        f"{name} {figure(min(numbers), 3)} to {figure(max(numbers), 3)}"
        for name, numbers in values.items()
    ]
    heard = f"measured on {counted(len(clips) - failed, 'clip')}"
    if failed:
        heard += f", {failed} could not be made"
    return f"{heard}: {', '.join(words)}" if words else heard
