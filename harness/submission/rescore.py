"""Rescoring: features against the sounds that are here, metrics against the features."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from stabench.harness.scoring.features import Progress
from stabench.harness.submission import audio_audit, features_file
from stabench.harness.submission.features_file import ByClip
from stabench.harness.submission.findings import HEARD, Finding, deviations, error, note, warning
from stabench.harness.submission.package import Package
from stabench.harness.submission.schema import NAME, ScoringCard, Submission
from stabench.harness.submission.scorer import Judge
from stabench.harness.submission.sources import transcripts
from stabench.metrics.audio import Audio, AudioError
from stabench.metrics.contract import Features

FEATURES = 1e-3
"""Relative distance of features of one sound on two machines; another sound is a thousand times
farther."""


def rescored(package: Package, judge: Judge, progress: Progress) -> Iterator[Finding]:
    """Every number of quality made again; needs the suite's networks and recordings."""
    said = package.submission
    yield from deviations(NAME, "scoring", _named(said.scoring), _named(judge.scoring()))
    try:
        found = features_file.decode(package.features, judge.roles, list(said.outputs))
        _check_widths(found, judge)
    except ValueError as fault:
        yield error(features_file.NAME, "content", str(fault))
        return
    heard, findings = _heard(package, judge, found, progress)
    yield from findings
    merged = {role: {**found[role], **heard[role]} for role in found}
    try:
        verdict = judge.verdict(merged, transcripts(package.sources))
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as fault:
        yield error(features_file.NAME, "content", f"cannot be scored: {fault}")
        return
    yield from deviations(NAME, "metrics", said.metrics, verdict.metrics, HEARD)
    for clip, one in said.outputs.items():
        own = verdict.values.get(clip, {})
        yield from deviations(NAME, f"outputs.{clip}.values", one.values, own, HEARD)
    yield from _audits(package, judge, merged)
    yield from _trusted(package, judge, merged)
    yield _covered(said)


def _named(card: ScoringCard) -> dict[str, Any]:
    """Without what depends on the machine of scoring."""
    value = card.model_dump(mode="json")
    for one in value["embedders"].values():
        del one["device"]
    return value


def _check_widths(found: Mapping[str, ByClip], judge: Judge) -> None:
    """Raises ValueError for features that cannot be of the suite's networks."""
    known = judge.exam.references
    for role, clips in found.items():
        [own] = known.features(role, judge.exam.recordings[:1])
        one = next(iter(clips.values()))
        shapes = [
            (each.embeddings.shape[1], None if each.logits is None else len(each.logits))
            for each in (own, one)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{role}: widths {shapes[1]}, the suite's network has {shapes[0]}")


def _heard(
    package: Package, judge: Judge, found: Mapping[str, ByClip], progress: Progress
) -> tuple[dict[str, ByClip], list[Finding]]:
    """Features of the sounds in the package by role and clip, and claims that are others."""
    sounds = {clip: _given(sound) for clip, sound in package.sounds.items()}
    heard = judge.hear(sounds, progress)
    findings = [
        error(f"audio/{clip}.wav", "content", reason) for clip, reason in heard.broken.items()
    ]
    clips = list(heard.keys)
    own: dict[str, ByClip] = {
        role: dict(zip(clips, heard.features(role, clips), strict=True)) for role in found
    }
    for role, clip in ((role, clip) for role in found for clip in clips):
        apart = distance(found[role][clip], own[role][clip])
        if apart > FEATURES:
            message = f"are not of the sound in the package (relative distance {apart:.3g})"
            findings.append(error(features_file.NAME, f"{role}.{clip}", message))
    return own, findings


def _given(sound: Audio) -> Callable[[], Audio]:
    return lambda: sound


def distance(one: Features, other: Features) -> float:
    """Largest relative distance of the arrays; infinite for other shapes."""
    found = [0.0]
    for a, b in zip(one, other, strict=True):
        if a is None and b is None:
            continue
        if a is None or b is None or a.shape != b.shape:
            return float("inf")
        scale = float(np.linalg.norm(b)) or 1.0
        found.append(float(np.linalg.norm(np.subtract(a, b, dtype=np.float64))) / scale)
    return max(found)


def _audits(package: Package, judge: Judge, found: Mapping[str, ByClip]) -> Iterator[Finding]:
    """What a listener would notice."""
    said, items = package.submission, judge.exam.items
    recordings = {clip: sound for clip in said.outputs if (sound := _recording(judge, clip))}
    yield from audio_audit.levels(package.sounds)
    captions = {clip: item.said for clip, item in items.items()}
    yield from audio_audit.twins(said.outputs, captions)
    yield from audio_audit.near_twins(package.sounds, captions)
    here = {clip: sound for clip, sound in recordings.items() if clip in package.sounds}
    yield from audio_audit.copies(package.sounds, here)
    lengths_s = {clip: len(one.samples) / one.rate_hz for clip, one in recordings.items()}
    yield from audio_audit.durations(said.outputs, lengths_s)
    yield from audio_audit.input_dependence(judge.fits(found))


def _recording(judge: Judge, clip: str) -> Audio | None:
    try:
        references = judge.exam.items[clip].references
        return judge.recordings[references[0]]() if references else None
    except AudioError:
        return None


def _covered(said: Submission) -> Finding:
    clips, of = len(said.audio.clips), len(said.outputs)
    if clips == of:
        return note(NAME, "audio", f"all {of} sounds heard and scored again")
    message = f"{clips} of {of} sounds heard again; the features of {of - clips} taken on trust"
    return warning(NAME, "audio", f"{message}: pack with --audio all")


def _trusted(package: Package, judge: Judge, found: Mapping[str, ByClip]) -> Iterator[Finding]:
    """Features without a sound: rows as of one as long, and not those of the recording."""
    said, items, known = package.submission, judge.exam.items, judge.exam.references
    lengths = {clip: (one.samples, one.rate_hz) for clip, one in said.outputs.items()}
    for role, clips in found.items():
        rows = {lengths[clip]: len(clips[clip].embeddings) for clip in package.sounds}
        for clip, own in clips.items():
            wanted = rows.get(lengths[clip], len(own.embeddings))
            field, names = f"{role}.{clip}", items[clip].references[:1]
            if len(own.embeddings) != wanted:
                message = f"{len(own.embeddings)} rows, {wanted} of a sound as long"
                yield error(features_file.NAME, field, message)
            if clip in package.sounds or not known.keys.keys() >= set(names) or not names:
                continue
            [recording] = known.features(role, list(names))
            if distance(own, recording) < FEATURES:
                yield error(features_file.NAME, field, "are those of the reference recording")
