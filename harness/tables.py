"""Tables that a person gives, read strictly: CSV, JSON lines, lists of names.

Nothing is guessed and nothing is lost: what a lenient reader would cut, join or leave out is an
error with file and line. Cells are as they are written, blanks too: a file's name may have them.
"""

import csv
import io
import json
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import plain

# How a file begins that is no UTF-8 text: what it is, and what to do.
_SIGNATURES = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a spreadsheet or another archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"\x1f\x8b": "compressed",
}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "'|'"}
_SURROGATE = re.compile("[\ud800-\udfff]")
# Characters of a cell that an error shows, and columns that it names.
_SHOWN, _MOST_NAMED = 40, 12


class Row(NamedTuple):
    """One row by column; `line` is the one it begins in, `flaw` says what is wrong with it."""

    line: int
    cells: dict[str, str]
    flaw: str | None = None


class Table(NamedTuple):
    """A CSV file: its columns, and its rows but for those that are empty."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_csv(path: Path, needs: Sequence[str], *, keep_flawed: bool = False) -> Table:
    """Return a CSV file in UTF-8 that has the columns `needs`, and perhaps others.

    A row with more or fewer fields than the header raises StabenchError or, with `keep_flawed`, is
    kept with its flaw: `cells` are then those that are there, "" for the rest. Raises StabenchError
    too for whatever else is no such table, MissingError without the file.
    """
    text = read_text(path)
    _check_separator(path, text, needs)
    records = (record for record in _read_records(path, text) if any(map(str.strip, record[1])))
    _, header = next(records, (1, []))
    columns = [name.strip() for name in header]
    # Spreadsheets leave columns without a name and without a cell.
    while columns and not columns[-1]:
        columns.pop()
    _check_columns(path, columns, needs)
    rows = []
    for line, fields in records:
        flaw = _explain_flaw(fields, columns, len(header))
        if flaw and not keep_flawed:
            raise StabenchError(f"'{path}', line {line}: {flaw}")
        cells = [*fields, *[""] * len(columns)]
        rows.append(Row(line, dict(zip(columns, cells, strict=False)), flaw))
    if not rows:
        raise StabenchError(f"'{path}': holds no rows below its columns; add them")
    return Table(tuple(columns), tuple(rows))


def read_json_lines(path: Path, needs: Sequence[str]) -> list[Row]:
    """Return the keys `needs` of every line, which is one JSON object; their values are texts.

    Raises StabenchError for anything else, MissingError without the file.
    """
    rows = []
    for line, text in _read_lines(path):
        where = f"'{path}', line {line}"
        try:
            value = json.loads(text, object_pairs_hook=_refuse_repeated_keys)
        except RecursionError:
            raise StabenchError(f"{where}: its lists are nested too deep; flatten it") from None
        except ValueError as error:
            raise StabenchError(f"{where}: no JSON ({error}); write one object a line") from None
        if not isinstance(value, dict):
            kind = type(value).__name__
            raise StabenchError(f"{where}: a JSON {kind}, expected one object a line")
        for key in needs:
            cell = value.get(key)
            if not isinstance(cell, str) or _SURROGATE.search(cell):
                shown = "missing" if key not in value else ascii(cell)[:_SHOWN]
                raise StabenchError(
                    f"{where}: key '{key}' is {shown}; needs keys {', '.join(needs)}, each a text"
                )
        rows.append(Row(line, {key: value[key] for key in needs}))
    return rows


def read_names(path: Path) -> list[Row]:
    """Return the lines of a file that are not blank as cells `name`, without blanks at the ends."""
    return [Row(line, {"name": text.strip()}) for line, text in _read_lines(path)]


def read_text(path: Path) -> str:
    """Return a file's text, UTF-8, without a byte-order mark.

    Raises StabenchError for another encoding, with the line, and MissingError without the file.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(f"'{path}': no such file; give a table in UTF-8") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise StabenchError(f"'{path}': is {kind}, expected a file; write the table to one")
    data = path.read_bytes()
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            raise StabenchError(f"'{path}': is {kind}, expected text in UTF-8; save it as such")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StabenchError(
            f"'{path}', line {line}: byte {data[error.start]:#04x} is not UTF-8; save the file in "
            "UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise StabenchError(f"'{path}', line {line}: holds a NUL byte; save the file as UTF-8 text")
    return text


def read_toml(what: str, path: Path, missing: str) -> dict[str, Any]:
    """Return what a TOML file holds. Errors begin with `what`; `missing` is that of no file.

    Raises StabenchError for another content or encoding, MissingError without the file.
    """
    try:
        return tomllib.loads(read_text(path))
    except MissingError:
        raise MissingError(missing) from None
    except (RecursionError, tomllib.TOMLDecodeError) as error:
        raise StabenchError(f"{what}: not a TOML file ({error})") from None


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    # Not str.splitlines: it also splits at U+2028, U+0085 and others, which stand within texts.
    for line, text in enumerate(read_text(path).split("\n"), 1):
        if text.strip():
            yield line, text


def _read_records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line in which each record of a CSV begins, and its fields."""
    # Strictly: else a quote that is never closed swallows the rest of the table unseen.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise StabenchError(f"'{path}', line {line}: {_explain_error(error)}") from None
        yield line, fields


def _explain_error(error: csv.Error) -> str:
    """Return what the csv module means, in the words of the file."""
    reason = str(error)
    if "unexpected end of data" in reason:
        return 'a quote (") opens here and is never closed; close it, or double it ("")'
    if "expected after" in reason:
        return 'text after a closing quote ("); double each quote ("") within a quoted text'
    return f"not CSV ({reason}); put texts in quotes"


def _check_separator(path: Path, text: str, needs: Sequence[str]) -> None:
    """Raise StabenchError for a table whose columns are separated by something else than commas."""
    header = text.lstrip().partition("\n")[0]
    for separator, what in _SEPARATORS.items():
        columns = {name.strip().strip('"') for name in header.split(separator)}
        if set(needs) <= columns:
            raise StabenchError(
                f"'{path}', line 1: columns are separated by {what}, expected commas; save the "
                "table with commas"
            )


def _check_columns(path: Path, columns: Sequence[str], needs: Sequence[str]) -> None:
    """Raise StabenchError for a column twice or missing."""
    for name, count in Counter(columns).items():
        if count > 1:
            shown = plain(name)[:_SHOWN]
            what = f"column '{shown}' stands {count} times" if name else "a column has no name"
            raise StabenchError(f"'{path}', line 1: {what}; give each column a name of its own")
    lacking = [name for name in needs if name not in columns]
    if not lacking:
        return
    names = [plain(name)[:_SHOWN] for name in columns[:_MOST_NAMED]]
    near = get_close_matches(lacking[0].lower(), [name.lower() for name in names], n=1)
    hint = f"; is '{near[0]}' meant for '{lacking[0]}'?" if near else ""
    raise StabenchError(
        f"'{path}': found columns {', '.join(names) or 'none'}"
        f"{', ...' if len(columns) > len(names) else ''}; needs columns {', '.join(needs)}{hint}"
    )


def _explain_flaw(fields: Sequence[str], columns: Sequence[str], width: int) -> str | None:
    """Return what is wrong with a row, or None; `width` counts the fields of the header."""
    if len(fields) < len(columns):
        return (
            f"too few fields: {len(fields)}, expected {len(columns)}; an empty one is nothing "
            "between two commas"
        )
    for field in fields:
        if field[:1].isspace() and field.lstrip().startswith('"'):
            return f"a blank before the opening quote of {field[:_SHOWN]!r}; remove the blank"
    # As many empty fields as the header has columns without a name mean nothing.
    if any(fields[len(columns) :]) or len(fields) > width:
        return (
            f"too many fields: {len(fields)}, expected {len(columns)} (the last is "
            f'{fields[-1][:_SHOWN]!r}); put a text with commas in quotes ("...")'
        )
    return None


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise ValueError(f"key {ascii(key)[1:-1]} stands {count} times")
    return dict(pairs)
