"""What TangoFlux and Stable Audio Open share: the stereo autoencoder, and the second phase."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.vae import fuse_gains
from stabench.systems.tta.latent_diffusion import weights

if TYPE_CHECKING:
    from diffusers.models import AutoencoderOobleck

RATE_HZ = 44_100
# As published with Stable Audio Open, and diffusers' defaults: 2048 samples a latent frame.
SETTINGS: dict[str, Any] = {
    "encoder_hidden_size": 128,
    "downsampling_ratios": [2, 4, 4, 8, 8],
    "channel_multiples": [1, 2, 4, 8, 16],
    "decoder_channels": 128,
    "decoder_input_channels": 64,
    "audio_channels": 2,
    "sampling_rate": RATE_HZ,
}
# How two channels become the one that a system returns; the words are those of protocols.
CHANNELS = ("mean", "first")


def build(settings: Mapping[str, Any]) -> "AutoencoderOobleck":
    """Return the autoencoder on the meta device; ValueError for another rate than 44.1 kHz."""
    from diffusers.models import AutoencoderOobleck

    if settings["sampling_rate"] != RATE_HZ:
        raise ValueError(
            f"the autoencoder's sampling_rate is {settings['sampling_rate']}, expected {RATE_HZ};"
            " use the published one"
        )
    with warnings.catch_warnings():
        # The deprecated weight norm is the one whose names the files hold (weight_g, weight_v).
        warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
        return weights.empty(lambda: AutoencoderOobleck.from_config(dict(settings)))


def read_settings(state: Mapping[str, Tensor], where: Path) -> dict[str, Any]:
    """Return the settings of an autoencoder as its tensors tell them, for a file without others.

    The rate is no tensor, and taken for the published one. Raises ValueError that begins with
    `where` for tensors of another network.
    """
    try:
        outer = state["decoder.conv2.weight_v"].shape
        blocks = [
            value.shape
            for name, value in sorted(state.items())
            if name.startswith("decoder.block.") and name.endswith(".conv_t1.weight_v")
        ]
        return SETTINGS | {
            "encoder_hidden_size": state["encoder.conv1.weight_v"].shape[0],
            # A kernel is twice as long as its stride; the decoder's blocks go the other way.
            "downsampling_ratios": [kernel // 2 for _, _, kernel in reversed(blocks)],
            "channel_multiples": [width // outer[1] for width, _, _ in reversed(blocks)],
            "decoder_channels": outer[1],
            "decoder_input_channels": state["decoder.conv1.weight_v"].shape[1],
            "audio_channels": outer[0],
        }
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"{where}: no autoencoder of Stable Audio ({error}); fetch the file again"
        ) from error


def place(networks: Sequence[nn.Module], device: str, dtype: str) -> None:
    """Move and cast networks in place; gains of weight norm are multiplied out before."""
    for network in networks:
        fuse_gains(network)
        # diffusers' own `to` warns of modules to be kept in float32, of which these name none.
        nn.Module.to(network, device, getattr(torch, dtype)).requires_grad_(False)


def count_needed_frames(vae: "AutoencoderOobleck", samples: int) -> int:
    """Return how many latent frames the first `samples` of the decoder's sound depend on."""
    # Around its own frame a sample sees 3 of the first convolution, then at each level one input
    # frame of the transposed one and 3 (1 + 3 + 9) of three dilated units, then 3 of the last.
    reach, rate = 3.0, 1
    for ratio in vae.upsampling_ratios:
        reach += 1 / rate + 39 / (rate * ratio)
        rate *= ratio
    return math.ceil(samples / rate + reach + 3 / rate)


class Sampler(Protocol):
    """What makes latents of prompts."""

    def latents(self, prompts: Sequence[Any], seeds: Sequence[int]) -> Tensor:
        """Return latents float32 [B, C, T]."""


class StereoGenerator(NamedTuple):
    """From prompts to one channel of `samples` samples; marks "sampler" and "decoder".

    `channels` says which one: "mean" of both, or "first". `cropped`: latent frames that none of
    these samples depends on are left out before the decoder; otherwise the sound is cut after it,
    as both published programs do.
    """

    sampler: Sampler
    vae: "AutoencoderOobleck"
    samples: int
    channels: str
    cropped: bool

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Any], seeds: Sequence[int], spans: Spans
    ) -> list[Waveform]:
        """Return one waveform a prompt; ValueError when seeds are not one each. One host
        synchronisation, at the end, to fetch the samples."""
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(prompts)} clips, but {len(seeds)} seeds; give one each")
        if not prompts:
            return []
        with spans("sampler"):
            latents = self.latents(prompts, seeds)
        with spans("decoder"):
            sound = self.sound(latents).cpu().numpy()
        return [Waveform(samples, RATE_HZ) for samples in sound]

    @torch.inference_mode()
    def latents(self, prompts: Sequence[Any], seeds: Sequence[int]) -> Tensor:
        """Return latents float32 [B, C, T]."""
        return self.sampler.latents(prompts, seeds)

    @torch.inference_mode()
    def sound(self, latents: Tensor) -> Tensor:
        """Return one channel float32 [B, samples], at most as long as the latents are."""
        if self.cropped:
            latents = latents[..., : count_needed_frames(self.vae, self.samples)]
        stereo = self.vae.decoder(latents.to(self.vae.dtype))[..., : self.samples].float()
        return stereo.mean(1) if self.channels == "mean" else stereo[:, 0].contiguous()
