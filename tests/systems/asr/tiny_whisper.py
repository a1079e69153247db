"""A tiny Whisper in the layout of openai-whisper's files, and utterances that it tells apart."""

from pathlib import Path

import numpy as np
import torch

from stabench.systems.asr.whisper_checkpoint import hollow
from stabench.systems.asr.whisper_sizes import ENGLISH, Dimensions
from stabench.systems.contract import Utterance
from tests.systems.tta import tiny_weights

TINY = Dimensions(80, 1500, 32, 2, 2, 51865, 448, 32, 2, 2)
TINY_ENGLISH = TINY._replace(n_vocab=ENGLISH)
LOUDER = {"cross_attn.query.weight": 32, "cross_attn.out.weight": 16}
CAPTION = "a dog barks while rain falls"
CAPTION_TOKENS = 7
"""Of " a dog bar|ks while rain falls", a word each but for "barks"."""


def checkpoint(dims: Dimensions = TINY) -> dict:
    """`dims` and `model_state_dict` in float16, as in the published files.

    Audio, position and end mark have more say than chance gives them: texts differ and end.
    """
    shapes = {name: tuple(empty.shape) for name, empty in hollow(dims).state_dict().items()}
    state = {name: tiny_weights.tensor(name, shape) for name, shape in shapes.items()}
    for name, value in state.items():
        value *= LOUDER.get(name.split(".", 3)[-1], 1)
    state["decoder.positional_embedding"] *= 4
    state["decoder.token_embedding.weight"][dims.n_vocab - 1608] *= 10
    half = {name: value.half() for name, value in state.items()}
    return {"dims": dims._asdict(), "model_state_dict": half}


def write(path: Path, dims: Dimensions = TINY) -> Path:
    torch.save(checkpoint(dims), path)
    return path


def utterance(seed: int, samples: int = 40_000, caption: str | None = CAPTION) -> Utterance:
    """A tone of a random pitch that fades in, in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    tone = np.sin(2 * np.pi * rng.uniform(200, 3000) * time) * time
    sound = 0.1 * tone + 0.02 * rng.standard_normal(samples)
    return Utterance(f"clip{seed}", sound.astype(np.float32), 16_000, caption)
