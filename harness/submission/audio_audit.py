"""Audits of sounds: silence, constants, copies, and outputs that do not belong to their clips.

Pure functions of samples, hashes and features; what they find is what a listener would notice.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from stabench.harness.scoring.input_dependence import permutation_p
from stabench.harness.submission.findings import Finding, error, note, warning
from stabench.harness.submission.schema import NAME, OutputCard
from stabench.metrics.audio import Audio, mono
from stabench.metrics.levels import CLIPPED, measure_level
from stabench.metrics.resample import resample

# Root mean square, about the mean, under which a sound is silence or a constant (-80 dBFS).
QUIETEST = 1e-4
# Likeness to the recording from which an output may be, and surely is, a copy of it. Outputs of the
# pocket's systems reach 0.06, copies under noise 10 dB below them 0.2 to 0.8; one that is stretched
# in time escapes.
COPY, SURELY = 0.2, 0.9
# Correlation from which two outputs are one sound.
TWIN = 0.99
# Samples that twins are compared by.
BEGINNING = 2**15
# Share of clips that may be silent, or equal, before it is the system and no accident.
FEW = 0.05
# P under which outputs belong to their clips, and up to which that is for a person to say.
FITS, DOUBTFUL = 0.01, 0.05
DRAWS = 2_000
# Clips under which matched and shuffled are not told apart.
LEAST = 10


def check_levels(sounds: Mapping[str, Audio]) -> Iterator[Finding]:
    """Find silent, constant and clipped sounds."""
    quiet = [
        clip for clip, sound in sounds.items() if np.std(sound.samples, dtype=np.float64) < QUIETEST
    ]
    for clip in quiet:
        severe = len(quiet) > FEW * len(sounds)
        level = f"silence or a constant ({len(quiet)} of {len(sounds)} sounds)"
        yield (error if severe else warning)(f"audio/{clip}.wav", "samples", level)
    shares = {clip: measure_level(sound.samples).clipped for clip, sound in sounds.items()}
    clipped = {clip: share for clip, share in shares.items() if share > CLIPPED}
    if clipped:
        worst = max(clipped, key=lambda clip: clipped[clip])
        message = f"{100 * clipped[worst]:.0f} % of the samples are at full scale or beyond "
        message += f"({len(clipped)} of {len(sounds)} sounds over {100 * CLIPPED:g} %, this most)"
        yield warning(f"audio/{worst}.wav", "samples", message)


def check_twins(
    outputs: Mapping[str, OutputCard], captions: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Find one sound for clips that ask for different ones."""
    clips = defaultdict(list)
    for clip, output in outputs.items():
        clips[output.sha256].append(clip)
    same = [
        group for group in clips.values() if len({captions.get(clip, clip) for clip in group}) > 1
    ]
    count = sum(map(len, same))
    for group in same:
        severe = count > FEW * len(outputs)
        message = f"the same sound as {group[1]} ({count} of {len(outputs)} clips share theirs)"
        yield (error if severe else warning)(NAME, f"outputs.{group[0]}.sha256", message)


def check_copies(sounds: Mapping[str, Audio], recordings: Mapping[str, Audio]) -> Iterator[Finding]:
    """Find outputs that are the recording itself: a system does not know it."""
    alike: dict[str, float] = {}
    for clip, recording in recordings.items():
        try:
            alike[clip] = _likeness(sounds[clip], recording)
        except ValueError as fault:  # rates without a common divisor
            message = f"cannot be compared with the recording: {fault}"
            yield error(f"audio/{clip}.wav", "rate_hz", message)
    copies = {clip: likeness for clip, likeness in alike.items() if likeness > COPY}
    for clip, likeness in copies.items():
        severe = likeness > SURELY or len(copies) > FEW * len(recordings)
        message = f"is the reference recording (likeness {likeness:.2f}, {len(copies)} sounds are)"
        yield (error if severe else warning)(f"audio/{clip}.wav", "samples", message)


def _likeness(sound: Audio, other: Audio) -> float:
    """Highest correlation at any shift of two sounds with flat spectra, at the rate of the first.

    Phases alone decide (Knapp and Carter, 1976): no delay, filter or gain hides a copy, and two
    tones of one pitch are none.
    """
    a, b = mono(sound.samples, "mean"), mono(other.samples, "mean")
    if sound.rate_hz != other.rate_hz:
        b = resample(b, other.rate_hz, sound.rate_hz)
    # So long that no shift wraps around, and a power of two, which transforms quickly.
    size = 1 << (len(a) + len(b) - 1).bit_length()
    a, b = (np.fft.rfft(part - part.mean(dtype=np.float64), size) for part in (a, b))
    cross = a * b.conj()
    # A bin without energy gets next to no weight: its phase is rounding.
    scale = np.abs(cross) + 1e-9 * np.abs(cross).max()
    return float(np.abs(np.fft.irfft(cross / scale, size)).max()) if scale.all() else 0.0


def check_near_twins(
    sounds: Mapping[str, Audio], captions: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Find one sound under a little noise for clips that ask for different ones.

    Sounds are compared by their beginnings.
    """
    clips = sorted(sounds)
    table = np.zeros((len(clips), BEGINNING), np.float32)
    for row, clip in zip(table, clips, strict=True):
        start = mono(sounds[clip].samples, "mean")[:BEGINNING].astype(np.float64)
        start -= start.mean()
        row[: len(start)] = start / max(float(np.linalg.norm(start)), 1e-12)
    # By its size: a sound turned upside down is heard as the same.
    alike = np.triu(np.abs(table @ table.T) > TWIN, 1)
    pairs = [(clips[a], clips[b]) for a, b in zip(*np.nonzero(alike), strict=True)]
    pairs = [(a, b) for a, b in pairs if captions.get(a, a) != captions.get(b, b)]
    count = len({clip for pair in pairs for clip in pair})
    for clip, other in pairs:
        severe = count > FEW * len(clips)
        message = f"is audio/{other}.wav, all but a little noise ({count} of {len(clips)} sounds)"
        yield (error if severe else warning)(f"audio/{clip}.wav", "samples", message)


def check_durations(
    outputs: Mapping[str, OutputCard], recordings_s: Mapping[str, float]
) -> Iterator[Finding]:
    """Find sounds much shorter or longer than what they are compared with."""
    for clip, output in outputs.items():
        asked_s = recordings_s.get(clip)
        if asked_s and not asked_s / 4 <= output.seconds <= asked_s * 4:
            message = f"{output.seconds:.2f} s, the recording lasts {asked_s:.2f} s"
            yield warning(NAME, f"outputs.{clip}.seconds", message)


def check_input_dependence(scores: Mapping[str, NDArray[np.float64]]) -> Iterator[Finding]:
    """Say whether outputs fit their own clip better than the clips of others.

    `scores` are tables [N, N] by measure: how well output i fits clip j, higher is better. By
    permutation of the clips, one-sided; one measure that tells them apart is enough.
    """
    tables = {name: table for name, table in scores.items() if len(table) >= LEAST}
    if not tables:
        yield warning(NAME, "outputs", f"under {LEAST} clips: dependence on the input unchecked")
        return
    p_values = {name: permutation_p(table, draws=DRAWS) for name, table in tables.items()}
    measures = ", ".join(
        f"{name} matched {np.trace(table) / len(table):.4g}, shuffled {table.mean():.4g}, "
        f"p {p_values[name]:.4f}"
        for name, table in tables.items()
    )
    p = min(p_values.values())
    if p < FITS:
        yield note(NAME, "outputs", f"fit their own clips: {measures}")
    elif p < DOUBTFUL:
        yield warning(
            NAME, "outputs", f"hardly fit their clips better than those of others: {measures}"
        )
    else:
        yield error(NAME, "outputs", f"fit their clips no better than those of others: {measures}")
