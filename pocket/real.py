"""The suites `real` and `real-espeak`: published Whisper before the pocket's text-to-audio model.

The same 144 captions and recordings as the suite `pocket`, spoken by a neural voice or by the
pocket's own; the two are two suites, since a table has one set of speech.
"""

import importlib.metadata
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile

from stabench.checkpoints import catalogue, store
from stabench.checkpoints.cache import cache_folder
from stabench.harness.datasets.dataset import Clip, Dataset
from stabench.harness.errors import MissingError, StabenchError
from stabench.pocket import neural_voice
from stabench.pocket.dataset import make_folder, pocket
from stabench.pocket.sounds.scene import to_pcm16
from stabench.pocket.speech import RATE_HZ
from stabench.pocket.systems import text_to_audio
from stabench.systems.asr.faster_whisper import FasterWhisper
from stabench.systems.asr.whisper import Whisper
from stabench.systems.asr.whisper_checkpoint import SYSTRAN
from stabench.systems.cascade.cascade import Cascade

MODEL = "tiny.en"
# Raised when the same caption would be spoken otherwise.
RENDERING = 1
# What recognises, by the name that pip knows; the speech needs onnxruntime too.
MODULES = {"faster-whisper": "faster_whisper", "openai-whisper": "whisper"}
NEURAL, ESPEAK = "neural", "espeak"


def real(voice: str = NEURAL) -> Dataset:
    """Return the pocket's clips, spoken by "neural" (hibari) or "espeak" (the pocket's voices).

    The neural speech is rendered once into the cache. Its bits may differ between processors and
    versions of onnxruntime, so it has no checksums; the version of the data set names what spoke.
    Raises MissingError without the packages of the extra `real`.
    """
    if voice not in (NEURAL, ESPEAK):
        raise StabenchError(f"voice is {voice!r}, allowed are {NEURAL!r} and {ESPEAK!r}")
    check_installed(voice)
    clips = pocket()
    if voice == ESPEAK:
        return replace(clips, name="real-espeak")
    digest = catalogue.entry(neural_voice.WEIGHTS).files[0].sha256 or ""
    runtime = importlib.metadata.version("onnxruntime")
    version = f"{clips.version}-hibari-{digest[:8]}-r{RENDERING}-onnxruntime-{runtime}"
    folder = cache_folder() / f"real-{version}"
    if not folder.exists():
        _render_speech(folder, clips.clips)
    spoken = tuple(replace(clip, speech=folder / f"{clip.id}.wav") for clip in clips.clips)
    return replace(clips, name="real", version=version, clips=spoken)


def check_installed(voice: str) -> None:
    """Raise MissingError with the packages that the suite of a voice needs and that are missing."""
    neural = voice == NEURAL
    modules = {**MODULES, "onnxruntime": "onnxruntime"} if neural else MODULES
    missing = [name for name, module in modules.items() if find_spec(module) is None]
    for name in (f"faster-whisper-{MODEL}", *((neural_voice.WEIGHTS,) if neural else ())):
        try:
            store.locate(name)
        except FileNotFoundError:
            package = catalogue.entry(name).package
            missing.append(package.requirement if package else name)
    if missing:
        raise MissingError(
            f"published Whisper needs {', '.join(missing)}; run: pip install -c constraints.txt "
            "'stabench[real]' (openai-whisper comes with make install)"
        )


def whisper(variant: str = "stock") -> Cascade:
    """Return openai-whisper's code or a variant of it, then the pocket's text-to-audio model."""
    return Cascade(Whisper(MODEL, variant, SYSTRAN), text_to_audio())


def faster_whisper() -> Cascade:
    """Return faster-whisper on the published folder, then the pocket's text-to-audio model."""
    return Cascade(FasterWhisper(MODEL, SYSTRAN), text_to_audio())


def _render_speech(folder: Path, clips: tuple[Clip, ...]) -> None:
    """Speak every caption into `folder`."""

    def fill(part: Path) -> None:
        for clip in clips:
            # Seeded by the clip's name alone: no clip's speech depends on what else is spoken.
            rng = np.random.default_rng(crc32(clip.id.encode()))
            samples = neural_voice.recorded(clip.caption or "", rng)
            path = part / f"{clip.id}.wav"
            soundfile.write(path, to_pcm16(np.clip(samples, -1, 1)), RATE_HZ, subtype="PCM_16")

    make_folder(folder, fill)
