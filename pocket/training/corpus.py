"""Training and validation audio, rendered once into flat arrays that are mapped into memory."""

import json
import os
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stabench.pocket import speech
from stabench.pocket.captions import Split
from stabench.pocket.scenes import Item, items
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import CLIP_SAMPLES, render, to_pcm16
from stabench.systems.training.device import send
from stabench.systems.training.workplace import Workplace

COUNTS: dict[Split, int] = {"train": 10_000, "validation": 400}
CAPTIONS = 2
_CHUNK = 100


@dataclass(frozen=True)
class Utterances:
    """`samples` int16, all utterances end to end; utterance i is samples[offsets[i]:offsets[i+1]].

    Utterance i speaks caption i % CAPTIONS of clip i // CAPTIONS; `marks[i]` lists
    (time_s, "word"|"phoneme", value) of its speech.
    """

    samples: np.ndarray
    offsets: np.ndarray
    marks: list[list[tuple[float, str, str]]]

    def __getitem__(self, index: int) -> np.ndarray:
        part = self.samples[self.offsets[index] : self.offsets[index + 1]]
        return part.astype(np.float32) / 32768


class Corpus(NamedTuple):
    """One split: `audio` int16 [N, 64000], `labels` float32 [N, 20], its items and utterances.

    Audio and labels lie on the device (on a CPU the audio is mapped from its file), speech does
    not: what is drawn of it goes through NumPy.
    """

    audio: Tensor
    labels: Tensor
    items: list[Item]
    utterances: Utterances

    @property
    def device(self) -> torch.device:
        return self.audio.device

    def clips(self, index: np.ndarray) -> Tensor:
        """Return waveforms float32 [len(index), 64000]."""
        return self.audio[send(index, self.device)].float() / 32767

    def excerpts(self, index: np.ndarray, starts: np.ndarray, length: int) -> Tensor:
        """Return `length` samples of each clip from its start on, float32 [len(index), length]."""
        columns = send(starts, self.device)[:, None] + torch.arange(length, device=self.device)
        return self.audio[send(index, self.device)[:, None], columns].float() / 32767

    def labelled(self, index: np.ndarray) -> Tensor:
        """Return event labels float32 [len(index), 20]."""
        return self.labels[send(index, self.device)]


def corpus(split: Split, work: Workplace) -> Corpus:
    """Open a split, rendering it first where it is not there (a minute for 3,000 clips).

    Raises ValueError when the folder holds a split of another size.
    """
    folder = work.corpus / split
    listed = items(split, work.clips(COUNTS[split]), CAPTIONS)
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _render_split(split, listed, folder)
        (folder / "done").touch()
    marks = json.loads((folder / "marks.json").read_text())
    utterances = Utterances(
        np.load(folder / "speech.npy", mmap_mode="r"), np.load(folder / "offsets.npy"), marks
    )
    # Mapped as "c" (writes would stay in memory), since torch has no read-only tensors.
    audio = torch.from_numpy(np.load(folder / "audio.npy", mmap_mode="c"))
    if len(audio) != len(listed):
        raise ValueError(
            f"{folder} holds {len(audio)} clips, --scale {work.scale:g} has {len(listed)}; "
            "give every scale its own --work"
        )
    labels = torch.from_numpy(multi_hot([item.scene.events for item in listed]))
    return Corpus(audio.to(work.device), labels.to(work.device), listed, utterances)


def multi_hot(events: list[tuple[str, ...]]) -> np.ndarray:
    """Return event labels as float32 [N, 20]."""
    index = {label: i for i, label in enumerate(LABELS)}
    out = np.zeros((len(events), len(LABELS)), dtype=np.float32)
    for row, names in enumerate(events):
        out[row, [index[name] for name in names]] = 1.0
    return out


def _render_split(split: Split, listed: list[Item], folder: Path) -> None:
    chunks = [listed[i : i + _CHUNK] for i in range(0, len(listed), _CHUNK)]
    audio = np.lib.format.open_memmap(
        folder / "audio.npy", "w+", "<i2", (len(listed), CLIP_SAMPLES)
    )
    spoken, marks = [], []
    # espeak-ng carries noise over from one utterance to the next: in a fork of its own, a chunk
    # does not depend on what a process spoke before.
    speech.start()
    with get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        for number, (clips, lines, timed) in enumerate(pool.imap(_render_chunk, chunks)):
            audio[number * _CHUNK : number * _CHUNK + len(clips)] = clips
            spoken += lines
            marks += timed
            print(f"\rcorpus {split}: {(number + 1) * _CHUNK} clips", end="", flush=True)
    print()
    np.save(folder / "speech.npy", np.concatenate(spoken))
    np.save(folder / "offsets.npy", np.cumsum([0, *(len(line) for line in spoken)]))
    (folder / "marks.json").write_text(json.dumps(marks))


def _render_chunk(listed: list[Item]) -> tuple[np.ndarray, list[np.ndarray], list]:
    clips = np.stack([to_pcm16(render(item.scene)) for item in listed])
    lines, marks = [], []
    for item in listed:
        rng = np.random.default_rng(item.speech_seed)
        for text in item.captions:
            spoken = speech.say(text, speech.draw_voice(speech.TRAIN_VOICES, rng))
            lines.append(to_pcm16(np.clip(speech.record(spoken, rng), -1, 1)))
            words = text.split()
            timed = []
            for mark in spoken.marks:
                name = words[mark.value - 1] if isinstance(mark.value, int) else mark.value
                # record() puts a tenth of a second of room before the speech.
                timed.append((round(mark.time_s + 0.1, 3), mark.kind, name))
            marks.append(timed)
    return clips, lines, marks
