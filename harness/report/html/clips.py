"""The clips of a run, one by one: what was said, what each system heard, made and took."""

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple
from urllib.parse import quote

from stabench.harness.errors import StabenchError
from stabench.harness.runs.journal import Row as Trial
from stabench.harness.runs.results import Results
from stabench.harness.scoring import clip_table
from stabench.metrics.wer import normalise


class Piece(NamedTuple):
    """Words in a row of one `kind`: equal, substitute, delete or insert.

    A deleted piece has nothing `heard`, an inserted one nothing `spoken`. The script of the page
    unpacks the three in this order.
    """

    kind: str
    spoken: str
    heard: str


class Alignment(NamedTuple):
    """The pieces in order, and errors over words of the caption."""

    pieces: tuple[Piece, ...]
    errors: int
    words: int


def align(caption: str, transcript: str) -> Alignment:
    """Return the normalised texts aligned by jiwer, counted as the word error rate counts them."""
    words, heard = normalise(caption).split(), normalise(transcript).split()
    # jiwer refuses an empty text.
    if not words or not heard:
        kind, text = ("delete", words) if words else ("insert", heard)
        piece = Piece(kind, " ".join(words), " ".join(heard))
        return Alignment((piece,) if text else (), len(text), len(words))
    import jiwer

    result = jiwer.process_words(" ".join(words), " ".join(heard))
    errors = result.substitutions + result.deletions + result.insertions
    pieces = tuple(
        Piece(
            chunk.type,
            " ".join(words[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in result.alignments[0]
    )
    return Alignment(pieces, errors, len(words))


NOT_RUN = "not run"


class Judge(NamedTuple):
    """A column that has a value for every clip."""

    key: str
    label: str
    better: str
    digits: int


class Output(NamedTuple):
    """One system on one clip. Without a result `reason` says why.

    `times_ms` are means over `repeats`, by the column of the phase; empty where nothing was timed.
    `wav` is the exact output's address, relative to the run folder.
    """

    ok: bool
    reason: str | None
    values: dict[str, float]
    transcript: str | None
    alignment: Alignment | None
    times_ms: dict[str, float]
    repeats: int
    wav: str | None


class ClipView(NamedTuple):
    """One clip; `outputs` in the order of the systems."""

    id: str
    caption: str | None
    labels: tuple[str, ...]
    outputs: tuple[Output, ...]


class Entrant(NamedTuple):
    """A system as the clips show it; one on random weights made no sound worth hearing."""

    name: str
    label: str
    paradigm: str
    random: bool


def list_entrants(results: Results) -> tuple[Entrant, ...]:
    """Return the systems in the suite's order, or as they were scored."""
    if results.run:
        uses = results.run.suite.systems
        return tuple(
            Entrant(use.name, use.label or use.name, use.paradigm, results.random(use))
            for use in uses
        )
    records = results.metrics.systems if results.metrics else {}
    return tuple(Entrant(name, r.label, r.paradigm, False) for name, r in records.items())


def list_judges(results: Results) -> tuple[Judge, ...]:
    """Return the columns with a value for each clip, in the table's order."""
    if results.metrics is None:
        return ()
    measured = {
        key
        for record in results.metrics.systems.values()
        for values in record.per_clip.values()
        for key in values
    }
    return tuple(
        Judge(key, about.label, about.better, about.digits)
        for key, about in results.metrics.columns.items()
        if key in measured
    )


def view_clips(results: Results) -> tuple[ClipView, ...]:
    """Return every clip in the dataset's order; of scored folders by name, captions as scored."""
    trials: dict[tuple[str, str], list[Trial]] = {}
    # Repeat 0 first: its sound is the one that is kept and scored.
    for row in sorted(results.trials, key=lambda row: row.repeat):
        trials.setdefault((row.system, row.clip), []).append(row)
    systems = list_entrants(results)
    if results.run:
        clips = [
            (clip.id, clip.caption or " | ".join(clip.judged_by) or None, clip.caption, clip.labels)
            for clip in results.run.clips
        ]
    else:
        captions, records = _read_captions(results), results.metrics and results.metrics.systems
        names = {
            clip
            for record in (records or {}).values()
            for clip in (*record.per_clip, *record.failures)
        }
        clips = [(name, captions.get(name), None, ()) for name in sorted(names)]
    return tuple(
        ClipView(
            name,
            caption,
            tuple(labels),
            tuple(
                _view_output(results, system, name, spoken, trials.get((system.name, name), []))
                for system in systems
            ),
        )
        for name, caption, spoken, labels in clips
    )


def _read_captions(results: Results) -> Mapping[str, str]:
    """Return the captions of scored folders, which only the clip table keeps.

    Raises StabenchError for a file that is no such table.
    """
    path = results.folder / clip_table.NAME
    if not path.exists():
        return {}
    from pyarrow import parquet

    # Columns by name: the table has a column for every metric besides.
    try:
        rows = parquet.read_table(path, columns=["clip", "caption"]).to_pylist()
        return {row["clip"]: row["caption"] for row in rows if row["caption"]}
    except (ValueError, KeyError) as error:
        raise StabenchError(
            f"{path}: not a table of clips and captions ({error}); score the folders again"
        ) from None


def _view_output(
    results: Results, system: Entrant, clip: str, spoken: str | None, rows: list[Trial]
) -> Output:
    """Return what one system made of one clip, from its `rows` by repeat."""
    reason = _explain_failure(results, system.name, clip, rows)
    text = rows[0].text if rows and rows[0].ok and not system.random else None
    # An oracle reads the caption; there is nothing that it heard.
    heard = text if system.paradigm not in results.task.told else None
    record = results.metrics.systems.get(system.name) if results.metrics else None
    measured = record.per_clip.get(clip, {}) if record and not system.random else {}
    # Warm-ups are not among the rows, failed repeats have no time.
    timed = [row for row in rows if row.ok] if results.is_timed(system.name) else []
    times_ms = {}
    for phase in results.task.phases:
        if walls_ns := [row.phase_ns[phase.name] for row in timed if phase.name in row.phase_ns]:
            times_ms[phase.column.key] = sum(walls_ns) / len(walls_ns) / 1e6
    return Output(
        reason is None,
        reason,
        # The page holds them as JSON, which has no infinity and no NaN.
        {key: value for key, value in measured.items() if isfinite(value)},
        heard,
        align(spoken, heard) if spoken and heard is not None else None,
        times_ms,
        len(timed),
        _link_wav(results, system, clip, rows),
    )


def _explain_failure(results: Results, system: str, clip: str, rows: list[Trial]) -> str | None:
    """Return why there is no result: the scores' word, or before scoring the journal's."""
    record = results.metrics.systems.get(system) if results.metrics else None
    if record and clip in record.failures:
        return record.failures[clip]
    if results.run is None:
        return None
    if not rows:
        return NOT_RUN
    if rows[0].ok:
        return None
    error = rows[0].error
    return f"{error.kind}: {error.message}" if error else rows[0].status


def _link_wav(results: Results, system: Entrant, clip: str, rows: list[Trial]) -> str | None:
    if results.run is None or system.random or not (rows and rows[0].ok):
        return None
    path = results.run.audio_path(system.name, clip)
    if not path.is_file():
        return None
    # A name may hold "?" or "#", which would end the address.
    return "/".join(quote(part, safe="") for part in path.relative_to(results.folder).parts)
