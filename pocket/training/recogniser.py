"""Training of the cascade's recogniser: a word-CTC head on STAR's own, frozen speech encoder."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.pocket.captions import every_word
from stabench.pocket.configs import ctc_head
from stabench.pocket.training.corpus import Corpus
from stabench.pocket.training.hearing import FRAME_S
from stabench.systems.asr.ctc_head import CtcHead
from stabench.systems.training.data import TensorFrames
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.workplace import Workplace

BATCH = 48
# Standard deviation of the noise on frames, as a share of theirs: other voices, in small.
JITTER = 0.15
# Frames (0.24 s) that may be hidden at once, once in an utterance.
LONGEST_GAP = 6


class Utterance(NamedTuple):
    """Words, and the frame in which each begins; no frames where that is not known."""

    text: list[str]
    begins: list[int]


def train_ctc(data: Corpus, frames: TensorFrames, work: Workplace, steps: int = 900) -> CtcHead:
    """Train the head on the words of the captions (Graves et al. 2006); the encoder is frozen.

    Frames are played at other speeds, jittered, and partly hidden, and half of the utterances go on
    as another does: test speakers and their phrasings are others than those of training, and a head
    that sees whole phrases learns those instead of words.
    """
    torch.manual_seed(work.seeded(45))
    numbers = {word: number for number, word in enumerate(every_word(), start=1)}
    captions = [text.lower().split() for item in data.items for text in item.captions]
    words = list(map(place_words, captions, data.utterances.marks))
    head = CtcHead(ctc_head())

    def loss(rng: np.random.Generator) -> Tensor:
        pieces, texts = [], []
        for first, second in rng.integers(len(words), size=(BATCH, 2)):
            speech, text = _splice(frames, words, first, second, rng)
            pieces.append(speech)
            texts.append([numbers[word] for word in text])
        padded = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        lengths = torch.tensor([len(piece) for piece in pieces], device=padded.device)
        inside = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        speech, mask = _vary_frames(padded, inside, rng, work)
        return ctc_loss(head(speech, mask), mask, texts)

    recipe = Recipe(steps, 2e-3, Trapezoid(100), ema=0.998)
    fit(Stage("ctc", head, recipe, work), loss, seed=45)
    return head


def place_words(text: list[str], marks: list[tuple[float, str, str]]) -> Utterance:
    """Return the words, and the frame in which each begins where the marks tell.

    espeak-ng marks some pairs ("in the") as one word: then nothing says where the others begin.
    """
    begins = [int(time_s / FRAME_S) for time_s, kind, _ in marks if kind == "word"]
    return Utterance(text, begins if len(begins) == len(text) else [])


def ctc_loss(logits: Tensor, mask: Tensor, texts: list[list[int]]) -> Tensor:
    """Return the mean negative log-likelihood per word of `texts` under logits [B, T, V + 1]."""
    words = torch.tensor([word for text in texts for word in text])
    lengths = torch.tensor([len(text) for text in texts])
    return functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        send(words, logits.device),
        mask.sum(1),
        send(lengths, logits.device),
        # Words that do not fit into the frames have no alignment, and an infinite loss.
        zero_infinity=True,
    )


def _splice(
    frames: TensorFrames, words: list[Utterance], first: int, second: int, rng: np.random.Generator
) -> tuple[Tensor, list[str]]:
    """Return frames [T, W] and words of `first`, or, half of the time, of its beginning and the
    end of `second`, cut where a word begins."""
    start, stop = frames.offsets[first], frames.offsets[first + 1]
    head, tail = words[first], words[second]
    if rng.random() < 0.5 or min(len(head.begins), len(tail.begins)) < 2:
        return frames.rows[start:stop].float(), head.text
    before = int(rng.integers(1, len(head.begins)))
    after = int(rng.integers(1, len(tail.begins)))
    ending = frames.offsets[second] + tail.begins[after]
    pieces = (
        frames.rows[start : start + head.begins[before]],
        frames.rows[ending : frames.offsets[second + 1]],
    )
    return torch.cat(pieces).float(), head.text[:before] + tail.text[after:]


def _vary_frames(
    speech: Tensor, mask: Tensor, rng: np.random.Generator, work: Workplace
) -> tuple[Tensor, Tensor]:
    """Vary frames [B, T, W]: one other speed for the batch, jitter, and a gap in each row."""
    count = round(speech.shape[1] / rng.uniform(0.87, 1.15))
    speech = functional.interpolate(speech.transpose(1, 2), count, mode="linear").transpose(1, 2)
    longest = mask.sum(1) * count // mask.shape[1]
    mask = torch.arange(count, device=mask.device) < longest[:, None]
    noise = rng.standard_normal(speech.shape, dtype=np.float32)
    speech = speech + JITTER * speech.std() * work.send(noise)
    first = rng.integers(count, size=(len(speech), 1))
    place = np.arange(count)
    hidden = (place >= first) & (place < first + rng.integers(LONGEST_GAP + 1, size=first.shape))
    return speech.masked_fill(work.send(hidden)[..., None], 0.0), mask
