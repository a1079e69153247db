"""Answers: one set of sounds against the exam; each column's value, interval and clips.

Clips are paired by id, never by position, and all sets share the exam's resamples, so that their
differences are paired. Failed clips are left out of a system's numbers; the reference set of FAD
and FD stays whole.
"""

from collections.abc import Sequence

import numpy as np

from harness.estimate import Estimate
from harness.exam import Exam
from harness.features import Heard
from metrics.bootstrap import (
    Interval,
    Replicates,
    centred_interval,
    inception_replicates,
    mean_interval,
    paired_difference,
    replicate_difference,
)
from metrics.clap import clap_score
from metrics.declarations import METRICS
from metrics.frechet import frechet_distance
from metrics.inception import SPLITS, inception_score
from metrics.kl import kl_divergence
from metrics.recall import event_recall

PER_CLIP = ("kl", "clap", "recall")
"""Columns that are means over clips; the others belong to a set as a whole."""
EMBEDDINGS = {"fad": "fad", "fd": "tagger"}
"""Which network's embeddings a Frechet distance is taken over."""
BOUND = {"fad": 0.0, "fd": 0.0, "is": 1.0}
"""What a column of a whole set cannot be below."""
LEAST = {"is": 2 * SPLITS}
"""Clips below which a column is not measured, where 2 are not enough: one in a split scores 1."""
NO_INTERVAL = "too few clips for an interval"


class Answers:
    """One set of sounds (a system's, or a sanity row's) against the exam."""

    def __init__(self, exam: Exam, heard: Heard) -> None:
        self._exam, self._heard = exam, heard
        self._replicates: dict[tuple[str, tuple[str, ...]], Replicates] = {}

    def clips(self, column: str) -> list[str]:
        """Clips with everything the column needs, sorted by id."""
        needs, exam = METRICS[column].needs, self._exam
        roles = [role for role in needs if role in exam.networks]
        sets = [self._heard.features[role].keys() for role in roles]
        if "reference" in needs:
            sets += [exam.references.features[role].keys() for role in roles]
        if "caption" in needs:
            sets.append(exam.captions.keys())
        if "labels" in needs:
            sets.append({name for name, clip in exam.clips.items() if clip.labels})
        return sorted(set(exam.ids).intersection(*sets))

    def estimate(self, column: str) -> Estimate:
        """The column's value and interval, or why there is none."""
        if reason := self._exam.lack(column):
            return Estimate.missing(reason)
        clips = self.clips(column)
        if reason := too_few(column, len(clips)):
            return Estimate.missing(reason, len(clips))
        if column in PER_CLIP:
            return of(mean_interval(self.values(column, clips), self._exam.drawn(clips)))
        if self._too_few_drawn(column, clips):
            return Estimate(self._whole(column, clips), n=len(clips), reason=NO_INTERVAL)
        return of(centred_interval(self.replicates(column, clips)), BOUND[column])

    def per_clip(self, column: str) -> dict[str, float]:
        """The value of each clip, for a column that is a mean over clips."""
        if self._exam.lack(column) or not (clips := self.clips(column)):
            return {}
        return dict(zip(clips, self.values(column, clips).tolist(), strict=True))

    def minus(self, other: "Answers", column: str) -> Estimate:
        """This minus the other, over the clips that both have."""
        if reason := self._exam.lack(column):
            return Estimate.missing(reason)
        clips = sorted({*self.clips(column)} & {*other.clips(column)})
        if reason := too_few(column, len(clips)):
            return Estimate.missing(reason, len(clips))
        if column in PER_CLIP:
            mine, theirs = self.values(column, clips), other.values(column, clips)
            return of(paired_difference(mine, theirs, self._exam.drawn(clips)))
        if self._too_few_drawn(column, clips):
            value = self._whole(column, clips) - other._whole(column, clips)
            return Estimate(value, n=len(clips), reason=NO_INTERVAL)
        mine, theirs = self.replicates(column, clips), other.replicates(column, clips)
        return of(replicate_difference(mine, theirs))

    def values(self, column: str, clips: Sequence[str]) -> np.ndarray:
        """The column of each clip [N]; `column` is one of PER_CLIP."""
        exam = self._exam
        if column == "clap":
            text = np.stack([exam.captions[clip] for clip in clips])
            return clap_score(text, self._embeddings("clap", clips))
        logits = self._logits(clips)
        if column == "recall":
            return event_recall(
                logits, exam.networks["tagger"].embedder.thresholds, exam.events(clips)
            )
        references = exam.references.features["tagger"]
        return kl_divergence(logits, np.stack([references[clip].logits for clip in clips]))

    def replicates(self, column: str, clips: Sequence[str]) -> Replicates:
        """The column of the whole set and of each resample; `column` is not one of PER_CLIP."""
        key = (column, tuple(clips))
        if key not in self._replicates:
            drawn = self._exam.drawn(clips)
            if column == "is":
                self._replicates[key] = inception_replicates(self._logits(clips), drawn)
            else:
                reference = self._exam.reference_sets[EMBEDDINGS[column]]
                frames = [
                    self._heard.features[EMBEDDINGS[column]][clip].embeddings for clip in clips
                ]
                self._replicates[key] = reference.replicates(frames, drawn)
        return self._replicates[key]

    def _whole(self, column: str, clips: Sequence[str]) -> float:
        if column == "is":
            return inception_score(self._logits(clips)).mean
        role = EMBEDDINGS[column]
        references = self._exam.references.features[role].values()
        frames = np.concatenate([found.embeddings for found in references])
        return frechet_distance(self._embeddings(role, clips), frames)

    def _too_few_drawn(self, column: str, clips: Sequence[str]) -> bool:
        fewest = self._exam.drawn(clips).counts.sum(axis=1).min()
        return fewest < (SPLITS if column == "is" else 2)

    def _embeddings(self, role: str, clips: Sequence[str]) -> np.ndarray:
        return np.concatenate([self._heard.features[role][clip].embeddings for clip in clips])

    def _logits(self, clips: Sequence[str]) -> np.ndarray:
        return np.stack([self._heard.features["tagger"][clip].logits for clip in clips])


def too_few(column: str, clips: int) -> str | None:
    """Why `clips` are not enough for the column, or None."""
    least = LEAST.get(column, 2)
    if clips >= least:
        return None
    return f"needs at least {least} clips, has {clips}"


def of(interval: Interval, least: float | None = None) -> Estimate:
    """The metric's interval as the report's estimate.

    A centred interval may reach below the `least` possible value; it is cut there.
    """
    low = interval.low if least is None else max(interval.low, least)
    return Estimate(interval.value, low, interval.high, interval.n)
