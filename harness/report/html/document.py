"""report.html: the whole report in one file that needs no network and runs only its own script.

It shows the page that the other formats show, its sections looked up by their keys, and what only
a browser can: charts, waterfalls and the clips with their sound.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stabench.harness.files import write_bytes
from stabench.harness.formatting import counted
from stabench.harness.render.escape import encode_script_json, load_templates
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.report.html.audio_previews import (
    BUDGET_MB,
    OUTSIDE,
    Sounds,
    Sources,
    encode_within,
    spread_evenly,
)
from stabench.harness.report.html.clips import (
    ClipView,
    Entrant,
    list_entrants,
    list_judges,
    view_clips,
)
from stabench.harness.report.html.results_table import tabulate_results
from stabench.harness.report.html.scatter import (
    HEIGHT,
    assign_markers,
    choose_first,
    draw_charts,
    name_latencies,
)
from stabench.harness.report.html.sound_folders import Unused, find_sounds, parse_sound_folders
from stabench.harness.report.html.waterfall import draw_waterfalls
from stabench.harness.report.sections import SHOWN, count_separated, rank_extremes
from stabench.harness.report.table import Table
from stabench.harness.runs.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment

NAME = "report.html"
HERE = Path(__file__).parent
SHEETS = ("parts.css", "page.css")
SCRIPTS = ("spectrogram.js", "player.js", "clips.js", "page.js", "scroll.js")

BEFORE_CLIPS = ("latency", "differences")
AFTER_CLIPS = ("extremes",)
FOLDED = ("packages",)


def describe_facts(results: Results) -> Iterator[Section]:
    """Yield what a reviewer looks up; the other reports keep it in report.json."""
    if results.metrics and results.metrics.provenance.embedders:
        heads = ("Role", "Name", "Origin", "Licence", "sha256", "Identity")
        nets = results.metrics.provenance.embedders.items()
        cells = (
            (role, net.name, net.origin, net.licence, net.sha256, net.identity)
            for role, net in nets
        )
        yield _tabulate("networks", "Networks", heads, cells)
    if results.run:
        values = asdict(results.run.record.environment)
        packages = values.pop("packages")
        facts = ((name.replace("_", " "), _format(value)) for name, value in values.items())
        yield _tabulate("environment", "Environment", ("What", "Value"), facts)
        yield _tabulate("packages", "Packages", ("Package", "Version"), packages.items())


def _tabulate(
    key: str, title: str, heads: Iterable[str], lines: Iterable[Iterable[str]]
) -> Section:
    grid = Grid(tuple(map(Head, heads)), tuple(Line(tuple(map(Printed, cells))) for cells in lines))
    return Section(key, title, grid=grid)


def _format(value: Any) -> str:
    """Return a fact in a few words; what is not known says so."""
    if value is None or value == ():
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_format(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_format, value))
    return str(value)


class Place(NamedTuple):
    """One section of this page; `kind` says how it is drawn, "section" from its text and grid.

    The section's key is its address in the page.
    """

    section: Section
    kind: str = "section"
    folded: bool = False


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
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """Return the page. Every text in it is escaped, and without control characters.

    `sound_mb` limits the previews (0: none); `sound_from` are folders whose sounds may be among
    them (report/html/sound_folders.py), besides the run folder and the cache. `tell` takes a line
    for each folder of which nothing is used; the page has those lines too.
    """
    systems, clips = list_entrants(results), view_clips(results)
    found = find_sounds(results, clips, systems, parse_sound_folders(sound_from, results))
    for each in found.unused:
        tell(f"--sound-from {each.folder.text}: not used, {each.why}")
    sounds = _choose_sounds(results, clips, found.sources, sound_mb)
    style, script = load_sheet(*SHEETS), load_sheet(*SCRIPTS)
    falls = draw_waterfalls(results, table)
    failures = _list_failures(clips, systems)
    broken = results.metrics.references.failures if results.metrics else {}
    return (
        _load_page()
        .get_template("page.html")
        .render(
            title=page.title,
            lead=page.lead,
            csp=write_policy(style, script),
            style=style.text,
            script=script.text,
            places=_arrange(results, page, bool(falls), bool(failures or broken)),
            results=tabulate_results(table, page.section("results")),
            **_describe_charts(results, table),
            waterfalls=falls,
            failures=failures,
            references=broken,
            # What a table names as a clip is a link only if the page has that clip.
            ids={clip.id for clip in clips},
            view=encode_script_json(_describe_view(results, clips, systems, sounds)),
            # Each in an element of its own, decoded when its clip is opened.
            sounds=[(n, encode_script_json(_describe_sounds(clip))) for n, clip in sounds.items()],
            remarks=_describe_coverage(results, sounds, len(clips), sound_mb, found.unused),
        )
    )


def _arrange(results: Results, page: Page, timed: bool, failed: bool) -> list[Place]:
    """Return all sections in their order, those of this page between those of every report."""
    shown = [section for section in page.sections if section.only != "terminal"]
    sections = {section.key: section for section in (*shown, *describe_facts(results))}

    def take(*keys: str) -> list[Place]:
        taken = [sections.pop(key) for key in keys if key in sections]
        return [Place(section, folded=section.key in FOLDED) for section in taken]

    stages = sections.pop("stages", Section("stages", "Stages"))
    # This page lists every failed clip, the others the first ones.
    sections.pop("failures", None)
    places = [Place(sections.pop("results"), "results"), *take("notes")]
    places.append(Place(Section("charts", "Quality against latency"), "charts"))
    places += [Place(stages, "stages")] if timed else []
    places += take(*BEFORE_CLIPS)
    places += [Place(Section("clips", "Clips"), "clips"), *take(*AFTER_CLIPS)]
    places += [Place(Section("failures", "Failed clips"), "failures")] if failed else []
    # What this page does not know is shown too.
    return [*places, *take(*list(sections))]


def load_sheet(*names: str) -> Sheet:
    """Return files of this folder as one text, with the hash that a browser will compute of it."""
    # The hash is of all that lies between the tags, line breaks included.
    text = "\n" + "\n".join((HERE / name).read_text("utf-8") for name in names)
    digest = hashlib.sha256(text.encode()).digest()
    return Sheet(text, base64.b64encode(digest).decode("ascii"))


def write_policy(style: Sheet, script: Sheet) -> str:
    """Return the content security policy: our one style and script, sound from within."""
    return (
        f"default-src 'none'; script-src 'sha256-{script.sha256}'; "
        f"style-src 'sha256-{style.sha256}'; img-src data:; media-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _load_page() -> "Environment":
    return load_templates(HERE)


def _describe_charts(results: Results, table: Table) -> dict[str, Any]:
    """Return what the template draws its charts from, and by which it lets the reader choose."""
    charts, separated = draw_charts(results, table), count_separated(results.judged, table)
    pairs = {(record.a, record.b) for record in results.paired}
    return {
        "charts": charts,
        "first": choose_first(charts, separated, len(pairs), "paired differences"),
        "metrics": {chart.metric: chart.metric_title for chart in charts},
        "phases": name_latencies(results.task),
        "markers": assign_markers(results.task),
        "told": results.task.told,
        "height": HEIGHT,
        "untimed": results.untimed,
    }


class Failed(NamedTuple):
    """A clip that a system failed."""

    system: str
    clip: str
    reason: str


def _list_failures(clips: Sequence[ClipView], systems: Sequence[Entrant]) -> list[Failed]:
    return [
        Failed(system.label, clip.id, output.reason or "")
        for index, system in enumerate(systems)
        for clip in clips
        if not (output := clip.outputs[index]).ok
    ]


def _choose_sounds(
    results: Results, clips: Sequence[ClipView], wanted: Sequence[Sources], budget_mb: float
) -> dict[int, Sounds]:
    """Return the sounds of clips by their place in `clips`: of all, if the budget allows.

    Else of the best and the worst, the very best and worst of each system before the next ones,
    then of clips spread evenly.
    """
    if not wanted:
        return {}
    extremes = rank_extremes(results.metrics, results.random_systems) if results.metrics else []
    # Each rank of all the lists before the next rank of any.
    lists = [clips for system in extremes for clips in (system.best, system.worst)]
    ranked = [clips[rank] for rank in range(SHOWN) for clips in lists]
    index = {clip.id: place for place, clip in enumerate(clips)}
    first = [index[name] for name in ranked if name in index]
    order = dict.fromkeys([*first, *spread_evenly(len(clips))])
    sounds = encode_within([(place, wanted[place]) for place in order], budget_mb)
    return {place: sounds[place] for place in sorted(sounds)}


def _describe_view(
    results: Results,
    clips: Sequence[ClipView],
    systems: Sequence[Entrant],
    sounds: dict[int, Sounds],
) -> dict[str, Any]:
    """Return what the script of the clips reads."""
    views = []
    for place, clip in enumerate(clips):
        outputs = []
        for output in clip.outputs:
            alignment = output.alignment and output.alignment._asdict()
            values = {**output._asdict(), "alignment": alignment}
            # The script takes a field that is missing for unknown.
            outputs.append({key: value for key, value in values.items() if value is not None})
        about = {"id": clip.id, "caption": clip.caption, "labels": clip.labels}
        views.append({**about, "sound": place in sounds, "outputs": outputs})
    return {
        "systems": [system._asdict() for system in systems],
        "judges": [judge._asdict() for judge in list_judges(results)],
        "times": [
            {"key": phase.column.key, "label": f"{phase.column.label} (ms)", "digits": 1}
            for phase in results.task.phases
        ],
        "clips": views,
    }


def _describe_sounds(sounds: Sounds) -> dict[str, Any]:
    return {
        "speech": sounds.speech._asdict(),
        "reference": sounds.reference._asdict(),
        "outputs": [output._asdict() for output in sounds.outputs],
    }


def _describe_coverage(
    results: Results,
    sounds: dict[int, Sounds],
    clips: int,
    budget_mb: float,
    unused: Sequence[Unused],
) -> list[str]:
    """Return which clips can be heard in the page, and which of their files were left out."""
    run, of_no_use = results.run is not None, [each.line for each in unused]
    if not run and not sounds:
        return [
            *of_no_use,
            "Scores of folders keep no sound; stabench report SCORES --sound-from DIR adds it.",
        ]
    # Only what was chosen was looked for: of clips beyond the budget nothing is known.
    previews = [preview for clip in sounds.values() for preview in clip.previews]
    outside = sum(preview.reason == OUTSIDE for preview in previews)
    files = f"{counted(outside, 'file')} of speech and recordings"
    left_out = [f"Sound not embedded, {files}: {OUTSIDE}."] if outside else []
    left_out += of_no_use
    if not any(preview.data for preview in previews):
        silent = "This page holds no sound"
        beside = "; the WAV files lie in the run folder" if run else ""
        return [f"{silent}{beside}.", *left_out]
    where = "in the run folder" if run else "that were scored"
    about = f"Sounds here are previews, MP3 and so not exact; the WAV files {where} are."
    if len(sounds) < clips:
        about = (
            f"{len(sounds)} of {counted(clips, 'clip')} have sound in this page (at most "
            f"{budget_mb:g} MB): the best and the worst, then some spread evenly. {about}"
        )
    return [about, *left_out]
