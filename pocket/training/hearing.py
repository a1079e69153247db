"""Training of what hears speech: the encoder, on phonemes; and its frames for all utterances."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.pocket.configs import ENCODER, WAVLM, WIDTH
from stabench.pocket.training.corpus import Corpus, Utterances
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.speech_encoder import SpeechEncoder
from stabench.systems.training.data import TensorFrames
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.workplace import Workplace

FRAME_S = 0.04
BATCH = 24
# Share of WavLM's utterances that another one talks into, for at most half of their length, from 5
# dB above to 5 dB below (as its training has it: arXiv 2110.13900, section III-B).
MIXED = 0.2


class Pretraining(nn.Module):
    """The encoder with a head for the phoneme of each frame, and no other target.

    Frame-level phonemes are the small cousin of HuBERT's frame-level units: the encoder learns how
    speech sounds, not which words or events it names.
    """

    def __init__(self, phonemes: int, config: SpeechEncoderConfig = ENCODER) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(config)
        # Event labels alone do not get an encoder of this size started.
        self.phoneme = nn.Linear(WIDTH, phonemes)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return phoneme logits [B, T, P] and the frame mask [B, T]."""
        frames, mask = self.encoder(waveforms, lengths)
        return self.phoneme(frames), mask


class Phonemes:
    """Frame targets of a corpus: numbers of espeak's phonemes, 0 where nothing is spoken yet."""

    def __init__(self, utterances: Utterances) -> None:
        self.marks = utterances.marks
        names = {name for marks in self.marks for _, kind, name in marks if kind == "phoneme"}
        self.numbers = {name: number for number, name in enumerate(sorted(names), start=1)}

    def __len__(self) -> int:
        return len(self.numbers) + 1

    def rows(self, index: np.ndarray, speeds: np.ndarray, frames: int) -> Tensor:
        """Return targets [B, frames] of utterances played `speeds` times as fast."""
        out = torch.zeros(len(index), frames, dtype=torch.int64)
        for row, (utterance, speed) in enumerate(zip(index, speeds, strict=True)):
            for time_s, kind, name in self.marks[utterance]:
                if kind == "phoneme":
                    # From its beginning to the end: what comes next overwrites the rest.
                    out[row, int(time_s / speed / FRAME_S) :] = self.numbers.get(name, 0)
        return out


def train_encoder(data: Corpus, work: Workplace, steps: int = 2000) -> SpeechEncoder:
    """Train the speech encoder on the phoneme of each frame; no word and no event is a target."""
    torch.manual_seed(work.seeded(40))
    recipe = Recipe(steps, 1e-3, Trapezoid(300), ema=0.998)
    return _learn_phonemes(data, ENCODER, Stage("encoder", nn.Identity(), recipe, work), seed=4)


def train_wavlm(data: Corpus, work: Workplace, steps: int = 1600) -> SpeechEncoder:
    """Train a WavLM as the speech encoder is trained, some of its utterances talked into."""
    torch.manual_seed(work.seeded(41))
    recipe = Recipe(steps, 1e-3, Trapezoid(300), ema=0.998)
    stage = Stage("wavlm", nn.Identity(), recipe, work)
    return _learn_phonemes(data, WAVLM, stage, seed=41, mixed=MIXED)


def _learn_phonemes(
    data: Corpus, config: SpeechEncoderConfig, stage: Stage, seed: int, mixed: float = 0.0
) -> SpeechEncoder:
    """Train an encoder by a stage, whose network is put in here."""
    phonemes, work = Phonemes(data.utterances), stage.work
    network = Pretraining(len(phonemes), config)

    def loss(rng: np.random.Generator) -> Tensor:
        index = rng.integers(len(data.utterances.marks), size=BATCH)
        speeds = rng.uniform(0.87, 1.15, BATCH)
        speech = _vary_speech(data.utterances, index, speeds, rng, mixed)
        logits, mask = network(*map(work.send, speech))
        targets = work.send(phonemes.rows(index, speeds, logits.shape[1]))
        return functional.cross_entropy(logits[mask], targets[mask])

    fit(replace(stage, network=network), loss, seed)
    return network.encoder


@torch.inference_mode()
def encode_speech(
    encoder: nn.Module, utterances: Utterances, path: Path, device: torch.device
) -> TensorFrames:
    """Return frames of every utterance of a split; kept in `path` (.npz).

    The encoder is on `device`. Raises FloatingPointError for frames that float16 cannot hold.
    """
    if not path.exists():
        # Utterances of like length share a batch, so that little of it is padding.
        order = np.argsort(np.diff(utterances.offsets), kind="stable")
        parts: dict[int, np.ndarray] = {}
        for start in range(0, len(order), BATCH):
            index = order[start : start + BATCH]
            waveforms, lengths = pad([utterances[i] for i in index])
            frames, mask = encoder(send(waveforms, device), send(lengths, device))
            frames, mask = frames.half().cpu(), mask.cpu()
            # A codec of another seed diverged once, and its frames were infinite: nothing said so
            # before the bridge that learned from them.
            if not frames[mask].isfinite().all():
                raise FloatingPointError(
                    f"{path.stem}: its network gives frames beyond float16, so it diverged; delete "
                    "its files in the work folder, lower its rate and train it again"
                )
            for i, row, valid in zip(index, frames, mask, strict=True):
                parts[int(i)] = row[valid].numpy()
        rows = [parts[i] for i in range(len(order))]
        part = path.with_suffix(".part.npz")
        np.savez(part, rows=np.concatenate(rows), offsets=np.cumsum([0, *map(len, rows)]))
        part.replace(path)
    stored = np.load(path)
    return TensorFrames(torch.from_numpy(stored["rows"]).to(device), stored["offsets"])


def pad(waveforms: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return a batch [B, N], zero-padded, and its lengths [B]."""
    tensors = [torch.from_numpy(np.ascontiguousarray(w)).float() for w in waveforms]
    lengths = torch.tensor([len(t) for t in tensors])
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths


def _vary_speech(
    utterances: Utterances,
    index: np.ndarray,
    speeds: np.ndarray,
    rng: np.random.Generator,
    mixed: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return utterances at other speeds and levels, half of them in more noise, a share `mixed`
    with a part of another utterance in them."""
    waveforms = []
    for i, speed in zip(index, speeds, strict=True):
        x = utterances[int(i)]
        x = np.interp(np.arange(0, len(x) - 1, speed), np.arange(len(x)), x)
        x = x * 10 ** (rng.uniform(-9, 6) / 20)
        if mixed and rng.random() < mixed:
            x = _talk_into(x, utterances[int(rng.integers(len(utterances.marks)))], rng)
        if rng.random() < 0.5:
            x = x + x.std() * 10 ** (-rng.uniform(10, 35) / 20) * rng.standard_normal(len(x))
        waveforms.append(x)
    return pad(waveforms)


def _talk_into(speech: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return speech [N] with a part of another utterance, of at most half its length, in it."""
    length = int(rng.integers(1, 1 + min(len(speech) // 2, len(other))))
    start = int(rng.integers(0, len(speech) - length + 1))
    first = int(rng.integers(0, len(other) - length + 1))
    part = other[first : first + length]
    loudness = speech.std() / max(float(part.std()), 1e-4)
    out = speech.copy()
    out[start : start + length] += loudness * 10 ** (rng.uniform(-5, 5) / 20) * part
    return out
