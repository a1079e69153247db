"""The scorer: a suite's own networks, recordings and captions, which score anybody's outputs.

Packing writes what it finds, and checking recomputes it from the sounds of the package.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from stabench.harness.datasets.dataset import Clip
from stabench.harness.scoring import score
from stabench.harness.scoring.evaluation_set import Exam
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import Heard, Progress, Sounds, hear
from stabench.harness.scoring.input_dependence import fit_tables
from stabench.harness.scoring.provenance import columns_about, provenance
from stabench.harness.scoring.score import Hearing
from stabench.harness.submission import audio_audit
from stabench.harness.submission.findings import HEARD, Finding, deviations, error, note
from stabench.harness.submission.package import Package
from stabench.harness.submission.schema import NAME, MetricCard, ScoringCard
from stabench.harness.submission.sources import read_transcripts
from stabench.harness.suites import protocols
from stabench.harness.suites.metrics import load_metrics
from stabench.harness.suites.suite import Suite
from stabench.metrics.audio import Audio, AudioError, decode
from stabench.metrics.registry import METRICS, WER


class Scores(NamedTuple):
    """Every column of one system, and the value of each clip where a column has one."""

    metrics: dict[str, MetricCard]
    values: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Scorer:
    """`exam` of a suite's clips, its `columns`; `recordings` by id."""

    exam: Exam
    columns: tuple[str, ...]
    recordings: Sounds

    @classmethod
    def load(
        cls, suite: Suite, clips: Sequence[Clip], progress: Progress, device: str = "cpu"
    ) -> "Scorer":
        """Load the scorer of a suite; the recordings are heard here and now.

        Raises MissingError for weights or recordings that are not there.
        """
        metrics = suite.metrics
        protocol = protocols.load(metrics.protocol, metrics.networks)
        hearing = Hearing(device, threads=suite.run.threads, weights=metrics.weights)
        columns = load_metrics(metrics.columns, suite.task)
        networks = score.networks_of(protocol, columns, hearing)
        names = score.recording_names(tuple(clips))
        sounds = {name: partial(decode, path) for path, name in names.items()}
        items = {clip.id: score.item_of(clip, names) for clip in clips}
        references = hear("references", sounds, networks, progress)
        seed, bootstrap = suite.run.seed, suite.run.bootstrap
        known = columns.metrics, columns.sources
        exam = Exam(items, protocol, networks, references, seed, bootstrap, *known)
        return cls(exam, columns.names, sounds)

    def hear(self, sounds: Sounds, progress: Progress) -> Heard:
        """Let the networks hear outputs by clip."""
        return hear("outputs", sounds, self.exam.networks, progress)

    def score(self, heard: Heard, transcripts: Mapping[str, str]) -> Scores:
        """Score the outputs that were heard."""
        answers = Answers(self.exam, self.exam.items, heard, transcripts)
        cells = {column: answers.estimate(column) for column in self.columns}
        if transcripts:
            cells[WER] = answers.estimate(WER)
        values: dict[str, dict[str, float]] = {}
        for column in self.columns:
            for clip, value in answers.per_clip(column).items():
                values.setdefault(clip, {})[column] = value
        cards: dict[str, MetricCard] = {}
        for column, about in columns_about(self.exam, tuple(cells)).items():
            role = about.embedder
            cards[column] = MetricCard(
                **about.model_dump(include={"label", "better", "unit", "digits", "version"}),
                # Word errors come without a network, and follow from no protocol.
                embedder=self.exam.networks[role].identity if role else None,
                protocol=self.exam.protocol.digest if role else None,
                **{key: part for key, part in cells[column]._asdict().items() if key != "sd"},
            )
        return Scores(cards, values)

    def fit_tables(self, heard: Heard) -> dict[str, np.ndarray]:
        """How well output i fits clip j [N, N] by measure, higher is better, where it can be."""
        tables = fit_tables(self.exam, self.exam.items, heard)
        return {
            f"{'' if fits.higher else '-'}{METRICS[column].label}": fits.better
            for column, fits in tables.items()
        }

    def scoring_card(self) -> ScoringCard:
        """Describe the rules and networks behind the scores."""
        about = provenance(self.exam)
        return ScoringCard(
            protocol=about.protocol,
            embedders=about.embedders,
            seed=about.seed,
            bootstrap=about.bootstrap,
        )


def rescore(package: Package, scorer: Scorer, progress: Progress) -> Iterator[Finding]:
    """Recompute every number of quality from the sounds of the package, and audit the sounds."""
    claimed = package.submission
    claimed_rules, rules = map(_drop_device, (claimed.scoring, scorer.scoring_card()))
    yield from deviations(NAME, "scoring", claimed_rules, rules)
    sounds = {clip: lambda sound=sound: sound for clip, sound in package.sounds.items()}
    heard = scorer.hear(sounds, progress)
    for clip, reason in heard.broken.items():
        yield error(f"audio/{clip}.wav", "content", reason)
    if heard.broken:
        return
    try:
        scores = scorer.score(heard, read_transcripts(package.sources))
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as fault:
        yield error(NAME, "metrics", f"the sounds cannot be scored: {fault}")
        return
    yield from deviations(NAME, "metrics", claimed.metrics, scores.metrics, HEARD)
    for clip, output in claimed.outputs.items():
        field, values = f"outputs.{clip}.values", scores.values.get(clip, {})
        yield from deviations(NAME, field, output.values, values, HEARD)
    yield from _audit(package, scorer, heard)
    yield note(NAME, "audio", f"all {len(package.sounds)} sounds heard and scored again")


def _drop_device(card: ScoringCard) -> dict[str, Any]:
    """Leave out what depends on the machine of scoring."""
    value = card.model_dump(mode="json")
    for embedder in value["embedders"].values():
        del embedder["device"]
    return value


def _audit(package: Package, scorer: Scorer, heard: Heard) -> Iterator[Finding]:
    """What a listener would notice."""
    outputs, items = package.submission.outputs, scorer.exam.items
    captions = {clip: item.said for clip, item in items.items()}
    recordings: dict[str, Audio] = {}
    for clip in outputs:
        # That a recording cannot be read is no fault of the submission.
        with suppress(AudioError):
            if references := items[clip].references:
                recordings[clip] = scorer.recordings[references[0]]()
    lengths_s = {clip: len(sound.samples) / sound.rate_hz for clip, sound in recordings.items()}
    yield from audio_audit.check_levels(package.sounds)
    yield from audio_audit.check_twins(outputs, captions)
    yield from audio_audit.check_near_twins(package.sounds, captions)
    yield from audio_audit.check_copies(package.sounds, recordings)
    yield from audio_audit.check_durations(outputs, lengths_s)
    yield from audio_audit.check_input_dependence(scorer.fit_tables(heard))
