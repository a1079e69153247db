"""Renders a dataset: `python -m stabench.pocket.render SPLIT FOLDER`, in a process of its own.

espeak-ng carries noise generators over from one utterance to the next, so each utterance is spoken
in a fork of a process that has not spoken yet: then its bytes depend on its text and voice alone.
"""

import json
import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from stabench.pocket import speech
from stabench.pocket.captions import Split
from stabench.pocket.scenes import Item, items
from stabench.pocket.sounds.scene import render, to_pcm16
from stabench.pocket.sounds.signal import RATE_HZ

COUNT = 144
_VOICES: dict[Split, tuple[str, ...]] = {
    "test": speech.TEST_VOICES,
    "development": speech.DEVELOPMENT_VOICES,
}


class Rendered(NamedTuple):
    """The item's reference and its spoken caption, int16 at 16 kHz, and the voice that spoke."""

    reference: np.ndarray
    speech: np.ndarray
    voice: speech.Voice


def listed(split: Split) -> list[Item]:
    """Return the items of the dataset that is made of `split`, "test" or "development"."""
    return items(split, COUNT)


def rendered(item: Item, split: Split) -> Rendered:
    """Return the item's sound and its caption spoken by a voice of the split's own."""
    rng = np.random.default_rng(item.speech_seed)
    voice = speech.draw_voice(_VOICES[split], rng)
    spoken = speech.record(speech.say(item.captions[0], voice), rng)
    return Rendered(to_pcm16(render(item.scene)), to_pcm16(np.clip(spoken, -1, 1)), voice)


def write(split: Split, folder: Path) -> None:
    """Render `split` into `folder`/{reference,speech}/<id>.wav and their voices in voices.json."""
    for name in ("reference", "speech"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    speech.start()
    clips = listed(split)
    voices = {}
    # One task a fork: no utterance hears the noise that another left behind.
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        results = pool.imap(partial(rendered, split=split), clips, chunksize=1)
        for item, result in zip(clips, results, strict=True):
            for name, samples in (("reference", result.reference), ("speech", result.speech)):
                path = folder / name / f"{item.id}.wav"
                soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
            voices[item.id] = result.voice
    (folder / "voices.json").write_text(json.dumps(voices))


if __name__ == "__main__":
    [named] = [split for split in _VOICES if split == sys.argv[1]]
    write(named, Path(sys.argv[2]))
