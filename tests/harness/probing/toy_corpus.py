"""A corpus of 4 classes; of three encoders one hears them, one is deaf, and one fails."""

import hashlib
from pathlib import Path

import numpy as np

from stabench.harness.errors import MissingError
from stabench.harness.probing.corpus import Split
from stabench.harness.suites.probes import EncoderUse
from stabench.systems.training.feature_store import Entry, StoreWriter

SEEDS = {"train": 0, "validation": 1, "test": 2}


class Toy:
    """Clips whose labels are drawn; frames hold them or do not."""

    name, version = "toy", "v1"
    classes = ("dog", "rain", "bell", "engine")

    def __init__(self, folder: str, name: str = "toy", train: int = 90) -> None:
        self.folder, self.name = Path(folder), name
        self.counts = {"train": train, "validation": 40, "test": 60}

    def read(self, split: str) -> Split:
        count = self.counts[split]
        labels = np.random.default_rng(SEEDS[split]).random((count, 4)) < 0.4
        ids = tuple(f"{split}-{number}" for number in range(count))
        return Split(ids, labels, np.arange(count))

    def find_frames(self, encoder: EncoderUse, split: str, device: str) -> Path:
        if encoder.name == "broken":
            raise MissingError("encoder 'broken': its weights are not here")
        place = self.folder / encoder.name / split
        rng = np.random.default_rng([SEEDS[split], 5])
        labels = self.read(split).labels
        entries = []
        for clip, row in enumerate(labels):
            frames = rng.standard_normal((3, 5)).astype(np.float32)
            if encoder.name == "good":
                frames[:, :4] += 4 * row
            name = f"{split}-{clip}"
            content = hashlib.sha256(name.encode()).hexdigest()
            entries.append(Entry(content, name, 3, (frames,)))
        writer = StoreWriter(place, "frames", {"use": encoder.use})
        if not writer.is_stored(entries[0].content):
            writer.add(entries)
        writer.finish([entry.content for entry in entries])
        return place


class Encoder:
    """Stands for a registered encoder: the toy corpus makes its frames."""
