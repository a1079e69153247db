"""Previews: the sounds of a clip as small MP3s within the page, as many as its budget holds.

A run may be a stranger's and a page is sent to others, so no file of the reader's gets into it:
outputs are those whose sha256 the journal holds; speech and recordings, whose content no run
records, lie in the run folder, in the cache or in a folder that the reader names.
"""

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stabench.checkpoints.cache import cache_folder
from stabench.harness.environment import usable_cores
from stabench.harness.report.html.clips import Entrant
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED as RANDOM

# Sound in the page by default, as base64.
BUDGET_MB = 24.0
# All sample rates that MP3 has (MPEG-1, 2 and 2.5, layer III).
MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# Of variable-rate MP3, 0 the best to 1: about 30 kbit/s of 16 kHz mono.
QUALITY = 0.7
# Clips that are encoded together, in threads, before the budget is looked at again.
BATCH = 16
OUTSIDE = "outside the run folder and the cache of stabench; allow its folder with --sound-from DIR"


class Source(NamedTuple):
    """Where a sound lies, and the digest of its samples where a run has promised one."""

    path: Path | None
    sha256: str | None = None
    reason: str = "no file"


class Preview(NamedTuple):
    """One sound: `data` is base64 of an MP3, lossy. Without it `reason` says why."""

    rate_hz: int
    duration_s: float
    data: str
    reason: str = ""


class Sounds(NamedTuple):
    """The sounds of one clip; `outputs` in the order of the systems."""

    speech: Preview
    reference: Preview
    outputs: tuple[Preview, ...]

    @property
    def previews(self) -> tuple[Preview, ...]:
        """All of them."""
        return (self.speech, self.reference, *self.outputs)

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(len(preview.data) for preview in self.previews)


class Sources(NamedTuple):
    """The sources of one clip."""

    speech: Source
    reference: Source
    outputs: tuple[Source, ...]


def find_sources(
    results: Results, systems: Sequence[Entrant], allowed: Sequence[Path] = ()
) -> list[Sources]:
    """Return where the sounds of each clip of the run lie; a system on random weights has none.

    `allowed` are folders of speech and recordings besides the run folder and the cache.
    """
    run = results.run
    if run is None:
        return []
    # Only the first repeat's sound is kept.
    rows = {(row.system, row.clip): row for row in results.trials if not row.repeat}
    folders = [folder.resolve() for folder in (results.folder, cache_folder(), *allowed)]
    sources = []
    for clip in run.clips:
        outputs = []
        for system in systems:
            row = rows.get((system.name, clip.id))
            if system.random:
                outputs.append(Source(None, reason=RANDOM))
            elif row is None or not row.ok or row.audio_sha256 is None:
                outputs.append(Source(None, reason="no output"))
            else:
                path = run.audio_path(system.name, clip.id)
                outputs.append(Source(path, row.audio_sha256))
        speech = find_dataset_file(clip.speech, folders, "the clip has no speech")
        recording = find_dataset_file(clip.reference, folders, "the clip has no recording")
        sources.append(Sources(speech, recording, tuple(outputs)))
    return sources


def find_dataset_file(path: Path | None, folders: Sequence[Path], lack: str) -> Source:
    """Return a file of the dataset, if it lies in one of the folders when links are followed."""
    if path is None:
        return Source(None, reason=lack)
    # Links are followed first: a run folder from elsewhere may hold a link to a private file.
    try:
        place = path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that cannot be one
        return Source(None, reason=OUTSIDE)
    within = any(place.is_relative_to(folder) for folder in folders)
    return Source(place) if within else Source(None, reason=OUTSIDE)


def encode_within(
    wanted: Sequence[tuple[int, Sources]], budget_mb: float = BUDGET_MB
) -> dict[int, Sounds]:
    """Return the sounds of as many clips, in the order given, as fit; whole clips only."""
    fitting: dict[int, Sounds] = {}
    left = budget_mb * 1e6
    if left <= 0:
        return fitting
    # Encoding leaves the interpreter free, so threads share it. A batch at a time: of clips
    # beyond the budget at most one batch is encoded for nothing.
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            encoded = pool.map(_encode_clip, [sources for _, sources in batch])
            for (index, _), sounds in zip(batch, encoded, strict=True):
                left -= sounds.size
                # Not the next smaller one instead: the order says which clips matter.
                if left < 0:
                    return fitting
                fitting[index] = sounds
    return fitting


def _encode_clip(sources: Sources) -> Sounds:
    return Sounds(
        encode_preview(sources.speech),
        encode_preview(sources.reference),
        tuple(encode_preview(source) for source in sources.outputs),
    )


def encode_preview(source: Source) -> Preview:
    """Return the sound as an MP3, or why there is none. Never a sound that the run did not make."""
    from stabench.metrics.audio import AudioError, content_sha256, decode, mono

    if source.path is None:
        return _explain_silence(source.reason)
    if not source.path.is_file():
        return _explain_silence("its file is not on this machine")
    try:
        audio = decode(source.path)
    except AudioError as error:
        # Without the machine's path: a page is sent to others.
        text = str(error).replace(f"{source.path}: ", "")
        return _explain_silence(text.replace(str(source.path), source.path.name))
    if source.sha256 is not None and content_sha256(audio.samples) != source.sha256:
        return _explain_silence("the file is not the audio of the run (its sha256 differs)")
    duration_s = len(audio.samples) / audio.rate_hz
    try:
        data = _encode_mp3(mono(audio.samples, "mean"), audio.rate_hz)
        return Preview(audio.rate_hz, duration_s, data)
    except ValueError as error:  # its rate has no common divisor with one of MP3
        return _explain_silence(str(error))


def _explain_silence(reason: str) -> Preview:
    return Preview(0, 0.0, "", reason)


def _encode_mp3(samples: np.ndarray, rate_hz: int) -> str:
    """Return base64 of the samples [T] as MP3, resampled where MP3 has no such rate."""
    import soundfile

    from stabench.metrics.resample import resample

    # The next rate up loses nothing; above the highest there is no way but down.
    nearest_hz = next((rate for rate in MP3_RATES_HZ if rate >= rate_hz), MP3_RATES_HZ[-1])
    sound = np.clip(resample(samples, rate_hz, nearest_hz), -1, 1)
    file = io.BytesIO()
    how = {"bitrate_mode": "VARIABLE", "compression_level": QUALITY}
    soundfile.write(file, sound, nearest_hz, format="MP3", subtype="MPEG_LAYER_III", **how)
    return base64.b64encode(file.getvalue()).decode("ascii")


def spread_evenly(count: int) -> list[int]:
    """Return the indices below `count`, every beginning of the list spread over them all.

    >>> spread_evenly(6)
    [0, 4, 2, 1, 5, 3]
    """
    # Bits in reverse order: the van der Corput sequence.
    bits = max(count - 1, 1).bit_length()
    turned = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits))
    return [index for index in turned if index < count]
