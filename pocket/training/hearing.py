"""Training of what hears speech: the encoder with auxiliary targets, then the bridges (stage 1)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pocket.configs import BRIDGE, ENCODER, WIDTH
from pocket.sounds.events import LABELS
from pocket.training.corpus import CAPTIONS, Corpus, Utterances
from pocket.training.device import send
from pocket.training.loop import Recipe, Stage, fit
from pocket.training.workplace import Workplace
from systems.star.bridge import Bridge, BridgeClassifier
from systems.star.speech_encoder import SpeechEncoder, build_speech_encoder

FRAME_S = 0.04
BATCH = 24


class Frames(NamedTuple):
    """Encoded utterances of a split: float16 `rows` end to end, [sum of T, W], on the device.

    Utterance i has rows[offsets[i]:offsets[i+1]].
    """

    rows: Tensor
    offsets: np.ndarray

    def batch(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Frames float32 [B, T, W], zero-padded, and their mask [B, T]."""
        first, counts = self.offsets[index], self.offsets[index + 1] - self.offsets[index]
        place = np.arange(counts.max())
        inside = place < counts[:, None]
        rows = send(np.where(inside, first[:, None] + place, 0), self.rows.device)
        mask = send(inside, self.rows.device)
        return self.rows[rows].float().masked_fill(~mask[..., None], 0.0), mask


class Pretraining(nn.Module):
    """The encoder with three heads: phoneme and word of each frame, events of the utterance.

    Event labels alone do not get an encoder of this size started.
    """

    def __init__(self, phonemes: int, words: int) -> None:
        super().__init__()
        self.encoder: SpeechEncoder = build_speech_encoder(ENCODER)
        self.phoneme = nn.Linear(WIDTH, phonemes)
        self.word = nn.Linear(WIDTH, words)
        self.event = nn.Linear(WIDTH, len(LABELS))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Phoneme and word logits [B, T, .], event logits [B, C], frame mask [B, T]."""
        frames, mask = self.encoder(waveforms, lengths)
        weight = mask[..., None].float()
        pooled = (frames * weight).sum(1) / weight.sum(1)
        return self.phoneme(frames), self.word(frames), self.event(pooled), mask


class Targets:
    """Frame targets of a corpus: numbers of phonemes and words, 0 where nothing is said yet."""

    def __init__(self, utterances: Utterances) -> None:
        self.marks = utterances.marks
        self.tables = {
            kind: {name: n for n, name in enumerate(self._names(kind), start=1)}
            for kind in ("phoneme", "word")
        }

    def size(self, kind: str) -> int:
        return len(self.tables[kind]) + 1

    def rows(self, kind: str, index: np.ndarray, speeds: np.ndarray, frames: int) -> Tensor:
        """Targets [B, frames] of utterances played `speeds` times as fast."""
        out = torch.zeros(len(index), frames, dtype=torch.int64)
        for row, (utterance, speed) in enumerate(zip(index, speeds, strict=True)):
            for time_s, what, name in self.marks[utterance]:
                if what == kind:
                    out[row, int(time_s / speed / FRAME_S) :] = self.tables[kind].get(name, 0)
        return out

    def _names(self, kind: str) -> list[str]:
        return sorted({name for marks in self.marks for _, what, name in marks if what == kind})


def train_encoder(data: Corpus, work: Workplace, steps: int = 1400) -> SpeechEncoder:
    torch.manual_seed(40)
    targets = Targets(data.utterances)
    network = Pretraining(targets.size("phoneme"), targets.size("word"))
    recipe = Recipe(steps, 1e-3, warmup=300, ema=0.998)

    def loss(rng: np.random.Generator) -> Tensor:
        index = rng.integers(len(data.utterances.marks), size=BATCH)
        speeds = rng.uniform(0.87, 1.15, BATCH)
        heard = _heard(data.utterances, index, speeds, rng)
        phoneme, word, event, mask = network(*map(work.send, heard))
        frames = phoneme.shape[1]
        said = work.send(targets.rows("phoneme", index, speeds, frames))[mask]
        meant = work.send(targets.rows("word", index, speeds, frames))[mask]
        labels = data.labelled(index // CAPTIONS)
        return (
            functional.cross_entropy(phoneme[mask], said)
            + functional.cross_entropy(word[mask], meant)
            + 5.0 * functional.binary_cross_entropy_with_logits(event, labels)
        )

    return fit(Stage("encoder", network, recipe, work), loss, seed=4).encoder


def train_bridge(
    name: str, data: Corpus, frames: Frames, work: Workplace, steps: int = 2000
) -> tuple[Bridge, BridgeClassifier]:
    """Stage 1 (paper section 3.2): events from the mean of the bridge's tokens, encoder frozen."""
    torch.manual_seed(50)
    network = nn.ModuleList([Bridge(BRIDGE), BridgeClassifier(WIDTH, len(LABELS))])
    recipe = Recipe(steps, 1e-3, warmup=200, ema=0.998)

    def loss(rng: np.random.Generator) -> Tensor:
        index = rng.integers(len(data.utterances.marks), size=2 * BATCH)
        tokens = network[0](*frames.batch(index))
        labels = data.labelled(index // CAPTIONS)
        return functional.binary_cross_entropy_with_logits(network[1](tokens), labels)

    bridge, classifier = fit(Stage(f"bridge-{name}", network, recipe, work), loss, seed=5)
    return bridge, classifier


@torch.inference_mode()
def encode_speech(
    encoder: nn.Module, utterances: Utterances, path: Path, device: torch.device
) -> Frames:
    """Frames of every utterance of a split; kept in `path` (.npz). The encoder is on `device`."""
    if not path.exists():
        rows, order = [], np.argsort(np.diff(utterances.offsets), kind="stable")
        parts: list[np.ndarray | None] = [None] * len(order)
        for start in range(0, len(order), BATCH):
            index = order[start : start + BATCH]
            waveforms, lengths = pad([utterances[i] for i in index])
            frames, mask = encoder(send(waveforms, device), send(lengths, device))
            frames, mask = frames.half().cpu(), mask.cpu()
            for i, row, valid in zip(index, frames, mask, strict=True):
                parts[i] = row[valid].numpy()
        rows = np.concatenate(parts)
        part = path.with_suffix(".part.npz")
        np.savez(part, rows=rows, offsets=np.cumsum([0, *map(len, parts)]))
        part.replace(path)
    stored = np.load(path)
    return Frames(torch.from_numpy(stored["rows"]).to(device), stored["offsets"])


def pad(waveforms: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """A batch [B, N], zero-padded, and its lengths [B]."""
    tensors = [torch.from_numpy(np.ascontiguousarray(w)).float() for w in waveforms]
    lengths = torch.tensor([len(t) for t in tensors])
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths


def _heard(
    utterances: Utterances, index: np.ndarray, speeds: np.ndarray, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Utterances at other speeds and levels, half of them in more noise."""
    waveforms = []
    for i, speed in zip(index, speeds, strict=True):
        x = utterances[int(i)]
        x = np.interp(np.arange(0, len(x) - 1, speed), np.arange(len(x)), x)
        x = x * 10 ** (rng.uniform(-9, 6) / 20)
        if rng.random() < 0.5:
            x = x + x.std() * 10 ** (-rng.uniform(10, 35) / 20) * rng.standard_normal(len(x))
        waveforms.append(x)
    return pad(waveforms)
