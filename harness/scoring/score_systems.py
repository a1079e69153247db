"""Scores: the content of metrics.json, every system and sanity row against one exam, and pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from stabench.harness.runs.audio_digest import of_recordings
from stabench.harness.runs.influence_file import Influences, Shares, keys
from stabench.harness.runs.metrics_file import (
    DifferenceRecord,
    MetricsFile,
    ReferencesRecord,
    SanityRecord,
    SystemRecord,
)
from stabench.harness.scoring.evaluation_set import Exam
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import Heard, Progress, Sounds, hear
from stabench.harness.scoring.input_dependence import dependences, recordings_dependence
from stabench.harness.scoring.provenance import (
    SHARE,
    columns_about,
    comparability,
    describe_copies,
    provenance,
)
from stabench.harness.scoring.sanity import (
    CEILING,
    OutsideRow,
    Reconstruct,
    Regenerate,
    Sanity,
)
from stabench.harness.stats.bootstrap import bound, interval, ratio_statistic
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import DEFAULT, UNSTATED, load_task
from stabench.metrics.levels import describe_levels
from stabench.metrics.registry import WER

# Columns without paired differences: their bias differs from system to system.
UNPAIRED = ("is", "fad_inf")
# Up to so many systems all pairs are compared, beyond it those that answer a question.
MOST_PAIRED = 6


@dataclass(frozen=True)
class Entrant:
    """One system to score: its outputs by clip, why others failed, what it heard."""

    name: str
    label: str
    paradigm: str
    sounds: Sounds
    failures: Mapping[str, str] = field(default_factory=dict)
    transcripts: Mapping[str, str] = field(default_factory=dict)
    # Clips it finished, where they have no sound (`--phase represent`).
    clips: int = 0
    # Why its quality is not to be measured, where that is so.
    refused: str | None = None


class Choice(NamedTuple):
    """What to score: columns, sanity rows, ceiling, floor, notes for the reader; of which task."""

    columns: tuple[str, ...]
    sanity: tuple[str | OutsideRow, ...] = ()
    ceiling: Reconstruct | None = None
    floor: Regenerate | None = None
    notes: tuple[str, ...] = ()
    task: str = DEFAULT

    def without_sanity(self) -> "Choice":
        """Return the same without rows of known sounds."""
        return self._replace(sanity=(), ceiling=None, floor=None)


class Scored(NamedTuple):
    """One scored system: its part of metrics.json, its answers for the pairs, and notes."""

    entrant: Entrant
    answers: Answers
    part: SystemRecord
    notes: tuple[str, ...] = ()


class Sheet(NamedTuple):
    """The content of metrics.json, and the shares of clips in it."""

    content: MetricsFile
    influences: Influences


def sheet(
    exam: Exam, entrants: list[Entrant], references: Sounds, choice: Choice, progress: Progress
) -> Sheet:
    """Return the scores of all systems, and what each clip adds to those of a set as a whole.

    The same bytes for the same sounds, weights and seed.
    """
    outputs = [hear(each.name, each.sounds, exam.networks, progress) for each in entrants]
    # Before anything is measured: which clips are copies is seen from all sounds together.
    exam = replace(exam, outputs=tuple(outputs), _kept={})
    known = Sanity(exam, references, choice.columns, progress)
    sanity = dict(known.rows(choice.sanity, choice.ceiling, choice.floor))
    ceiling = sanity[CEILING].answers if CEILING in sanity else None
    scored = [
        _score_system(exam, entrant, heard, choice.columns, ceiling)
        for entrant, heard in zip(entrants, outputs, strict=True)
    ]
    extra = [SHARE] if ceiling and "recall" in choice.columns else []
    heard = any(entrant.transcripts for entrant in entrants) and WER not in choice.columns
    extra += [WER] if heard else []
    minuends = load_task(choice.task).minuends
    content = MetricsFile(
        task=choice.task,
        n_clips=len(exam.ids),
        columns=columns_about(exam, (*choice.columns, *extra)),
        systems={system.entrant.name: system.part for system in scored},
        sanity={
            name: SanityRecord(
                label=row.label, n=row.clips, failed=0, cells=row.cells, source=row.source
            )
            for name, row in sanity.items()
        },
        paired=tuple(
            record
            for a, b in pairs(scored, minuends)
            for record in _list_differences(a, b, choice.columns)
        ),
        references=_describe_references(exam, len(references)),
        provenance=provenance(exam),
        notes=(
            *choice.notes,
            *describe_copies(exam),
            *comparability(exam),
            *_describe_sounds(exam, scored),
        ),
    )
    return Sheet(content, _collect_influences(exam, scored, choice.columns))


def _describe_sounds(exam: Exam, scored: list[Scored]) -> Iterator[str]:
    """Yield what is odd about the levels of recordings and outputs."""
    yield from describe_levels("recordings", exam.references.levels.values())
    for system in scored:
        yield from system.notes


def _describe_references(exam: Exam, asked: int) -> ReferencesRecord:
    """Return which of the recordings that were `asked` for were heard, and as how many rows."""
    broken = exam.references.broken
    return ReferencesRecord(
        n=asked - len(broken),
        audio_sha256=of_recordings(
            exam.references.keys, {clip: exam.items[clip].references for clip in exam.ids}
        ),
        frames=Answers(exam, exam.probes, exam.references).frames(),
        failures=dict(broken),
        input_dependence=recordings_dependence(exam),
    )


def _collect_influences(exam: Exam, scored: list[Scored], columns: tuple[str, ...]) -> Influences:
    """Return the shares of each system whose quality is measured, under the keys of groups."""
    groups = exam.groups
    names = keys(groups.clips, groups.recordings, groups.count)
    shares: Shares = {}
    values: dict[str, dict[str, float]] = {}
    for system in (system for system in scored if not system.entrant.refused):
        for column in columns:
            parts = system.answers.shares(column)
            if parts is not None:
                by_group = dict(zip(names, parts.tolist(), strict=True))
                shares.setdefault(system.entrant.name, {})[column] = by_group
                value = system.part.cells[column].value
                assert value is not None, f"{column} has shares and no value"
                values.setdefault(system.entrant.name, {})[column] = value
    alike = {clip: names[index] for clip, index in sorted(groups.clips.items())}
    shared = {clip: key for clip, key in alike.items() if key != clip}
    return Influences(shares, values, shared)


def _score_system(
    exam: Exam,
    entrant: Entrant,
    heard: Heard,
    columns: tuple[str, ...],
    ceiling: Answers | None,
) -> Scored:
    answers = Answers(exam, exam.items, heard, entrant.transcripts)
    failures = {**entrant.failures, **heard.broken}
    # What a recogniser heard needs no network to judge it.
    measured = [column for column in columns if column != WER]
    cells = {column: answers.estimate(column) for column in measured}
    if entrant.refused:
        cells = dict.fromkeys(measured, Estimate.missing(entrant.refused))
    if ceiling and "recall" in columns:
        cells[SHARE] = _share_ceiling(exam, answers, ceiling)
    cells[WER] = answers.estimate(WER)
    per_clip: dict[str, dict[str, float]] = {}
    for column in columns:
        for clip, value in answers.per_clip(column).items():
            per_clip.setdefault(clip, {})[column] = value
    part = SystemRecord(
        label=entrant.label,
        paradigm=entrant.paradigm,
        audio_sha256=heard.sha256,
        n=(len(entrant.sounds) or entrant.clips) - len(heard.broken),
        failed=len(failures),
        failures=failures,
        frames=answers.frames(),
        cells=cells,
        per_clip=dict(sorted(per_clip.items())),
        input_dependence=dependences(exam, exam.items, heard),
    )
    notes = tuple(describe_levels(entrant.label, heard.levels.values()))
    return Scored(entrant, answers, part, notes)


def _share_ceiling(exam: Exam, answers: Answers, ceiling: Answers) -> Estimate:
    """Return event recall of a system over that of the ceiling, on the clips that both have."""
    if reason := exam.lack(exam.metrics["recall"]):
        return Estimate.missing(reason)
    recall, top = answers.per_clip("recall"), ceiling.per_clip("recall")
    recordings = {clip: exam.items[clip].references for clip in recall}
    clips = sorted(clip for clip, names in recordings.items() if names and names[0] in top)
    if answers.different(clips) < 2:
        return Estimate.missing(f"needs at least 2 clips, has {len(clips)}", len(clips))
    above = np.array([recall[clip] for clip in clips])
    below = np.array([top[recordings[clip][0]] for clip in clips])
    members = np.array([exam.groups.clips[clip] for clip in clips])
    try:
        share = ratio_statistic(above, below, members, exam.groups.count)
    except ValueError as error:
        return Estimate.missing(str(error), len(clips))
    return bound(interval(share, exam.draws), answers.different(clips), 0.0)


def pairs(scored: list[Scored], minuends: Sequence[str]) -> list[tuple[Scored, Scored]]:
    """Return which systems are compared: paradigms of `minuends` minus those after them.

    Of more than MOST_PAIRED systems: those of different paradigms, and the first end-to-end
    system with the others of its kind (its ablations).
    """
    order = (*minuends, UNSTATED)
    ordered = sorted(scored, key=lambda system: order.index(system.entrant.paradigm))
    every = list(combinations(ordered, 2))
    if len(ordered) <= MOST_PAIRED:
        return every
    return [(a, b) for a, b in every if a is ordered[0] or a.entrant.paradigm != b.entrant.paradigm]


def _list_differences(a: Scored, b: Scored, columns: tuple[str, ...]) -> list[DifferenceRecord]:
    columns = tuple(column for column in columns if column != WER)
    # WER needs no network: it is compared wherever both systems wrote what they heard.
    spoken = [WER] if a.entrant.transcripts and b.entrant.transcripts else []
    return [
        DifferenceRecord(
            a=a.entrant.name,
            b=b.entrant.name,
            column=column,
            difference=a.answers.minus(b.answers, column),
        )
        for column in (*columns, *spoken)
        if column not in UNPAIRED
    ]
