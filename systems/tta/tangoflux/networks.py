"""TangoFlux's networks: from the files of its checkpoint, or of its size and random.

Facts: declare-lab/TangoFlux (tangoflux/model.py, tangoflux/__init__.py); none of its code is used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from stabench.checkpoints.tensors import read_json, read_tensors
from stabench.systems.tta import oobleck
from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.latent_diffusion.prompt import (
    FLAN_T5_LARGE,
    Reader,
    TokenizerFolder,
    random_reader,
    t5_from,
)

if TYPE_CHECKING:
    from diffusers.models import AutoencoderOobleck

TEXT_ENCODER = "flan-t5-large"
TEXT_PREFIX = "text_encoder."
# The published sizes, which the original takes for whatever its config.json leaves out.
SETTINGS: dict[str, Any] = {
    "num_layers": 6,
    "num_single_layers": 18,
    "in_channels": 64,
    "attention_head_dim": 128,
    "joint_attention_dim": 1024,
    "num_attention_heads": 8,
    "audio_seq_len": 645,
    "max_duration": 30,
    "text_encoder_name": f"google/{TEXT_ENCODER}",
}
# Rotary positions of a head in FLUX's three axes, of which all are time here.
AXES = 3


class Conditions(NamedTuple):
    """What all steps share for R rows: `tokens` [R, L, D], text and duration; `pooled` [R, D];
    `mask` bool [R, 1, 1, L + T], None where all of every row is read; `rotary` two [L + T, D']."""

    tokens: Tensor
    pooled: Tensor
    mask: Tensor | None
    rotary: tuple[Tensor, Tensor]


class FluxField(nn.Module):
    """The velocity of TangoFlux: FLUX's blocks (diffusers) on text, one duration token and latents.

    Equals diffusers' forward on the same inputs, but for the time, which stays in float32 up to its
    embedding, and for padding, which a mask can hide. What does not change with the steps is
    computed once.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        from diffusers.models import FluxTransformer2DModel
        from diffusers.pipelines.stable_audio.modeling_stable_audio import (
            StableAudioNumberConditioner,
        )

        width = settings["joint_attention_dim"]
        self.frames: int = settings["audio_seq_len"]
        self.channels: int = settings["in_channels"]
        self.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        # Misspelled as in the published file.
        self.duration_emebdder = StableAudioNumberConditioner(width, 0, settings["max_duration"])
        self.transformer: Any = FluxTransformer2DModel(
            in_channels=self.channels,
            num_layers=settings["num_layers"],
            num_single_layers=settings["num_single_layers"],
            attention_head_dim=settings["attention_head_dim"],
            num_attention_heads=settings["num_attention_heads"],
            joint_attention_dim=width,
            pooled_projection_dim=width,
        )

    @property
    def weight(self) -> Tensor:
        """One of the weights, which says their device and precision."""
        return self.transformer.x_embedder.weight

    def embed_duration(self, duration_s: float) -> Tensor:
        """Return the token [1, 1, W] of a length in seconds."""
        seconds = torch.tensor([duration_s], device=self.weight.device)
        return self.duration_emebdder(seconds)

    def embed_times(self, times: Tensor) -> Tensor:
        """Return embeddings [N, D] of times float32 [N], 1 noise and 0 data."""
        embedder = self.transformer.time_text_embed
        waves = embedder.time_proj(1000 * times.to(self.weight.device))
        return embedder.timestep_embedder(waves.to(self.weight.dtype))

    def rotate_frames(self) -> tuple[Tensor, Tensor]:
        """Return cosines and sines [T, D'] of the latents' positions, the same in every axis."""
        positions = torch.arange(self.frames, device=self.weight.device)
        return self.transformer.pos_embed(positions[:, None].expand(-1, AXES))

    def condition(
        self,
        states: Tensor,
        live: Tensor,
        read: Tensor | None,
        duration: Tensor,
        rotary: tuple[Tensor, Tensor],
    ) -> Conditions:
        """Return the conditions of T5 states [R, L, W].

        `live` bool [R, L] are the tokens of the text, whose mean is its summary; `read` those that
        the latents attend to: the padding that the original lets them read as well.
        """
        rows, length = states.shape[:2]
        counted = live[..., None].to(states.dtype)
        mean = (states * counted).sum(1) / counted.sum(1)
        transformer = self.transformer
        pooled = transformer.time_text_embed.text_embedder(self.fc(mean))
        tokens = torch.cat([states, duration.expand(rows, -1, -1)], 1)
        mask = None
        if read is not None:
            others = read.new_ones(rows, 1 + self.frames)
            mask = torch.cat([read, others], 1)[:, None, None]
        # Text and duration stand at position 0, where nothing is turned.
        cosine, sine = rotary
        still = cosine.new_zeros(length + 1, cosine.shape[1])
        turns = (torch.cat([still + 1, cosine]), torch.cat([still, sine]))
        return Conditions(transformer.context_embedder(tokens), pooled, mask, turns)

    def velocity(self, latents: Tensor, conditions: Conditions, time: Tensor) -> Tensor:
        """Return the velocity [R, T, C] at latents of that shape; `time` [D] from `embed_times`."""
        transformer = self.transformer
        tokens, pooled, mask, rotary = conditions
        shared = {
            "temb": time + pooled,
            "image_rotary_emb": rotary,
            "joint_attention_kwargs": {} if mask is None else {"attention_mask": mask},
        }
        hidden = transformer.x_embedder(latents)
        for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
            tokens, hidden = block(hidden_states=hidden, encoder_hidden_states=tokens, **shared)
        return transformer.proj_out(transformer.norm_out(hidden, shared["temb"]))


class FluxNetworks(NamedTuple):
    """What makes sound of a prompt."""

    field: FluxField
    vae: "AutoencoderOobleck"

    def to(self, device: str, dtype: str) -> "FluxNetworks":
        """Moved and cast, in place."""
        oobleck.place(self, device, dtype)
        return self


def random_text(seed: int, dtype: str) -> Reader:
    """Return the full size, seeded."""
    return random_reader(FLAN_T5_LARGE, seed, dtype)


def random_sound(seed: int, dtype: str) -> FluxNetworks:
    """Return the full size, seeded."""
    return FluxNetworks(
        weights.drawn(weights.empty(lambda: FluxField(SETTINGS)), seed, dtype),
        weights.drawn(oobleck.build(oobleck.SETTINGS), seed, dtype),
    )


def read(checkpoint: Path, t5: Path) -> tuple[Reader, FluxNetworks]:
    """Return the networks of a checkpoint folder; tokenizer and T5's settings from the folder `t5`.

    Every tensor of the two files is used once; T5's table, which stands in the file under one of
    its two names, twice. ValueError names file and key.
    """
    settings = SETTINGS | read_json(checkpoint / "config.json")
    # Another text encoder would load without an error and sound wrong.
    if not str(settings["text_encoder_name"]).endswith(TEXT_ENCODER):
        raise ValueError(
            f"{checkpoint / 'config.json'}: text_encoder_name is "
            f"{settings['text_encoder_name']!r}, allowed is {TEXT_ENCODER}"
        )
    file, sound = checkpoint / "tangoflux.safetensors", checkpoint / "vae.safetensors"
    state = read_tensors(file)
    text = {
        name.removeprefix(TEXT_PREFIX): value
        for name, value in state.items()
        if name.startswith(TEXT_PREFIX)
    }
    others = {name: value for name, value in state.items() if not name.startswith(TEXT_PREFIX)}
    field = weights.fill(weights.empty(lambda: FluxField(settings)), others, file)
    waves = read_tensors(sound)
    vae = weights.fill(oobleck.build(oobleck.read_settings(waves, sound)), waves, sound)
    encoder = t5_from(read_json(t5 / "config.json"), text, file)
    return Reader(TokenizerFolder(t5), encoder), FluxNetworks(field, vae)
