"""report.html: the whole report in one file that needs no network and runs only its own script."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stabench.harness.environment import Environment
from stabench.harness.files import write_bytes
from stabench.harness.formatting import counted, plain
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.report.html.audio_previews import (
    BUDGET_MB,
    OUTSIDE,
    Sounds,
    Sources,
    evenly,
    sources,
    within_budget,
)
from stabench.harness.report.html.clips import ClipView, Entrant, clip_views, entrants, judges
from stabench.harness.report.html.results_table import results_table
from stabench.harness.report.html.scatter import HEIGHT, PHASES, charts
from stabench.harness.report.html.waterfall import waterfalls
from stabench.harness.report.sections import SHOWN
from stabench.harness.report.table import Table
from stabench.harness.runs.metrics_file import ProvenanceRecord
from stabench.harness.runs.results import Results


def facts(results: Results) -> tuple[Section, ...]:
    """What a reviewer looks up; the other reports keep it in report.json."""
    found = []
    if results.metrics and results.metrics.provenance.embedders:
        found.append(_networks(results.metrics.provenance))
    if results.run:
        found += [_environment(results.run.record.environment)]
        found += [_packages(results.run.record.environment)]
    return tuple(found)


def _networks(provenance: ProvenanceRecord) -> Section:
    lines = [
        (role, net.name, net.origin, net.licence, net.sha256, net.identity)
        for role, net in provenance.embedders.items()
    ]
    return _section("Networks", ("Role", "Name", "Origin", "Licence", "sha256", "Identity"), lines)


def _environment(environment: Environment) -> Section:
    values = asdict(environment)
    values.pop("packages")
    lines = ((name.replace("_", " "), _written(value)) for name, value in values.items())
    return _section("Environment", ("What", "Value"), lines)


def _packages(environment: Environment) -> Section:
    return _section("Packages", ("Package", "Version"), environment.packages.items())


def _section(title: str, heads: Iterable[str], lines: Iterable[Iterable[str]]) -> Section:
    grid = Grid(tuple(map(Head, heads)), tuple(Line(tuple(map(Printed, cells))) for cells in lines))
    return Section(title, grid=grid)


def _written(value: Any) -> str:
    """A fact in a few words; what is not known says so."""
    if value is None or value == ():
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_written(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_written, value))
    return str(value)


ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""Within JSON these characters occur in strings only, where the escape means the same."""


def script_json(value: Any) -> str:
    """`value` as JSON without <, >, & and line separators; its texts without control characters."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


if TYPE_CHECKING:
    from jinja2 import Environment as Templates

NAME = "report.html"
HERE = Path(__file__).parent
SCRIPTS = ("spectrogram.js", "player.js", "clips.js", "page.js")
EXTREMES = "Best and worst clips"


FIRST = ("Notes",)
BEFORE_CLIPS = ("Latency", "Paired differences")
FOLDED = ("Packages",)


class Place(NamedTuple):
    """One section of this page; `kind` says how it is drawn, "section" from its text and grid."""

    title: str
    section: Section
    kind: str = "section"
    folded: bool = False

    @property
    def slug(self) -> str:
        """Its address in the page."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


class Sheet(NamedTuple):
    """A text in the page and the hash by which the page's policy lets it through."""

    text: str
    sha256: str


def write_html(results: Results, table: Table, page: Page, **how: Any) -> Path:
    """Write report.html beside the other reports; `how` as in `to_html`."""
    path = results.folder / NAME
    write_bytes(path, to_html(results, table, page, **how).encode())
    return path


def to_html(
    results: Results,
    table: Table,
    page: Page,
    *,
    sound_mb: float = BUDGET_MB,
    sound_from: Sequence[Path] = (),
) -> str:
    """The page. Every text in it is escaped, and without control characters.

    `sound_mb` limits the previews (0: none); `sound_from` are folders whose speech and recordings
    may be among them, besides the run folder and the cache.
    """
    systems, clips = entrants(results), clip_views(results)
    heard = _heard(results, page, clips, sources(results, systems, sound_from), sound_mb)
    style, script = sheet("page.css"), sheet(*SCRIPTS)
    drawn = charts(results, table)
    falls, failed = waterfalls(results, table), _failures(clips, systems)
    broken = results.metrics.references.failures if results.metrics else {}
    places = _places(results, page, bool(falls), bool(failed or broken))
    first = next(place for place in places if place.kind == "results")
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=page.title,
            lead=page.lead,
            csp=policy(style, script),
            style=style.text,
            script=script.text,
            places=places,
            results=results_table(table, first.section),
            charts=drawn,
            metrics={chart.metric: chart.metric_title for chart in drawn},
            phases=PHASES,
            height=HEIGHT,
            untimed=results.untimed,
            waterfalls=falls,
            failures=failed,
            references=broken,
            ids={clip.id for clip in clips},
            view=script_json(_view(results, clips, systems, heard)),
            sounds=[(place, script_json(_sounds(one))) for place, one in heard.items()],
            said=_said(heard, len(clips), bool(results.run), sound_mb),
        )
    )


def _places(results: Results, page: Page, timed: bool, failed: bool) -> list[Place]:
    """All sections in their order, those of this page between those of every report."""
    own = {section.title: section for section in page.sections if section.only != "terminal"}
    own |= {section.title: section for section in facts(results)}

    def taken(*titles: str) -> list[Place]:
        found = [own.pop(title) for title in titles if title in own]
        return [Place(one.title, one, folded=one.title in FOLDED) for one in found]

    results_, stages = own.pop("Results"), own.pop("Stages", Section("Stages"))
    own.pop("Failed clips", None)
    places = [Place("Results", results_, "results"), *taken(*FIRST)]
    places.append(Place("Quality against latency", Section(""), "charts"))
    places += [Place("Stages", stages, "stages")] if timed else []
    places += taken(*BEFORE_CLIPS)
    places += [Place("Clips", Section(""), "clips"), *taken(EXTREMES)]
    places += [Place("Failed clips", Section(""), "failures")] if failed else []
    return [*places, *taken(*list(own))]


def sheet(*names: str) -> Sheet:
    """Files of this folder as one text, with the hash that a browser will compute of it."""
    text = "\n" + "\n".join((HERE / name).read_text("utf-8") for name in names)
    digest = hashlib.sha256(text.encode()).digest()
    return Sheet(text, base64.b64encode(digest).decode("ascii"))


def policy(style: Sheet, script: Sheet) -> str:
    """The content security policy: our one style and one script; sound and pictures from within."""
    return (
        f"default-src 'none'; script-src 'sha256-{script.sha256}'; "
        f"style-src 'sha256-{style.sha256}'; img-src data:; media-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _templates() -> "Templates":
    """Templates that escape every text and print no control character."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    found.filters["plain"] = plain
    return found


def _finalized(value: Any) -> Any:
    """Texts made plain; markup (our sheets, JSON for a script, a template's own) stays as it is."""
    return plain(value) if type(value) is str else value


class Failed(NamedTuple):
    """A clip that a system failed."""

    system: str
    clip: str
    reason: str


def _failures(clips: Sequence[ClipView], systems: Sequence[Entrant]) -> list[Failed]:
    return [
        Failed(system.label, clip.id, output.reason or "")
        for index, system in enumerate(systems)
        for clip in clips
        if not (output := clip.outputs[index]).ok
    ]


def _heard(
    results: Results,
    page: Page,
    clips: Sequence[ClipView],
    found_at: Sequence[Sources],
    budget_mb: float,
) -> dict[int, Sounds]:
    """Sounds of all clips; beyond the budget of the best and worst, then of clips spread evenly."""
    if results.run is None:
        return {}
    index = {clip.id: place for place, clip in enumerate(clips)}
    first = [index[name] for name in _extremes(page) if name in index]
    order = dict.fromkeys([*first, *evenly(len(clips))])
    wanted = [(place, found_at[place]) for place in order]
    found = within_budget(wanted, budget_mb)
    return {place: found[place] for place in sorted(found)}


def _extremes(page: Page) -> Iterable[str]:
    """Clips of the list of best and worst ones: the very best and worst of each system first."""
    listed = next((section for section in page.sections if section.title == EXTREMES), Section(""))
    lines = [line for line in (listed.grid.lines if listed.grid else ()) if line.cells]
    return (line.cells[1].main for rank in range(SHOWN) for line in lines[rank::SHOWN])


def _view(
    results: Results,
    clips: Sequence[ClipView],
    systems: Sequence[Entrant],
    heard: dict[int, Sounds],
) -> dict[str, Any]:
    """What the script of the clips reads."""
    return {
        "systems": [system._asdict() for system in systems],
        "judges": [judge._asdict() for judge in judges(results)],
        "clips": [
            {"id": c.id, "caption": c.caption, "labels": c.labels, "sound": place in heard}
            | {"outputs": [_output(output) for output in c.outputs]}
            for place, c in enumerate(clips)
        ],
    }


def _output(output: Any) -> dict[str, Any]:
    found = output.alignment
    aligned = (
        {"pieces": found.pieces, "errors": found.errors, "words": found.words} if found else None
    )
    values = {**output._asdict(), "alignment": aligned}
    return {key: value for key, value in values.items() if value is not None}


def _sounds(one: Sounds) -> dict[str, Any]:
    return {
        "speech": one.speech._asdict(),
        "reference": one.reference._asdict(),
        "outputs": [output._asdict() for output in one.outputs],
    }


def _said(heard: dict[int, Sounds], clips: int, run: bool, budget_mb: float) -> list[str]:
    """Which clips can be heard in the page, and which of their files were left out."""
    if not run:
        return ["Scores of folders keep no sound."]
    previews = [preview for sounds in heard.values() for preview in sounds.previews]
    outside = sum(preview.reason == OUTSIDE for preview in previews)
    files = f"{counted(outside, 'file')} of speech and recordings"
    left_out = [f"Sound not embedded, {files}: {OUTSIDE}."] if outside else []
    if not any(preview.data for preview in previews):
        return ["This page holds no sound; the WAV files lie in the run folder.", *left_out]
    about = "Sounds here are previews, MP3 and so not exact; the WAV files in the run folder are."
    if len(heard) < clips:
        about = (
            f"{len(heard)} of {counted(clips, 'clip')} have sound in this page (at most "
            f"{budget_mb:g} MB): the best and the worst, then some spread evenly. {about}"
        )
    return [about, *left_out]
