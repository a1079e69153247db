"""Features: every sound decoded once, resampled once per rate, heard by all networks in batches."""

import hashlib
import sqlite3
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from stabench.harness import registry
from stabench.harness.device import limit_threads
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs.audio_digest import BROKEN, of_clips, of_sound
from stabench.harness.scoring.examination import Record, find
from stabench.metrics.audio import Audio, content_sha256
from stabench.metrics.contract import Embedder, Features, TextAudioEmbedder
from stabench.metrics.levels import Level, measure_level
from stabench.metrics.preprocess import Ear
from stabench.metrics.protocol import Listening
from stabench.metrics.resample import NAME as RESAMPLER

TABLE = (
    "CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, frames INT, rows BLOB, logits BLOB)"
)
# How long one run waits for another that is writing.
WAIT_S = 60.0


class FeatureCache:
    """Features of one network by key, in `<folder>/<name>-<digest of identity>.sqlite`.

    Without a folder they live in memory only. Raises StabenchError for a file that is damaged or
    cannot be written.
    """

    def __init__(self, folder: Path | None, name: str, identity: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-60:]
        self.path = folder and folder / f"{safe}-{digest}.sqlite"
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path or ":memory:", timeout=WAIT_S)
            # Nobody closes a cache: its file is closed with the last reference to it.
            weakref.finalize(self, self._database.close)
            self._database.execute(TABLE)
        except (sqlite3.Error, OSError) as error:
            raise self._explain_refusal(error) from error

    def __contains__(self, key: str) -> bool:
        return self._fetch_row("SELECT 1 FROM features WHERE key = ?", key) is not None

    def __getitem__(self, key: str) -> Features:
        """Return the features of a sound. Raises KeyError for one that was not heard."""
        row = self._fetch_row("SELECT frames, rows, logits FROM features WHERE key = ?", key)
        if row is None:
            raise KeyError(key)
        frames, embeddings, logits = row
        table = np.frombuffer(embeddings, "<f4").reshape(frames, -1)
        return Features(table, None if logits is None else np.frombuffer(logits, "<f4"))

    def update(self, features: dict[str, Features]) -> None:
        """Keep features, all or none of them."""
        lines = [
            (key, len(heard.embeddings), _to_blob(heard.embeddings), _to_blob(heard.logits))
            for key, heard in features.items()
        ]
        try:
            with self._database:
                self._database.executemany(
                    "INSERT OR REPLACE INTO features VALUES (?,?,?,?)", lines
                )
        except sqlite3.Error as error:
            raise self._explain_refusal(error) from error

    def _fetch_row(self, query: str, key: str) -> tuple | None:
        try:
            return self._database.execute(query, (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._explain_refusal(error) from error

    def _explain_refusal(self, error: Exception) -> StabenchError:
        return StabenchError(
            f"kept features '{self.path}' cannot be read or written ({error}); remove the file, or "
            "set STABENCH_CACHE to a folder with room"
        )


def _to_blob(array: np.ndarray | None) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array, "<f4").tobytes()


# Rises when the same file would give other features (mixing, mean removal, windows).
VERSION = 4
BATCH = 16

# Clip id to what decodes (or makes) its sound; it raises AudioError for one that is broken.
Sounds = Mapping[str, Callable[[], Audio]]
# Told what is being done, how many are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(eq=False)
class Network:
    """One embedder in its role of a protocol, the rule by which it hears, its kept features.

    Its weights are read at the first sound or caption that is not kept.
    """

    role: str
    rule: Listening
    embedder: Any
    folder: Path | None = None
    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1
    # The package that registered it, where that is not the harness itself.
    package: str = ""

    @property
    def name(self) -> str:
        return self.rule.network

    @property
    def rate_hz(self) -> int:
        return self.embedder.rate_hz

    @cached_property
    def cache(self) -> FeatureCache:
        """Features by sound or caption. Raises MissingError when the weights are not there.

        Asked for before anything is heard, so that from here on torch has `threads` threads.
        """
        import torch

        limit_threads(self.threads)
        # Whatever can change the last digit of a feature is in the name of the file: the rule, the
        # processor's instructions and the number of threads too.
        rule = self.rule.model_dump_json(exclude={"network"})
        processor = torch.backends.cpu.get_cpu_capability()
        parts = (VERSION, type(self.embedder).__qualname__, self.identity, rule, RESAMPLER)
        where = (torch.__version__, processor, self.device, self.precision, self.threads)
        return FeatureCache(self.folder, self.name, " ".join(map(str, (*parts, *where))))

    @cached_property
    def sha256(self) -> str:
        """Of the weights. Raises MissingError when they are not there."""
        return self._read_weights(lambda: self.embedder.sha256)

    @cached_property
    def identity(self) -> str:
        """Of everything in the embedder that decides a feature."""
        return self._read_weights(lambda: self.embedder.identity)

    @cached_property
    def examination(self) -> Record | None:
        """What is known of it as a judge, or None where nobody examined it in this role."""
        return find(self.embedder, self.role, self.identity)

    @property
    def refusal(self) -> str | None:
        """Why its numbers are not to be shown, or None."""
        return self.examination.reason if self.examination and self.examination.faults else None

    @cached_property
    def _loaded(self) -> Embedder:
        self._read_weights(lambda: self.embedder.load(self.device, self.precision))
        return self.embedder

    def hear(self, ears: Mapping[str, Ear]) -> dict[str, str]:
        """Keep the features of sounds by their keys; returns why some have none, by key."""
        longest_s = getattr(self.embedder, "longest_s", None)
        windows: dict[str, list[np.ndarray]] = {}
        refused: dict[str, str] = {}
        for key, ear in ears.items():
            try:
                windows[key] = ear.waveforms(self.rule, self.rate_hz, longest_s)
            except ValueError as error:  # a rate that cannot be resampled
                refused[key] = str(error)
        if windows:
            # All windows of all sounds go through the network in one call.
            embedded = iter(
                self._loaded.embed([part for parts in windows.values() for part in parts])
            )
            features = {
                key: _average_windows([next(embedded) for _ in parts])
                for key, parts in windows.items()
            }
            whole = {
                key: heard
                for key, heard in features.items()
                if all(np.isfinite(array).all() for array in heard if array is not None)
            }
            self.cache.update(whole)
            nan = f"the {self.role} network gives NaN or infinity for this sound"
            refused |= dict.fromkeys(features.keys() - whole.keys(), nan)
        return refused

    def text(self, captions: set[str]) -> dict[str, np.ndarray]:
        """Return the embedding [D] of each caption.

        Raises StabenchError when the network reads no text.
        """
        if not hasattr(self.embedder, "embed_text"):
            raise StabenchError(f"embedder '{self.name}' reads no text; name a CLAP in [metrics]")
        new = sorted(caption for caption in captions if f"text {caption}" not in self.cache)
        if new:
            rows = cast(TextAudioEmbedder, self._loaded).embed_text(new)
            kept = {
                f"text {caption}": Features(row[None])
                for caption, row in zip(new, rows, strict=True)
            }
            self.cache.update(kept)
        return {caption: self.cache[f"text {caption}"].embeddings[0] for caption in captions}

    def _read_weights(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except FileNotFoundError as error:
            raise MissingError(f"embedder '{self.name}': {error}") from error
        except ValueError as error:
            raise StabenchError(f"embedder '{self.name}': {error}") from error


def network(
    role: str,
    rule: Listening,
    *,
    folder: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    threads: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Network:
    """Return the registered embedder of a rule, in its role; features are kept in `folder`."""
    name, options = rule.network, dict(options or {})
    target = registry.target("embedders", name)
    make = registry.load("embedders", name)
    try:
        registry.check_options(f"embedder '{name}'", make, options)
    except StabenchError:
        # `weights` is the only option there is: an embedder without it has no weights to choose.
        raise StabenchError(
            f"embedder '{name}' has only its own weights, not '{options.get('weights')}'; use a "
            "protocol with published networks, or leave --weights out"
        ) from None
    try:
        embedder = make(**options)
    except FileNotFoundError as error:
        raise MissingError(f"embedder '{name}': {error}") from error
    except ValueError as error:
        raise StabenchError(f"embedder '{name}': {error}") from error
    embedder.precision = precision
    if rule.long == "windows" and hasattr(embedder, "spread"):
        embedder.spread = True
    package = ""
    if name not in registry.BUILT_IN["embedders"]:
        where = target.rpartition(":")[0]
        room = where.removeprefix("stabench.").partition(".")[0]
        package = Path(where).stem if registry.is_file(target) else room
    return Network(role, rule, embedder, folder, device, precision, threads, package)


class Lookup(Protocol):
    """Features by the key of a sound or caption."""

    def __getitem__(self, key: str, /) -> Features: ...


class Kept(Protocol):
    """What is asked of a network that has heard: the features that it keeps."""

    @property
    def cache(self) -> Lookup: ...


@dataclass(frozen=True)
class Heard:
    """Sounds that all networks heard: key and level of each by clip; and why others are broken.

    The features themselves stay in the caches until a metric asks for them.
    """

    networks: Mapping[str, Kept]
    keys: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)

    def features(self, role: str, clips: list[str]) -> list[Features]:
        """Return what one network made of these clips."""
        cache = self.networks[role].cache
        return [cache[self.keys[clip]] for clip in clips]

    @property
    def sha256(self) -> str | None:
        """Of all sounds by clip, the broken ones as such (harness/runs/audio_digest.py)."""
        return of_clips({**self.keys, **dict.fromkeys(self.broken, BROKEN)})

    def some(self, clips: list[str]) -> "Heard":
        """Return only these clips."""
        return Heard(self.networks, {clip: self.keys[clip] for clip in clips})

    def renamed(self, names: Mapping[str, str]) -> "Heard":
        """Return the same sounds under other clips: `names` is new clip -> clip that was heard."""
        return Heard(self.networks, {new: self.keys[old] for new, old in names.items()})


def hear(what: str, sounds: Sounds, networks: Mapping[str, Network], progress: Progress) -> Heard:
    """Let all networks hear every sound; one that is broken is named with its reason."""
    keys: dict[str, str] = {}
    broken: dict[str, str] = {}
    levels: dict[str, Level] = {}
    clips = list(sounds) if networks else []
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        ears: dict[str, Ear] = {}
        for clip in batch:
            try:
                audio = sounds[clip]()
            except ValueError as error:  # AudioError
                broken[clip] = str(error)
                continue
            levels[clip] = measure_level(audio.samples)
            key = keys[clip] = of_sound(content_sha256(audio.samples), audio.rate_hz)
            if any(key not in net.cache for net in networks.values()):
                ears[key] = Ear(audio)
        for net in networks.values():
            # What one network refuses is broken for all: every column has the same clips.
            refused = net.hear({key: ear for key, ear in ears.items() if key not in net.cache})
            for clip in [clip for clip, key in keys.items() if key in refused]:
                broken[clip] = refused[keys.pop(clip)]
            ears = {key: ear for key, ear in ears.items() if key not in refused}
        progress(what, start + len(batch), len(clips))
    return Heard(networks, keys, broken, {clip: levels[clip] for clip in keys})


def _average_windows(parts: list[Features]) -> Features:
    """Return a clip's features from those of its windows: means, at unit length for a CLAP."""
    if len(parts) == 1:
        return parts[0]
    rows = np.mean([part.embeddings for part in parts], axis=0)
    return Features(rows / np.linalg.norm(rows, axis=1, keepdims=True))
