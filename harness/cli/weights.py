"""What `stabench weights` prints and does: which published weights are here, and getting them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from stabench.checkpoints import catalogue, store
from stabench.checkpoints.catalogue import Entry
from stabench.checkpoints.fetch import FetchError
from stabench.checkpoints.fetch import fetch as fetch_entry
from stabench.harness.errors import MissingError, StabenchError, unknown

VERIFIED, LOOSE = "here (verified)", "here (not pinned)"
MISSING, WRONG, TRUNCATED = "missing", "wrong sha256", "truncated"
# Nobody checked what there is to fetch, or whether it may be.
UNVERIFIED = "not verified"


class Row(NamedTuple):
    """One entry of the catalogue; `where` is empty when it is missing."""

    name: str
    licence: str
    size: str
    state: str
    where: str


def status() -> list[Row]:
    """Return every entry of the catalogue; files that changed since the last time are hashed."""
    rows: list[Row] = []
    for entry in catalogue.entries().values():
        state, where = _check_entry(entry)
        rows.append(Row(entry.name, entry.licence, size(entry), state, where))
    return rows


def show(rows: Sequence[Row], stream: TextIO | None = None, *, as_json: bool = False) -> None:
    """Print a table on a terminal, aligned lines elsewhere, or JSON."""
    stream = stream or sys.stdout
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=1), file=stream)
        return
    if stream.isatty():
        _show_table(rows, stream)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(Row._fields))]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip(), file=stream)


def fetch(names: Sequence[str], everything: bool = False, stream: TextIO | None = None) -> None:
    """Fetch these entries, or all; one that fails does not keep the others from coming.

    Raises StabenchError for names that are not known, MissingError when one could not be had.
    """
    stream = stream or sys.stderr
    entries = _choose_entries(names, everything)
    failed = [entry.name for entry in entries if not _fetch_entry(entry, stream)]
    if failed:
        raise MissingError(
            f"{len(failed)} of {len(entries)} weights not fetched: {', '.join(failed)}; "
            "the lines above say why"
        )


def size(entry: Entry) -> str:
    """Return "359 MB", "~3.1 GB" where only a rounded size is published, "?" for none."""
    known = entry.size_bytes
    number = known or entry.roughly_bytes
    return "?" if number is None else ("" if known else "~") + readable(number)


def readable(number: int) -> str:
    """Return bytes in decimal units with three digits at most: "898 kB", "12 MB", "1.9 GB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= factor:
            value = number / factor
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    return f"{number} B"


def _check_entry(entry: Entry) -> tuple[str, str]:
    if entry.unverified:
        return UNVERIFIED, ""
    try:
        place = store.locate(entry.name)
        store.verify(place, entry)
    except FileNotFoundError:
        return MISSING, ""
    except store.Truncated:
        return TRUNCATED, str(place)
    except store.WrongDigest:
        return WRONG, str(place)
    except ValueError as error:
        raise StabenchError(str(error)) from error
    return LOOSE if store.unpinned(place, entry) else VERIFIED, str(place)


def _choose_entries(names: Sequence[str], everything: bool) -> list[Entry]:
    known = catalogue.entries()
    for name in names:
        if name not in known:
            raise StabenchError(unknown("weights", name, known))
    if not names and not everything:
        raise StabenchError(
            "no weights named; name some of `stabench weights status`, or give --all"
        )
    if everything:
        return [entry for entry in known.values() if not entry.unverified]
    return [known[name] for name in dict.fromkeys(names)]


def _fetch_entry(entry: Entry, stream: TextIO) -> bool:
    """Fetch one entry, its licence told first; says what came of it."""
    terms = f": {entry.restricts}" if entry.restricts else ""
    print(f"{entry.name}: {size(entry)}, licence {entry.licence}{terms}", file=stream, flush=True)

    def tell(path: Path) -> None:
        print(f"  {path.name}: {readable(path.stat().st_size)}", file=stream, flush=True)

    try:
        place = fetch_entry(entry, tell)
    except (FetchError, ValueError, OSError) as error:
        print(f"  failed: {error}", file=stream, flush=True)
        return False
    print(f"  in {place}", file=stream, flush=True)
    return True


def _show_table(rows: Sequence[Row], stream: TextIO) -> None:
    from rich.console import Console

    from stabench.harness.render.page import Grid, Head, Line, Printed, Section
    from stabench.harness.render.terminal import print_section

    lines = tuple(Line(tuple(map(Printed, row))) for row in rows)
    grid = Grid(tuple(map(Head, Row._fields)), lines)
    print_section(Section("weights", "Published weights", grid=grid), Console(file=stream))
