"""A user's repository: an adapter, two packages of its own, a suite; and other states of it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stabench.metrics.audio import encode

CLIPS = 12
CAPTION = "a dog barks while rain falls on the roof"
ADAPTER = '''"""The adapter: what it says comes from packages beside it and under src/."""

from pathlib import Path

import numpy as np

import spoken_words
from room import places
from stabench.systems.contract import Representation, Waveform


class Toy:
    sample_rate = speech_rate_hz = 16_000

    def __init__(self, mark="mark.txt"):
        self.mark = Path(mark).read_text().strip()

    def load(self, device, dtype):
        import room.late

        self.late = room.late.WHERE

    def represent(self, speech, spans):
        with spans("listen"):
            text = spoken_words.hear()
        return Representation(text, text, 1)

    def generate(self, representations, seeds, spans):
        with spans("make"):
            noise = [np.random.default_rng(seed).uniform(-0.1, 0.1, 1_600) for seed in seeds]
        return [Waveform(samples.astype(np.float32), 16_000) for samples in noise]

    def provenance(self):
        return {"mark": self.mark, "imports": [spoken_words.WHERE, places.WHERE, self.late]}
'''
SUITE = """name = "toy"
[dataset]
use = "folder"
speech = "speech"
captions = "captions.csv"
[metrics]
protocol = "pocket"
columns = ["wer"]
[run]
warmups = 0
threads = 1
bootstrap = 100
[[system]]
name = "toy"
paradigm = "cascade"
use = "adapter.py:Toy"
"""


class Repository(NamedTuple):
    """A state of the repository, in a folder of its own."""

    folder: Path

    def hear(self, text: str) -> None:
        """Make the system of this state say `text` of every clip."""
        (self.folder / "src" / "spoken_words.py").write_text(
            f'WHERE = __file__\n\n\ndef hear():\n    return "{text}"\n'
        )

    def copy(self, name: str) -> "Repository":
        """Return another state, beside this one, in which a file has another content too."""
        other = self.folder.with_name(name)
        shutil.copytree(self.folder, other, symlinks=True)
        (other / "mark.txt").write_text(name)
        return Repository(other)


def write_repository(folder: Path) -> Repository:
    """Write a repository whose system hears every word right."""
    for name in ("speech", "src", "room"):
        (folder / name).mkdir(parents=True)
    rows = ["id,caption"]
    for index in range(CLIPS):
        samples = np.random.default_rng(index).uniform(-0.5, 0.5, 1_600).astype(np.float32)
        (folder / "speech" / f"clip{index:02}.wav").write_bytes(encode(samples, 16_000))
        rows.append(f"clip{index:02},{CAPTION}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    (folder / "adapter.py").write_text(ADAPTER)
    (folder / "toy.toml").write_text(SUITE)
    (folder / "mark.txt").write_text(folder.name)
    for name in ("__init__", "places", "late"):
        (folder / "room" / f"{name}.py").write_text("WHERE = __file__\n")
    repository = Repository(folder)
    repository.hear(CAPTION)
    return repository
