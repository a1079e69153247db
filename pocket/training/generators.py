"""Training of what makes sound: text-to-audio first, then the STAR systems from it (stage 2)."""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from stabench.pocket.captions import caption, every_word
from stabench.pocket.configs import TEXT_ENCODER, TEXT_LENGTH, UDIT
from stabench.pocket.training.corpus import CAPTIONS, Corpus
from stabench.systems.networks.udit import UDiT
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.flow_matching import flow_matching_loss, toward_noise
from stabench.systems.training.data import Frames, Latents, TensorFrames
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.workplace import Workplace
from stabench.systems.tta.word_tokenizer import WordTokenizer

BATCH = 16
# Stage 2 leaves the DiT's feed-forward layers as text-to-audio has them, and so all systems share
# them on disk (a declared deviation: the paper trains the whole DiT).
SHARED = ".mlp."
# Share of words hidden in training, so that an unknown word does not derail the encoder.
UNKNOWN = 0.03


class TextToAudio(nn.Module):
    """A small T5 encoder and the DiT, trained together."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.text_encoder = T5EncoderModel(T5Config(vocab_size=vocabulary, **TEXT_ENCODER))
        self.udit = UDiT(UDIT)

    def context(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Turn word numbers [B, L] into tokens [B, L, W]; padding is zero."""
        states = self.text_encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states * mask[..., None]


def tokenizer() -> WordTokenizer:
    return WordTokenizer(every_word())


def train_text_to_audio(
    data: Corpus, latents: Latents, work: Workplace, steps: int = 3600
) -> TextToAudio:
    torch.manual_seed(work.seeded(60))
    words = tokenizer()
    network = TextToAudio(len(words))

    def loss(rng: np.random.Generator) -> Tensor:
        index = rng.integers(len(data.items), size=BATCH)
        scenes = [data.items[i].scene for i in index]
        texts = [caption(scene.events, scene.relation, "train", rng) for scene in scenes]
        ids, mask = words.encode(texts, TEXT_LENGTH)
        hidden = torch.from_numpy(rng.random(ids.shape) < UNKNOWN) & mask
        # 1 is the tokenizer's number of an unknown word.
        ids, mask = work.send(ids.masked_fill(hidden, 1)), work.send(mask)
        context = network.context(ids, mask)
        return _compute_loss(network.udit, latents.batch(index, rng)[0], context, mask, rng)

    recipe = Recipe(steps, 1e-3, Trapezoid(300, 0.5), ema=0.9993)
    fit(Stage("text-to-audio", network, recipe, work), loss, seed=6)
    return network


class Stage2(nn.Module):
    """The DiT and the bridge's output layer, which the paper's code trains along (section 8)."""

    def __init__(self, udit: UDiT, bridge: Bridge | None) -> None:
        super().__init__()
        self.udit = udit
        self.projection = bridge.projection if bridge else None

    def context(self, frames: Tensor) -> Tensor:
        """Turn Q-Former states [B, Q, D] (or encoder frames) into context tokens."""
        return self.projection(frames) if self.projection else frames


def train_star(
    name: str,
    data: Corpus,
    latents: Latents,
    frames: Frames,
    bridge: Bridge | None,
    start: UDiT,
    work: Workplace,
    steps: int = 1500,
) -> UDiT:
    """Train stage 2: the text-to-audio DiT learns to follow speech.

    Changes `bridge.projection` too.
    """
    torch.manual_seed(work.seeded(70))
    udit = UDiT(UDIT)
    udit.load_state_dict(start.state_dict())
    for key, parameter in udit.named_parameters():
        parameter.requires_grad = SHARED not in key
    network = Stage2(udit, bridge)
    # Any speech of the same scene may go with a clip.
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in range(len(data.items)):
        group = groups.setdefault(_describe_scene(data, index), [])
        group += range(CAPTIONS * index, CAPTIONS * (index + 1))
    spoken = {key: np.array(group) for key, group in groups.items()}

    def loss(rng: np.random.Generator) -> Tensor:
        index = rng.integers(len(data.items), size=BATCH)
        heard = [int(rng.choice(spoken[_describe_scene(data, i)])) for i in index]
        states, mask = frames.batch(np.array(heard))
        # Q-Former tokens are always as many, so only encoder frames need a mask.
        context_mask = None if bridge else mask
        return _compute_loss(
            udit, latents.batch(index, rng)[0], network.context(states), context_mask, rng
        )

    recipe = Recipe(steps, 5e-4, Trapezoid(100, 0.6), ema=0.9985)
    fit(Stage(name, network, recipe, work), loss, seed=7)
    return udit


@torch.inference_mode()
def read_tokens(bridge: Bridge, frames: Frames) -> TensorFrames:
    """Return states of the frozen Q-Former before its output layer, [utterances x Q, D]."""
    rows = []
    projection = bridge.projection
    bridge.add_module("projection", nn.Identity())
    for start in range(0, len(frames), 64):
        index = np.arange(start, min(start + 64, len(frames)))
        rows.append(bridge(*frames.batch(index)).flatten(0, 1).half())
    bridge.projection = projection
    queries = bridge.config.queries
    return TensorFrames(torch.cat(rows), np.arange(len(frames) + 1) * queries)


def _compute_loss(
    udit: UDiT, latents: Tensor, context: Tensor, mask: Tensor | None, rng: np.random.Generator
) -> Tensor:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return flow_matching_loss(udit, latents, context, mask, generator, toward_noise())


def _describe_scene(data: Corpus, index: int) -> tuple[str, ...]:
    scene = data.items[index].scene
    return (scene.relation, *scene.events)
