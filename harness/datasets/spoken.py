"""Captions spoken by a voice: rendered when they are needed, kept by what they were made of."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from stabench.checkpoints import catalogue, digests, store
from stabench.checkpoints.cache import cache_folder
from stabench.harness import registry
from stabench.harness.datasets.dataset import Clip, clip_seed
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.files import write_bytes
from stabench.metrics import audio

# By name: the harness imports nothing of `systems`.
VITS = "stabench.systems.tts.vits:Vits"
FILES = "stabench.systems.tts.vits:FILES"


class Voice:
    """VITS from a folder, or from weights of the catalogue by name.

    The same text, weights and seed give the same file; a clip's seed comes from `seed` and its id.
    Raises MissingError for weights that are not there, StabenchError for others than published.
    """

    def __init__(self, weights: str, seed: int = 0) -> None:
        self.seed = seed
        self.folder = _locate_weights(weights)

    @cached_property
    def digest(self) -> str:
        """sha256 over the files that make the voice."""
        files = registry.attribute(FILES)
        parts = [f"{name}\0{digests.digest(self.folder / name)}\n" for name in files]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    @property
    def rate_hz(self) -> int:
        """Return the rate of its speech, which its files state."""
        return self._model.rate_hz

    @cached_property
    def _model(self) -> Any:
        try:
            return registry.attribute(VITS)(self.folder)
        except FileNotFoundError as error:
            raise MissingError(f"voice: {error}") from error
        except ValueError as error:
            raise StabenchError(f"voice: {error}") from error

    def refusal(self, text: str) -> str | None:
        """Return why this voice cannot speak a text, or None."""
        try:
            self._model.check(text)
        except ValueError as error:
            return str(error)
        return None

    def path(self, clip_id: str, text: str) -> Path:
        """Return where the clip's speech lies once it is rendered."""
        # Named by all that decides the sound: runs share it, and a change gives another file.
        key = f"{self.digest}\0{clip_seed(self.seed, clip_id, 0)}\0{text}"
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        return cache_folder() / "speech" / self.digest[:16] / f"{name}.wav"

    def render(self, clips: Iterable[Clip]) -> None:
        """Speak those clips whose speech is this voice's and is not there yet.

        Raises StabenchError when the weights are not those of a voice.
        """
        for clip in clips:
            # Speech that lies elsewhere came with the dataset.
            if not clip.caption or clip.speech != self.path(clip.id, clip.caption):
                continue
            if clip.speech.is_file():
                continue
            try:
                samples = self._model.say(clip.caption, clip_seed(self.seed, clip.id, 0))
            except ValueError as error:
                raise StabenchError(f"voice: {error}") from error
            clip.speech.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(clip.speech, audio.encode(samples, self._model.rate_hz))


def _locate_weights(weights: str) -> Path:
    """Return the folder itself, or that of the catalogue's entry, every file of it checked."""
    if Path(weights).is_dir():
        return Path(weights)
    try:
        place = store.locate(weights)
        store.verify(place, catalogue.entry(weights))
    except FileNotFoundError as error:
        raise MissingError(f"voice: {error}") from error
    except (LookupError, ValueError) as error:
        message = error.args[0] if error.args else error
        raise StabenchError(f"voice '{weights}' is no folder, and: {message}") from error
    return place
