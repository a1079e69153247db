"""The leaderboard's site: plain files from accepted submissions, the same bytes for the same ones.

    index.html  history.html  systems/<id>.html  audio/<id>/<number>.wav  history/<number>.svg

Whatever submitters wrote is escaped; nothing is loaded from elsewhere, and the pages' policy says
so to the browser.
"""

import base64
import hashlib
import re
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
from stabench.harness.leaderboard.chart import draw_board
from stabench.harness.leaderboard.entries import ENTRIES, Entry, entries
from stabench.harness.leaderboard.system_page import sound_address, system_page
from stabench.harness.leaderboard.tables import boards
from stabench.harness.render.escape import load_templates
from stabench.harness.report.html import scatter
from stabench.harness.report.html.scatter import HEIGHT

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
SITE = Path("board")
# Marks a folder as one that a build may replace.
MARKER = ".stabench-site"
NAME = "stabench leaderboard"
PAGES = (("Leaderboard", "index.html"), ("History", "history.html"))
# What the site has in common with a report: its charts, and tables that scroll.
SHARED = Path(scatter.__file__).parent
STYLES = ((SHARED, "parts.css"), (HERE, "site.css"))
SCRIPTS = ((HERE, "site.js"), (SHARED, "scroll.js"))
# Where packages may be sent: a link of the web without blanks, or one address of e-mail.
WEB = re.compile(r"https://[^\s<>\"']+")
MAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def build(
    source: Path = ENTRIES,
    out: Path = SITE,
    recorded: Path | None = history.HISTORY,
    *,
    submit_to: str | None = None,
) -> Path:
    """Write the site of the entries in `source` to `out`; return its index.html.

    `recorded` is a history of this repository's runs; the usual one may be missing. `submit_to` is
    the address of the web or of e-mail to which packages are sent; without one the site says how
    results/leaderboard/README.md has it. An older site in `out` is replaced whole. Raises
    StabenchError for an entry that cannot stand, an `out` that holds something else, and another
    kind of address.
    """
    if submit_to is not None and not (WEB.fullmatch(submit_to) or MAIL.fullmatch(submit_to)):
        raise StabenchError(
            f"--submit-to '{submit_to}': expected an address such as https://example.org/submit or "
            "board@example.org"
        )
    accepted = entries(source)
    records: list[HistoryRecord] = []
    if recorded is not None and (recorded != history.HISTORY or recorded.exists()):
        records = history.read(recorded)
    # All content is made before the first file is written: a bad entry leaves the old site whole.
    files = dict(_make_files(accepted, records, submit_to))
    if out.exists() and not out.is_dir():
        raise StabenchError(f"--out '{out}': is a file; choose a folder")
    if out.exists() and not (out / MARKER).exists() and any(out.iterdir()):
        raise StabenchError(f"--out '{out}': holds something else than a site; choose another")
    put(out, files)
    return out / "index.html"


def _make_files(
    accepted: Sequence[Entry], records: Sequence[HistoryRecord], submit_to: str | None
) -> Iterator[tuple[str, bytes]]:
    """Make every file of the site, by its place."""
    pages = _load_pages()
    # The days on which entries were checked or, unchecked, their runs ended: YYYY-MM-DD.
    checked = [
        (entry.verdict.checked_at if entry.verdict else entry.submission.made_at)[:10]
        for entry in accepted
    ]
    yield MARKER, b""
    yield _render(
        pages,
        "index.html",
        title=NAME,
        boards=[
            (board, draw_board(board, number)) for number, board in enumerate(boards(accepted))
        ],
        paradigms=sorted({entry.submission.system.paradigm for entry in accepted}),
        teams=len({entry.submission.system.authors for entry in accepted}),
        # No date of the build: the same entries give the same bytes.
        latest=max(checked, default=""),
        submit_to=submit_to,
        by_mail=submit_to is not None and MAIL.fullmatch(submit_to) is not None,
        height=HEIGHT,
    )
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
    style, script = (
        "\n".join((folder / name).read_text("utf-8") for folder, name in sheets)
        for sheets in (STYLES, SCRIPTS)
    )
    pages = load_templates(HERE, SHARED)
    # Submitters give addresses: only of the web are they links, never "javascript:".
    pages.tests["web_address"] = lambda url: url.startswith(("https://", "http://"))
    pages.globals |= {
        "style": style,
        "script": script,
        "policy": policy(style, script),
        "version": metadata.version("stabench"),
        "pages": PAGES,
        "site": NAME,
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
