"""The leaderboard's site: plain files from accepted submissions, the same bytes for the same ones.

    index.html  history.html  systems/<id>.html  audio/<id>/<number>.wav  history/<number>.svg

Whatever submitters wrote is escaped; nothing is loaded from elsewhere, and the pages' policy says
so to the browser.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabench.harness.errors import StabenchError
from stabench.harness.files import put
from stabench.harness.history import history
from stabench.harness.history.history import HistoryRecord
from stabench.harness.history.page import suites
from stabench.harness.history.plot import FEWEST_RUNS
from stabench.harness.leaderboard.entries import ENTRIES, Entry, entries
from stabench.harness.leaderboard.system_page import sound_address, system_page
from stabench.harness.leaderboard.tables import boards
from stabench.harness.render.escape import load_templates

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
SITE = Path("site")
# Marks a folder as one that a build may replace.
MARKER = ".stabench-site"
PAGES = (("Leaderboard", "index.html"), ("History", "history.html"))


def build(
    source: Path = ENTRIES, out: Path = SITE, recorded: Path | None = history.HISTORY
) -> Path:
    """Write the site of the entries in `source` to `out`; return its index.html.

    `recorded` is a history of this repository's runs; the usual one may be missing. An older site
    in `out` is replaced whole. Raises StabenchError for an entry that cannot stand, and for an
    `out` that holds something else.
    """
    accepted = entries(source)
    records: list[HistoryRecord] = []
    if recorded is not None and (recorded != history.HISTORY or recorded.exists()):
        records = history.read(recorded)
    # All content is made before the first file is written: a bad entry leaves the old site whole.
    files = dict(_make_files(accepted, records))
    if out.exists() and not out.is_dir():
        raise StabenchError(f"--out '{out}': is a file; choose a folder")
    if out.exists() and not (out / MARKER).exists() and any(out.iterdir()):
        raise StabenchError(f"--out '{out}': holds something else than a site; choose another")
    put(out, files)
    return out / "index.html"


def _make_files(
    accepted: Sequence[Entry], records: Sequence[HistoryRecord]
) -> Iterator[tuple[str, bytes]]:
    """Make every file of the site, by its place."""
    pages = _load_pages()
    tables = boards(accepted)
    paradigms = sorted({entry.submission.system.paradigm for entry in accepted})
    yield MARKER, b""
    yield _render(pages, "index.html", title="Leaderboard", boards=tables, paradigms=paradigms)
    newest = sorted(accepted, key=lambda entry: (entry.submission.made_at, entry.id), reverse=True)
    recorded = suites(records)
    yield _render(
        pages,
        "history.html",
        title="History",
        submissions=newest,
        suites=recorded,
        fewest_runs=FEWEST_RUNS,
    )
    yield from (
        (each.address, each.drawing) for suite in recorded for each in suite.metrics if each.address
    )
    for entry in accepted:
        address = f"systems/{entry.id}.html"
        yield _render(pages, address, "system", up="../", **system_page(entry))
        for number, sound in enumerate(entry.sounds, 1):
            yield sound_address(entry, number, sound.suffix), sound.content


def _load_pages() -> "Environment":
    style, script = ((HERE / name).read_text("utf-8") for name in ("site.css", "site.js"))
    pages = load_templates(HERE)
    # Submitters give addresses: only of the web are they links, never "javascript:".
    pages.tests["web_address"] = lambda url: url.startswith(("https://", "http://"))
    pages.globals |= {
        "style": style,
        "script": script,
        "policy": policy(style, script),
        "version": metadata.version("stabench"),
        "pages": PAGES,
        "up": "",
    }
    return pages


def policy(style: str, script: str) -> str:
    """State what a browser may do with a page: this style, this script, sounds and plots beside."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; "
        f"script-src 'sha256-{script_hash}'; media-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'"
    )


def _render(
    pages: "Environment", address: str, template: str | None = None, **values: Any
) -> tuple[str, bytes]:
    name = template or address.removesuffix(".html")
    text = pages.get_template(f"site_{name}.html").render(here=address, **values)
    return address, text.encode()
