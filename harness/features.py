"""Features: every sound decoded once, resampled once per rate, heard by all networks in batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.errors import MissingError, StabenchError
from harness.feature_cache import FeatureCache
from metrics.audio import Audio, content_sha256
from metrics.contract import Embedder, Features
from metrics.resample import NAME as RESAMPLER
from metrics.resample import resample

VERSION = 1
"""Rises when the same file would give other features (mean removal, resampling)."""
BATCH = 16

Sounds = Mapping[str, Callable[[], Audio]]
"""Clip id to what decodes (or makes) its sound; it raises AudioError for one that is broken."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, how many are done, and of how many."""


class Heard(NamedTuple):
    """What networks made of a set of sounds: role -> clip -> features; and why some are broken."""

    features: dict[str, dict[str, Features]]
    broken: dict[str, str]


@dataclass(eq=False)
class Network:
    """One embedder in its role of a suite (`fad`, `tagger`, `clap`), with its kept features.

    Its weights are read at the first sound or caption that is not kept.
    """

    role: str
    name: str
    embedder: Any
    folder: Path | None = None
    device: str = "cpu"
    package: str = ""
    """The package that registered it, where that is not the harness itself."""

    @property
    def rate_hz(self) -> int:
        return self.embedder.rate_hz

    @cached_property
    def cache(self) -> FeatureCache:
        """Features by sound or caption. Raises MissingError when the weights are not there."""
        kind = type(self.embedder).__qualname__
        identity = f"{VERSION} {kind} {self.sha256} {self.rate_hz} {RESAMPLER}"
        return FeatureCache(self.folder, self.name, identity)

    @cached_property
    def sha256(self) -> str:
        """Of the weights. Raises MissingError when they are not there."""
        return self._whole(lambda: self.embedder.sha256)

    @cached_property
    def _loaded(self) -> Embedder:
        self._whole(lambda: self.embedder.load(self.device))
        return self.embedder

    def hear(self, waveforms: dict[str, np.ndarray]) -> None:
        """Keep the features of waveforms [T] at this network's rate, by their keys."""
        if waveforms:
            found = self._loaded.embed(list(waveforms.values()))
            for key, features in zip(waveforms, found, strict=True):
                self.cache[key] = features

    def text(self, captions: set[str]) -> dict[str, np.ndarray]:
        """Embedding [D] of each caption. Raises StabenchError when the network reads no text."""
        if not hasattr(self.embedder, "embed_text"):
            raise StabenchError(f"embedder '{self.name}' reads no text; name a CLAP in [metrics]")
        new = sorted(caption for caption in captions if f"text {caption}" not in self.cache)
        if new:
            for caption, row in zip(new, self._loaded.embed_text(new), strict=True):
                self.cache[f"text {caption}"] = Features(row[None])
            self.cache.save()
        return {caption: self.cache[f"text {caption}"].embeddings[0] for caption in captions}

    def _whole(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except FileNotFoundError as error:
            raise MissingError(f"embedder '{self.name}': {error}") from error


def network(role: str, name: str, folder: Path | None = None, device: str = "cpu") -> Network:
    """The registered embedder `name` in `role`; features are kept in `folder`."""
    target = registry.target("embedders", name)
    try:
        embedder = registry.attribute(target)()
    except FileNotFoundError as error:
        raise MissingError(f"embedder '{name}': {error}") from error
    return Network(role, name, embedder, folder, device, _package(name, target))


def _package(name: str, target: str) -> str:
    if name in registry.BUILT_IN["embedders"]:
        return ""
    where = target.rpartition(":")[0]
    return Path(where).stem if registry.is_file(target) else where.partition(".")[0]


class Prepared(NamedTuple):
    """One decoded sound: the key of its features, its samples [T] at each rate still asked for."""

    key: str
    at_rate: dict[int, np.ndarray]


def hear(what: str, sounds: Sounds, networks: list[Network], progress: Progress) -> Heard:
    """Features of every sound in every network; a sound that is broken is named with its reason."""
    heard = Heard({net.role: {} for net in networks}, {})
    clips = list(sounds)
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        prepared = _prepare({clip: sounds[clip] for clip in batch}, networks, heard.broken)
        for net in networks:
            net.hear(
                {key: at[net.rate_hz] for key, at in prepared.values() if key not in net.cache}
            )
        for clip, (key, _) in prepared.items():
            _add(heard, clip, {net.role: net.cache[key] for net in networks})
        progress(what, start + len(batch), len(clips))
    for net in networks:
        net.cache.save()
    return heard


def _prepare(
    sounds: Sounds, networks: list[Network], broken: dict[str, str]
) -> dict[str, Prepared]:
    prepared = {}
    for clip, decode in sounds.items():
        try:
            prepared[clip] = _prepared(decode(), networks)
        except ValueError as error:  # AudioError, or a rate that cannot be resampled
            broken[clip] = str(error)
    return prepared


def _prepared(audio: Audio, networks: list[Network]) -> Prepared:
    key = f"{content_sha256(audio.samples)} {audio.rate_hz}"
    rates = {net.rate_hz for net in networks if key not in net.cache}
    # The mean goes before resampling, as in audioldm_eval.
    centred = audio.samples - audio.samples.mean(dtype=np.float64).astype(np.float32)
    return Prepared(key, {rate: resample(centred, audio.rate_hz, rate) for rate in rates})


def _add(heard: Heard, clip: str, found: dict[str, Features]) -> None:
    """Enter one clip everywhere, or nowhere when a network's output for it is not finite."""
    for role, (embeddings, logits) in found.items():
        arrays = [embeddings] if logits is None else [embeddings, logits]
        if not all(np.isfinite(array).all() for array in arrays):
            heard.broken[clip] = f"the {role} network gives NaN or infinity for this sound"
            return
    for role, features in found.items():
        heard.features[role][clip] = features
