"""Paired differences: system minus system on the same clips, and what a recogniser costs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.estimate import Estimate
from harness.figures import NOTHING, decimals, figure, interval, is_zero
from harness.metrics_file import DifferenceRecord
from harness.page import Grid, Head, Line, Printed, Section
from harness.table import Cell, Column, Row, Table


def differences(paired: Sequence[DifferenceRecord], table: Table) -> Section | None:
    """System minus system on the same clips; error propagation is oracle minus cascade.

    None where no difference was measured: why not stands under the results.
    """
    if all(record.difference is None for record in paired):
        return None
    columns = [c for c in table.columns if any(d.column == c.key for d in paired)]
    pairs: dict[tuple[str, str], dict[str, DifferenceRecord]] = defaultdict(dict)
    for record in paired:
        pairs[record.a, record.b][record.column] = record
    heads = [Head("Pair"), Head("clips"), *(Head(c.title, "quality") for c in columns)]
    columns = [column._replace(digits=_digits(paired, column)) for column in columns]
    lines = [_difference(pair, found, columns) for pair, found in pairs.items()]
    text = (
        "The first system minus the second, on the clips that both have; the same resamples of "
        "clips serve both. ✓ the first is better, ✗ it is worse: the interval excludes 0. The "
        "intervals are not widened for their number.",
        *_propagation(table.rows, pairs, columns),
    )
    return Section("Paired differences", text, Grid(tuple(heads), tuple(lines)))


def _digits(paired: Sequence[DifferenceRecord], column: Column) -> int:
    """Digits that show the narrowest interval, at least the column's own."""
    found = [one for one in paired if one.column == column.key]
    widths = [one.high - one.low for one in found if one.high is not None and one.low is not None]
    return max(column.digits, decimals(widths, least_figures=1))


def _difference(
    pair: tuple[str, str], found: dict[str, DifferenceRecord], columns: Sequence[Column]
) -> Line:
    numbers = [found[column.key].estimate for column in columns if column.key in found]
    counts = sorted({number.n for number in numbers if number.value is not None})
    n = " to ".join(str(count) for count in {counts[0]: 0, counts[-1]: 0}) if counts else NOTHING
    cells = [_signed(found[c.key].estimate, c) if c.key in found else Printed("") for c in columns]
    return Line((Printed(f"{pair[0]} \N{MINUS SIGN} {pair[1]}"), Printed(n), *cells))


def _signed(number: Estimate, column: Column) -> Printed:
    if number.value is None:
        return Printed(NOTHING, number.reason or "")
    value = ("+" if number.value > 0 else "") + figure(number.value, column.digits)
    verdict = _verdict(number, column)
    ends = interval(number.low, number.high, column.digits)
    return Printed(f"{value} {verdict}".strip(), ends, strong=bool(verdict))


def _verdict(number: Estimate, column: Column) -> str:
    """A tick when the first system is better, a cross when it is worse, nothing when open.

    Networks with random weights judge nothing.
    """
    if number.low is None or number.high is None or number.low <= 0 <= number.high:
        return ""
    if column.random:
        return ""
    if is_zero(number.low, number.high, column.digits):
        return ""
    return "✓" if (number.low > 0) == (column.better == "higher") else "✗"


def _propagation(
    rows: Sequence[Row],
    pairs: dict[tuple[str, str], dict[str, DifferenceRecord]],
    columns: Sequence[Column],
) -> Iterable[str]:
    """What the recogniser costs: the same generator on the true caption and on the transcript."""
    by_name = {row.system: row for row in rows if row.paradigm != "sanity"}
    for (a, b), found in pairs.items():
        kinds = [by_name[name].paradigm for name in (a, b) if name in by_name]
        if kinds != ["oracle", "cascade"]:
            continue
        wer = by_name[b].cells.get("wer")
        heard = f" (word error rate {_inline(wer)})" if wer and wer.text else ""
        costs = [_cost(found[column.key].estimate, column) for column in columns]
        costs = [cost for cost in costs if cost]
        yield (
            f"Error propagation: {a} minus {b} is what the recogniser{heard} costs: "
            f"{', '.join(costs) or 'not measured'}."
        )


def _cost(number: Estimate, column: Column) -> str:
    if number.value is None:
        return ""
    value = ("+" if number.value > 0 else "") + figure(number.value, column.digits)
    return f"{column.label} {value} {interval(number.low, number.high, column.digits)}".strip()


def _inline(cell: Cell) -> str:
    return f"{cell.text} {interval(cell.low, cell.high, cell.digits)}".strip()
