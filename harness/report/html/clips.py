"""The clips of a run, one by one: what was said, what each system heard, made and took."""

from collections.abc import Iterable, Mapping
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

    A deleted piece has nothing `heard`, an inserted one nothing `said`.
    """

    kind: str
    said: str
    heard: str


class Alignment(NamedTuple):
    """The pieces in order, and errors over words of the caption."""

    pieces: tuple[Piece, ...]
    errors: int
    words: int


def align(caption: str, transcript: str) -> Alignment:
    """The normalised texts aligned by jiwer, the counts those of `transcripts.word_errors`."""
    said, heard = normalise(caption).split(), normalise(transcript).split()
    if not said or not heard:
        kind, text = ("delete", said) if said else ("insert", heard)
        piece = Piece(kind, " ".join(said), " ".join(heard))
        return Alignment((piece,) if text else (), len(text), len(said))
    import jiwer

    found = jiwer.process_words(" ".join(said), " ".join(heard))
    errors = found.substitutions + found.deletions + found.insertions
    return Alignment(tuple(_pieces(found.alignments[0], said, heard)), errors, len(said))


def _pieces(chunks: Iterable, said: list[str], heard: list[str]) -> Iterable[Piece]:
    for chunk in chunks:
        yield Piece(
            chunk.type,
            " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )


NOT_RUN = "not run"


class Judge(NamedTuple):
    """A column that has a value for every clip."""

    key: str
    label: str
    better: str
    digits: int


class Output(NamedTuple):
    """One system on one clip. Without a result `reason` says why; times are means of `repeats`.

    `wav` is the exact output's address, relative to the run folder.
    """

    ok: bool
    reason: str | None
    values: dict[str, float]
    transcript: str | None
    alignment: Alignment | None
    processing_ms: float | None
    generation_ms: float | None
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


def entrants(results: Results) -> tuple[Entrant, ...]:
    """The systems in the suite's order, or as they were scored."""
    if results.run:
        uses = results.run.suite.systems
        return tuple(
            Entrant(use.name, use.label or use.name, use.paradigm, results.random(use))
            for use in uses
        )
    records = results.metrics.systems if results.metrics else {}
    return tuple(Entrant(name, r.label, r.paradigm, False) for name, r in records.items())


def judges(results: Results) -> tuple[Judge, ...]:
    """The columns with a value for each clip, in the table's order."""
    if results.metrics is None:
        return ()
    found = {
        key
        for record in results.metrics.systems.values()
        for values in record.per_clip.values()
        for key in values
    }
    return tuple(
        Judge(key, about.label, about.better, about.digits)
        for key, about in results.metrics.columns.items()
        if key in found
    )


def clip_views(results: Results) -> tuple[ClipView, ...]:
    """Every clip in the dataset's order; of scored folders by name, their captions as scored."""
    trials = _trials(results)
    systems = entrants(results)
    if results.run:
        clips = [
            (clip.id, clip.caption or " | ".join(clip.judged_by) or None, clip.caption, clip.labels)
            for clip in results.run.clips
        ]
    else:
        captions = _captions(results)
        clips = [(name, captions.get(name), None, ()) for name in _names(results)]
    return tuple(
        ClipView(
            name,
            caption,
            tuple(labels),
            tuple(_output(results, one, name, said, trials) for one in systems),
        )
        for name, caption, said, labels in clips
    )


def _names(results: Results) -> list[str]:
    records = results.metrics.systems.values() if results.metrics else ()
    return sorted({clip for record in records for clip in (*record.per_clip, *record.failures)})


def _captions(results: Results) -> Mapping[str, str]:
    """The captions of scored folders, which only the clip table keeps.

    Raises StabenchError for a file that is no such table.
    """
    path = results.folder / clip_table.NAME
    if not path.exists():
        return {}
    from pyarrow import parquet

    try:
        found = parquet.read_table(path, columns=["clip", "caption"]).to_pylist()
        return {row["clip"]: row["caption"] for row in found if row["caption"]}
    except (ValueError, KeyError) as error:
        raise StabenchError(
            f"{path}: not a table of clips and captions ({error}); score the folders again"
        ) from None


def _trials(results: Results) -> dict[tuple[str, str], list[Trial]]:
    """The rows of each system and clip, by repeat."""
    found: dict[tuple[str, str], list[Trial]] = {}
    for row in sorted(results.trials, key=lambda row: row.repeat):
        found.setdefault((row.system, row.clip), []).append(row)
    return found


def _output(
    results: Results,
    system: Entrant,
    clip: str,
    said: str | None,
    trials: Mapping[tuple[str, str], list[Trial]],
) -> Output:
    rows = trials.get((system.name, clip), [])
    reason = _reason(results, system.name, clip, rows)
    text = rows[0].text if rows and rows[0].ok and not system.random else None
    heard = text if system.paradigm != "oracle" else None
    record = results.metrics.systems.get(system.name) if results.metrics else None
    measured = record.per_clip.get(clip, {}) if record and not system.random else {}
    timed = [] if results.untimed else [row for row in rows if row.ok]
    return Output(
        reason is None,
        reason,
        {key: value for key, value in measured.items() if isfinite(value)},
        heard,
        align(said, heard) if said and heard is not None else None,
        _mean_ms([row.phase_ns.get("represent") for row in timed]),
        _mean_ms([row.phase_ns.get("generate") for row in timed]),
        len(timed),
        _wav(results, system, clip, rows),
    )


def _reason(results: Results, system: str, clip: str, rows: list[Trial]) -> str | None:
    """Why there is no result: the scores' word, or before scoring the journal's."""
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


def _mean_ms(walls_ns: list[int | None]) -> float | None:
    known = [wall for wall in walls_ns if wall is not None]
    return sum(known) / len(known) / 1e6 if known else None


def _wav(results: Results, system: Entrant, clip: str, rows: list[Trial]) -> str | None:
    if results.run is None or system.random or not (rows and rows[0].ok):
        return None
    path = results.run.audio_path(system.name, clip)
    if not path.is_file():
        return None
    return "/".join(quote(part, safe="") for part in path.relative_to(results.folder).parts)
