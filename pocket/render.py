"""Renders the test set: `python -m pocket.render FOLDER`, in a process of its own.

espeak-ng carries noise generators over from one utterance to the next, so each utterance is spoken
in a fork of a process that has not spoken yet: then its bytes depend on its text and voice alone.
"""

import json
import multiprocessing
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from pocket import speech
from pocket.scenes import Item, items
from pocket.sounds.scene import render, to_pcm16
from pocket.sounds.signal import RATE_HZ

COUNT = 144


class Rendered(NamedTuple):
    """The item's reference and its spoken caption, int16 at 16 kHz, and the voice that spoke."""

    reference: np.ndarray
    speech: np.ndarray
    voice: speech.Voice


def test_items() -> list[Item]:
    return items("test", COUNT)


def rendered(item: Item) -> Rendered:
    rng = np.random.default_rng(item.speech_seed)
    voice = speech.draw_voice(speech.TEST_VOICES, rng)
    spoken = speech.record(speech.say(item.captions[0], voice), rng)
    return Rendered(to_pcm16(render(item.scene)), to_pcm16(np.clip(spoken, -1, 1)), voice)


def write(folder: Path) -> None:
    """Render every item into `folder`/{reference,speech}/<id>.wav and list them in voices.json."""
    for name in ("reference", "speech"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    speech.start()
    listed = test_items()
    voices = {}
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        for item, result in zip(listed, pool.imap(rendered, listed, chunksize=1), strict=True):
            for name, samples in (("reference", result.reference), ("speech", result.speech)):
                path = folder / name / f"{item.id}.wav"
                soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
            voices[item.id] = result.voice
    (folder / "voices.json").write_text(json.dumps(voices))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
