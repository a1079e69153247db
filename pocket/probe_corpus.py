"""Labelled speech for Table 1 in small: training and validation spoken here, the pocket's test set.

Training and validation are the first captions of the clips that trained the pocket's networks, in
the same voices; the test set has phrasings and voices of its own. Nothing of a training has to be
there: what is spoken and encoded at the first run is kept in the cache folder.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stabench.checkpoints.cache import cache_folder
from stabench.checkpoints.digests import locked
from stabench.harness.prepare.features import Content, Network
from stabench.harness.prepare.progress import Steps
from stabench.harness.prepare.recipe import Part
from stabench.harness.probing.corpus import Split
from stabench.harness.suites.probes import EncoderUse
from stabench.metrics.audio import content_sha256, load
from stabench.pocket import captions, dataset, speech
from stabench.pocket.scenes import VERSION, Item, items
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import to_pcm16

# Captions that the training corpus has of each clip; the first is spoken here.
CAPTIONS = 2
CHUNK = 100


class Utterances(NamedTuple):
    """Spoken captions: `content[i]` is the sha256, `samples[i]` the length of the speech of one."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    events: tuple[tuple[str, ...], ...]
    content: tuple[str, ...]
    samples: tuple[int, ...]
    read: Callable[[int], np.ndarray]


class PocketCorpus:
    """`train` and `validation` spoken captions, and the 144 clips of the test set."""

    name, classes = "pocket", LABELS

    def __init__(self, train: int = 1200, validation: int = 200) -> None:
        for name, count in (("train", train), ("validation", validation)):
            if count < 2:
                raise ValueError(f"{name} is {count}, allowed is 2 or more")
        self.counts = {"train": train, "validation": validation}
        self._splits: dict[str, Utterances] = {}

    @property
    def version(self) -> str:
        """The first digits of the sha256 of all speech."""
        content = [name for split in (*self.counts, "test") for name in self._speak(split).content]
        return f"v{VERSION}-{hashlib.sha256(''.join(content).encode()).hexdigest()[:12]}"

    def read(self, split: str) -> Split:
        """Return the clips of a split with their events. Raises MissingError as the test set."""
        spoken = self._speak(split)
        labels = np.array([[label in events for label in LABELS] for events in spoken.events])
        return Split(spoken.ids, labels, np.arange(len(spoken.ids)))

    def find_frames(self, encoder: EncoderUse, split: str, device: str) -> Path:
        """Return the store of a registered encoder's frames; what is missing of it is made."""
        network = Network("encoders", Part(use=encoder.use, options=encoder.options), device)
        spoken, folder = self._speak(split), self._folder(split)
        if network.extractor.reads == "captions":
            contents = [
                Content(
                    hashlib.sha256(text.encode()).hexdigest(), name, len(text), partial(str, text)
                )
                for name, text in zip(spoken.ids, spoken.texts, strict=True)
            ]
        else:
            contents = [
                Content(
                    spoken.content[i], spoken.ids[i], spoken.samples[i], partial(spoken.read, i)
                )
                for i in range(len(spoken.ids))
            ]
        # Two probes of one encoder may begin at once.
        with locked(folder / ".frames.lock"):
            return folder / network.fill(folder, contents, Steps(sys.stderr), split).folder

    def _folder(self, split: str) -> Path:
        count = f"-{self.counts[split]}" if split in self.counts else ""
        folder = cache_folder() / f"probes-v{VERSION}" / f"{split}{count}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _speak(self, split: str) -> Utterances:
        if split not in self._splits:
            known: dict[str, captions.Split] = {"train": "train", "validation": "validation"}
            self._splits[split] = (
                self._speak_corpus(known[split]) if split in known else self._read_test_set()
            )
        return self._splits[split]

    def _read_test_set(self) -> Utterances:
        clips = dataset.pocket().clips
        sounds = [load(_spoken(clip.speech), speech.RATE_HZ, remove_dc=False) for clip in clips]
        return _make_utterances(
            [clip.id for clip in clips],
            [clip.caption or "" for clip in clips],
            [clip.labels for clip in clips],
            sounds,
        )

    def _speak_corpus(self, split: captions.Split) -> Utterances:
        folder, listed = self._folder(split), items(split, self.counts[split], CAPTIONS)
        with locked(folder / ".speech.lock"):
            if not (folder / "offsets.npy").is_file():
                _speak_into(folder, split, listed)
        # Mapped: each process reads what it encodes.
        samples = np.load(folder / "speech.npy", mmap_mode="r")
        offsets = np.load(folder / "offsets.npy")
        return _make_utterances(
            [item.id for item in listed],
            [item.captions[0] for item in listed],
            [item.scene.events for item in listed],
            [samples[start:stop] for start, stop in pairwise(offsets)],
        )


def _spoken(path: Path | None) -> Path:
    assert path is not None, "every clip of the test set is spoken"
    return path


def _make_utterances(
    ids: Sequence[str],
    texts: Sequence[str],
    events: Sequence[tuple[str, ...]],
    sounds: Sequence[np.ndarray],
) -> Utterances:
    def read(index: int) -> np.ndarray:
        sound = sounds[index]
        # The corpus is kept as 16-bit steps, the test set comes as floats from its WAV files.
        scale = 32768 if sound.dtype == np.int16 else 1
        return sound.astype(np.float32) / scale

    content = tuple(content_sha256(read(index)) for index in range(len(sounds)))
    lengths = tuple(len(sound) for sound in sounds)
    return Utterances(tuple(ids), tuple(texts), tuple(events), content, lengths, read)


def _speak_into(folder: Path, split: str, listed: list[Item]) -> None:
    """Write speech.npy, int16 end to end, then offsets.npy: with that the split is whole."""
    chunks = [listed[i : i + CHUNK] for i in range(0, len(listed), CHUNK)]
    steps, spoken = Steps(sys.stderr), list[np.ndarray]()
    steps.begin(f"{split}: spoken captions", len(listed))
    # Before the forks. Each chunk has a fork of its own: espeak-ng carries noise over from one
    # utterance to the next, and so no chunk depends on what a process spoke before.
    speech.start()
    with get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        for lines in pool.imap(_speak_chunk, chunks):
            spoken += lines
            steps.advance(len(lines))
    for name, values in (
        ("speech", np.concatenate(spoken)),
        ("offsets", np.cumsum([0, *map(len, spoken)])),
    ):
        part = folder / f".{name}.part.npy"
        np.save(part, values)
        part.replace(folder / f"{name}.npy")


def _speak_chunk(listed: list[Item]) -> list[np.ndarray]:
    lines = []
    for item in listed:
        rng = np.random.default_rng(item.speech_seed)
        spoken = speech.say(item.captions[0], speech.draw_voice(speech.TRAIN_VOICES, rng))
        lines.append(to_pcm16(np.clip(speech.record(spoken, rng), -1, 1)))
    return lines
