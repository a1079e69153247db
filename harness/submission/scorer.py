"""The judge: a suite's own networks, recordings and captions, ready to score anybody's outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from stabench.harness.datasets.dataset import Clip
from stabench.harness.runs.metrics_file import EmbedderRecord, ProtocolRecord
from stabench.harness.scoring import score
from stabench.harness.scoring.evaluation_set import Exam
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import Heard, Progress, Sounds, hear
from stabench.harness.scoring.input_dependence import fit_tables
from stabench.harness.scoring.provenance import WER, columns_about, provenance
from stabench.harness.scoring.score import Hearing
from stabench.harness.scoring.wer import word_error_rate
from stabench.harness.stats.estimate import Estimate
from stabench.harness.submission.features_file import ByClip
from stabench.harness.submission.schema import MetricCard, OutputCard, ScoringCard
from stabench.harness.suites import protocols
from stabench.harness.suites.suite import Suite
from stabench.metrics.audio import decode
from stabench.metrics.contract import Features
from stabench.metrics.registry import METRICS


class Verdict(NamedTuple):
    """Every column of one system, and the value of each clip where a column has one."""

    metrics: dict[str, MetricCard]
    values: dict[str, dict[str, float]]


class _Kept(NamedTuple):
    """Features in place of a network, as `Heard` reads them."""

    cache: Mapping[str, Features]


@dataclass(frozen=True)
class Judge:
    """`exam` of a suite's clips, its `columns`; `recordings` by id."""

    exam: Exam
    columns: tuple[str, ...]
    recordings: Sounds

    @classmethod
    def of(
        cls, suite: Suite, clips: Sequence[Clip], progress: Progress, device: str = "cpu"
    ) -> "Judge":
        """The judge of a suite; the recordings are heard here and now.

        Raises MissingError for weights or recordings that are not there.
        """
        metrics = suite.metrics
        protocol = protocols.load(metrics.protocol, metrics.networks)
        hearing = Hearing(device, threads=suite.protocol.threads, weights=metrics.weights)
        networks = score.networks_of(protocol, metrics.columns, hearing)
        names = score.recording_names(tuple(clips))
        sounds = {name: partial(decode, path) for path, name in names.items()}
        items = {clip.id: score.item_of(clip, names) for clip in clips}
        heard = hear("references", sounds, networks, progress)
        seed, bootstrap = suite.protocol.seed, suite.protocol.bootstrap
        exam = Exam(items, protocol, networks, heard, seed, bootstrap)
        return cls(exam, metrics.columns, sounds)

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks, by role."""
        return tuple(self.exam.networks)

    def hear(self, sounds: Sounds, progress: Progress) -> Heard:
        """What the networks make of outputs by clip."""
        return hear("outputs", sounds, self.exam.networks, progress)

    def verdict(self, found: Mapping[str, ByClip], transcripts: Mapping[str, str]) -> Verdict:
        """Score outputs by their features, `found` by role and clip."""
        answers = Answers(self.exam, self.exam.items, given(found))
        cells = {column: answers.estimate(column) for column in self.columns}
        if transcripts:
            cells[WER] = word_error_rate(self.exam, transcripts)
        values: dict[str, dict[str, float]] = {}
        for column in self.columns:
            for clip, value in answers.per_clip(column).items():
                values.setdefault(clip, {})[column] = value
        return Verdict({name: self._card(name, cell) for name, cell in cells.items()}, values)

    def _card(self, column: str, cell: Estimate) -> MetricCard:
        about = columns_about(self.exam, (column,))[column]
        kept = {key: about[key] for key in ("label", "better", "unit", "digits", "version")}
        known = column in METRICS
        role = about.get("embedder")
        return MetricCard(
            **kept,
            embedder=self.exam.networks[role].identity if role else None,
            protocol=self.exam.protocol.digest if known else None,
            **cell._asdict(),
        )

    def fits(self, found: Mapping[str, ByClip]) -> dict[str, np.ndarray]:
        """How well output i fits clip j [N, N] by measure, higher is better, where it can be."""
        tables = fit_tables(self.exam, self.exam.items, given(found))
        return {
            f"{'' if fits.higher else '-'}{METRICS[column].label}": fits.better
            for column, fits in tables.items()
        }

    def scoring(self) -> ScoringCard:
        """The rules and networks behind the verdict."""
        about = provenance(self.exam)
        return ScoringCard(
            protocol=ProtocolRecord.model_validate(about["protocol"]),
            embedders={
                role: EmbedderRecord.model_validate(one) for role, one in about["embedders"].items()
            },
            seed=about["seed"],
            bootstrap=about["bootstrap"],
        )


def given(found: Mapping[str, ByClip]) -> Heard:
    """Features by role and clip as if they had been heard."""
    clips = next(iter(found.values()), {})
    return Heard({role: _Kept(one) for role, one in found.items()}, {clip: clip for clip in clips})


def with_values(
    outputs: Mapping[str, OutputCard], values: Mapping[str, dict[str, float]]
) -> dict[str, OutputCard]:
    """The outputs with their metrics filled in."""
    return {
        clip: one.model_copy(update={"values": values.get(clip, {})})
        for clip, one in outputs.items()
    }
