"""A network that says when, and a run of tones with steps: who keeps the order, who does not."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stabench.harness.datasets.dataset import Clip
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import RunFolder
from stabench.metrics.audio import content_sha256
from stabench.metrics.contract import Features
from tests.harness.fake_run import FakeRun, tone, write_wav
from tests.harness.listeners import EVENTS, Listener

WINDOWS = 8
KEEPS, SWAPS, MIXES, DROPS = "star", "cascade", "oracle", "dropper"
SYSTEMS = (
    (KEEPS, "end-to-end", "keeps the order"),
    (SWAPS, "cascade", "swaps the events"),
    (MIXES, "oracle", "plays all at once"),
    (DROPS, "unstated", "plays the first only"),
)


class Timeline(Listener):
    """The strongest frequency of each band in each eighth of a sound, heard above a tenth."""

    rate_hz = 8_000
    labels = EVENTS
    thresholds = np.full(3, np.log(0.03))

    def one(self, waveform: np.ndarray) -> Features:
        parts = np.array_split(waveform.astype(np.float64), WINDOWS)
        spectra = [np.abs(np.fft.rfft(part)) / len(part) for part in parts]
        rows = [[band.max() for band in np.array_split(each, 3)] for each in spectra]
        return Features(np.log(np.array(rows) + 1e-6).astype(np.float32))


class Untrained(Timeline):
    """One without thresholds."""

    thresholds = np.empty(0)


@dataclass
class SteppedRun(FakeRun):
    """A run of which every third clip has one event, two together, or one after the other.

    Where it is `turned`, the system that keeps the order plays the later event first.
    """

    systems: tuple[tuple[str, str, str], ...] = SYSTEMS
    stepped: bool = True
    turned: bool = False

    def _clip(self, index: int) -> Clip:
        rng = np.random.default_rng(index)
        one, other = (str(event) for event in rng.choice(EVENTS, 2, replace=False))
        steps = (((one,),), ((one, other),), ((one,), (other,)))[index % 3]
        labels = tuple(label for step in steps for label in step)
        name = f"clip{self.n - index:03}"
        path = self.root / "reference" / f"{name}.wav"
        reference = write_wav(path, played(steps, rng))
        caption = f"{' '.join(labels)} tone"
        return Clip(name, caption, None, reference, labels, steps=steps if self.stepped else ())

    def _row(self, folder: RunFolder, system: str, clip: Clip, index: int) -> Row:
        row = super()._row(folder, system, clip, index)
        steps = clip.steps or (clip.labels,)
        plays = {
            KEEPS: steps[::-1] if self.turned else steps,
            SWAPS: steps[::-1] if len(steps) > 1 else tuple((label,) for label in steps[0]),
            MIXES: (clip.labels,),
            DROPS: (clip.labels[:1],),
        }[system]
        samples = played(plays, np.random.default_rng([index, len(system)]))
        write_wav(folder.audio_path(system, clip.id), samples)
        return replace(row, samples=len(samples), audio_sha256=content_sha256(samples))


def played(steps: tuple[tuple[str, ...], ...], rng: np.random.Generator) -> np.ndarray:
    """Half a second of tones for each step, float32."""
    return np.concatenate([tone(step, rng, 0.005) for step in steps])


HERE = Path(__file__)
