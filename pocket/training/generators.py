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
from stabench.systems.star.flow_matching import draw_flow, toward_noise, velocity_loss
from stabench.systems.training.data import Frames, Latents
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.stage2 import Stage2Config, train_stage2
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network
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
        sounds, _ = latents.batch(index, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        draw = draw_flow(sounds.shape, generator, toward_noise())
        return velocity_loss(network.udit, sounds, context, mask, draw)

    recipe = Recipe(steps, 1e-3, Trapezoid(300, 0.5), ema=0.9993)
    fit(Stage("text-to-audio", network, recipe, work), loss, seed=6)
    return network


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

    `frames` are the Q-Former's states where there is a bridge. Changes `bridge.projection` too.
    """
    udit = UDiT(UDIT)
    udit.load_state_dict(start.state_dict())
    # Any speech of the same scene may go with a clip.
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in range(len(data.items)):
        group = groups.setdefault(_describe_scene(data, index), [])
        group += range(CAPTIONS * index, CAPTIONS * (index + 1))
    spoken = {key: np.array(group) for key, group in groups.items()}

    def pair(sounds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.array([int(rng.choice(spoken[_describe_scene(data, i)])) for i in sounds])

    config = Stage2Config(
        rate=5e-4,
        warmup=100,
        decay=0.6,
        betas=(0.9, 0.99),
        ema=0.9985,
        steps=steps,
        batch=BATCH,
        t_sampling="toward-noise",
        frozen=SHARED,
        order="draws",
        seed=7,
    )
    network = Stage2Network(udit, bridge.projection if bridge else None)
    train_stage2(name, config, Stage2Data(frames, latents, pair), network, work)
    return udit


def _describe_scene(data: Corpus, index: int) -> tuple[str, ...]:
    scene = data.items[index].scene
    return (scene.relation, *scene.events)
