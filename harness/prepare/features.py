"""Features by a registered network, kept in a store: only what is missing is computed."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.prepare.progress import Steps
from stabench.harness.prepare.recipe import Part
from stabench.harness.prepare.record import Store, compute_sha256

# By name: the harness imports nothing of `systems`.
STORES = "stabench.systems.training.feature_store"
NAMES = {"encoders": "features", "autoencoders": "latents"}
KINDS = {"encoders": "frames", "autoencoders": "latents"}


class Content(NamedTuple):
    """What a network is given once: its sha256, the clip that it is named by, its length.

    `read` gives samples or a caption. Raises StabenchError where that is not the content any more.
    """

    sha256: str
    clip: str
    length: int
    read: Callable[[], Any]


class Network:
    """A registered encoder or autoencoder that writes stores.

    Raises MissingError for weights that are not there, StabenchError for wrong ones or options.
    """

    def __init__(self, kind: str, part: Part, device: str) -> None:
        self._kind, self._part, self._device = kind, part, device
        self.name = f"{registry.noun(kind)} '{part.use}'"
        make = registry.load(kind, part.use)
        registry.check_options(self.name, make, part.options)
        self.extractor: Any = self._try(lambda: make(**part.options))
        self._source = {"use": part.use, **self._try(self.extractor.provenance)}
        self._loaded = False

    def fill(self, folder: Path, contents: Sequence[Content], steps: Steps, split: str) -> Store:
        """Bring the split's store in `folder` up to these contents, one for each clip, in order."""
        kind = KINDS[self._kind]
        digest = registry.attribute(f"{STORES}:compute_digest")(kind, self._source)
        name = re.sub(r"\W+", "-", self._part.use.rpartition(":")[2])
        place = folder / f"{NAMES[self._kind]}-{name}-{digest[:8]}"
        writer = self._try(
            lambda: registry.attribute(f"{STORES}:StoreWriter")(place, kind, self._source)
        )
        if writer.torn:
            steps.say(f"{place}: {writer.torn} damaged shards deleted, to be made again")
        distinct = list({content.sha256: content for content in contents}.values())
        missing = [content for content in distinct if not writer.is_stored(content.sha256)]
        steps.begin(f"{split}: {place.name}", len(distinct), len(distinct) - len(missing))
        if missing:
            self._load()
        # In one order whatever was there before: a resumed command writes the same shards.
        missing.sort(key=lambda content: (content.length, content.sha256))
        size = registry.attribute(f"{STORES}:SHARD_SIZE")
        for start in range(0, len(missing), size):
            entries = [
                entry
                for batch in self._batch(missing[start : start + size])
                for entry in self._encode(batch)
            ]
            self._try(partial(writer.add, entries))
            steps.advance(len(entries))
        self._try(lambda: writer.finish([content.sha256 for content in contents]))
        return Store(
            folder=place.name,
            use=self._part.use,
            digest=digest,
            contents=len(distinct),
            index_sha256=compute_sha256(place / "index.arrow"),
        )

    def _batch(self, contents: Sequence[Content]) -> Iterator[list[Content]]:
        """Yield batches of like length, or of equal length where padding would change them."""
        batch: list[Content] = []
        for content in contents:
            differs = batch and self.extractor.equal and content.length != batch[0].length
            if len(batch) == self.extractor.batch or differs:
                yield batch
                batch = []
            batch.append(content)
        yield batch

    def _encode(self, batch: list[Content]) -> list[Any]:
        clips = [content.read() for content in batch]
        rows = self._try(lambda: self.extractor.encode(clips))
        entry = registry.attribute(f"{STORES}:Entry")
        # Frames are [T, W], the parts of a posterior [C, T].
        axis = 0 if self._kind == "encoders" else 1
        return [
            entry(content.sha256, content.clip, arrays[0].shape[axis], arrays)
            for content, arrays in zip(batch, rows, strict=True)
        ]

    def _load(self) -> None:
        if not self._loaded:
            self._try(lambda: self.extractor.load(self._device))
            self._loaded = True

    def _try(self, call: Callable[[], Any]) -> Any:
        """Return what `call` returns; name the network in what it raises."""
        try:
            return call()
        except FileNotFoundError as error:
            raise MissingError(f"{self.name}: {error}") from error
        except (TypeError, ValueError) as error:
            raise StabenchError(f"{self.name}: {error}") from error
