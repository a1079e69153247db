"""`python -m crosscheck.speed`: features by the peers' packages and by our one pass, timed.

The peers' chain is frechet-audio-distance for VGGish, for CNN14 and for CLAP (its CLAPScore, over
laion_clap): each reads, resamples and hears every file by itself. Ours is
harness.scoring.features. All networks have full size and random weights; rounds alternate in one
process.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from crosscheck import sounds
from crosscheck.clap import tokenize
from crosscheck.sounds import Shape
from stabench.harness.scoring.features import Network, hear
from stabench.metrics.audio import decode
from stabench.metrics.backends.backend import clap_module, package, vggish_distance
from stabench.metrics.protocol import Listening

CLIPS, ROUNDS = 6, 5
CAPTION = "a dog barks while rain falls on a tin roof and a train passes"
CASES = {
    "16 kHz mono": (Shape(16000, 1, 10),),
    "44.1 kHz stereo": (Shape(44100, 2, 10),),
    "16 and 48 kHz mono": (Shape(16000, 1, 10), Shape(48000, 1, 10)),
}


class Peers:
    """The packages' own objects and the calls that their `score` makes."""

    def __init__(self) -> None:
        self.vggish = vggish_distance()
        distance = package("frechet-audio-distance")
        from frechet_audio_distance.models.pann import Cnn14_16k

        self.cnn14 = object.__new__(distance.FrechetAudioDistance)
        self.cnn14.model_name, self.cnn14.verbose = "pann", False
        self.cnn14.device = self.vggish.device
        self.cnn14.model = Cnn14_16k(16000, 512, 160, 64, 50, 8000, 527).eval()
        self.clap = object.__new__(distance.CLAPScore)
        self.clap.verbose, self.clap.device = False, self.vggish.device
        self.clap.model = clap_module("HTSAT-tiny")
        self.clap.model.tokenizer = tokenize

    def __call__(self, paths: list[Path]) -> None:
        self.vggish.get_embeddings(_load_files(paths, 16000), 16000)
        self.cnn14.get_embeddings(_load_files(paths, 16000), 16000)
        self.clap.get_audio_embeddings(_load_files(paths, 48000), 48000)
        for number in range(len(paths)):
            self.clap.get_text_embeddings([f"{CAPTION} {number}"])


class Ours:
    """The networks stay loaded; kept features are forgotten at every call."""

    def __init__(self) -> None:
        from stabench.metrics.embedders import published

        self.embedders = {
            "fad": published.vggish("random"),
            "tagger": published.cnn14_16k("random"),
            "clap": published.clap_630k("random"),
        }
        for embedder in self.embedders.values():
            embedder.load("cpu")
            # `hear` loads what it is given, and loading is no part of the time.
            embedder.load = lambda *_: None

    def __call__(self, paths: list[Path]) -> None:
        networks = {
            role: Network(role, Listening(network=role), embedder)
            for role, embedder in self.embedders.items()
        }
        hear(
            "clips", {path.stem: partial(decode, path) for path in paths}, networks, lambda *_: None
        )
        networks["clap"].text({f"{CAPTION} {number}" for number in range(len(paths))})


def main() -> int:
    """Time both sides in every case and print medians."""
    warnings.simplefilter("ignore")
    peers, ours = Peers(), Ours()
    import torch

    print(f"{CLIPS} clips of 10 s, {ROUNDS} rounds, {torch.get_num_threads()} threads; ms a clip")
    for name, shapes in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            times = _alternate_sides(_write_clips(Path(folder), shapes), (peers, ours))
        theirs, our_times = 1000 * times / CLIPS
        print(
            f"{name}: peers median {np.median(theirs):.0f} (min {theirs.min():.0f}), "
            f"ours {np.median(our_times):.0f} (min {our_times.min():.0f}), "
            f"ratio {np.median(theirs) / np.median(our_times):.2f} (min by min "
            f"{theirs.min() / our_times.min():.2f})"
        )
    return 0


def _alternate_sides(
    paths: list[Path], sides: tuple[Callable[[list[Path]], None], ...]
) -> np.ndarray:
    """Time both: seconds [sides, ROUNDS]; a first round of each is not counted."""
    seconds = [[_time(partial(side, paths)) for side in sides] for _ in range(ROUNDS + 1)]
    return np.array(seconds[1:]).T


def _write_clips(folder: Path, shapes: tuple[Shape, ...]) -> list[Path]:
    import soundfile

    paths = [folder / f"{number}.wav" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        shape = shapes[number % len(shapes)]
        soundfile.write(path, sounds.sound(number, shape), shape.rate_hz, subtype="PCM_16")
    return paths


def _load_files(paths: list[Path], rate_hz: int) -> list[np.ndarray]:
    from frechet_audio_distance.utils import load_audio_task

    return [load_audio_task(str(path), rate_hz, 1) for path in paths]


def _time(run: Callable[[], None]) -> float:
    start_ns = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start_ns) / 1e9


if __name__ == "__main__":
    sys.exit(main())
