"""The autoencoders between sound and latents: EzAudio's Oobleck, and its spectrogram sibling."""

import math
import warnings
from typing import NamedTuple, Self

import torch
from diffusers.models import AutoencoderOobleck
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import remove_weight_norm, weight_norm

from stabench.systems.networks.config import VaeConfig
from stabench.systems.networks.spectrogram import griffin_lim, log_magnitude

INITIAL_POSTERIOR_STD = 0.05
CONVOLUTIONS = (nn.Conv1d, nn.ConvTranspose1d)


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents: `mean` and `std`, both [B, C, T]."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw [B, C, T]; training latents are sampled, not means (EzAudio)."""
        noise = torch.randn(
            self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype
        )
        return self.mean + self.std * noise

    def kl(self) -> Tensor:
        """KL divergence to N(0, I), mean over all latent values, in nats."""
        variance = self.std.square()
        return 0.5 * (self.mean.square() + variance - variance.log() - 1).mean()


class _Vae(nn.Module):
    """What both autoencoders share: the Oobleck network and the per-channel latent scale."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: VaeConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.ratio = math.prod(config.ratios)
        self.oobleck = _oobleck(config, channels)
        self.register_buffer("latent_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latent_std", torch.ones(config.latent_channels))

    @property
    def sample_rate_hz(self) -> int:
        return self.config.sample_rate_hz

    def normalise(self, latent: Tensor) -> Tensor:
        """Latents [B, C, T] to about zero mean and unit variance per channel."""
        return (latent - self.latent_mean[:, None]) / self.latent_std[:, None]

    def denormalise(self, latent: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return latent * self.latent_std[:, None] + self.latent_mean[:, None]

    def posterior(self, features: Tensor) -> Posterior:
        """Network input [B, channels, N] to the posterior over [B, C, ceil(N / ratio)]."""
        padded = functional.pad(features, (0, -features.shape[-1] % self.ratio))
        mean, scale = self.oobleck.encoder(padded).chunk(2, dim=1)
        # The floor keeps the logarithm in `kl` finite; `init_for_training` inverts this line.
        return Posterior(mean, functional.softplus(scale) + 1e-4)

    def expand(self, latent: Tensor) -> Tensor:
        """Latents [B, C, T] to network output [B, channels, ratio T]."""
        return self.oobleck.decoder(latent)

    def fuse(self) -> Self:
        """Multiply gains into weights for inference: same outputs, fewer operations per call."""
        fuse_gains(self)
        return self

    def compile_blocks(self) -> None:
        """Fuse the decoder's operations with torch.compile, at its first use."""
        self.oobleck.decoder.compile(fullgraph=True)


class WaveformVae(_Vae):
    """EzAudio's VAE: waveform [B, 1, N] <-> latents [B, 128, N / 480] (24 kHz, 50 Hz latents)."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__(config, channels=1)
        self.hop = self.ratio

    def encode(self, waveform: Tensor) -> Posterior:
        """Posterior over raw latents; the tail is zero-padded to a whole latent frame."""
        return self.posterior(waveform)

    def invert(self, features: Tensor) -> Tensor:
        """The network's output is the waveform."""
        return features

    def decode(self, latent: Tensor) -> Tensor:
        """Raw (denormalised) latents [B, C, T] to waveform [B, 1, hop T]."""
        return self.expand(latent)


class SpectrogramVae(_Vae):
    """Oobleck over log-magnitude STFT frames, phase by Griffin-Lim (a declared deviation).

    waveform [B, 1, N], features [B, n_fft // 2 + 1, N / hop], latents [B, C, N / (hop ratio)].
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__(config, channels=config.n_fft // 2 + 1)
        self.hop = self.ratio * config.hop

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """[B, 1, N] to scaled log-magnitudes [B, bins, ceil(N / hop)]."""
        logmag = log_magnitude(waveform[:, 0].float(), self.config.n_fft, self.config.hop)
        return ((logmag - self.config.log_centre) / self.config.log_spread).to(waveform.dtype)

    def encode(self, waveform: Tensor) -> Posterior:
        """Posterior over raw latents; the tail is zero-padded to a whole latent frame."""
        return self.posterior(self.spectrogram(waveform))

    def invert(self, features: Tensor) -> Tensor:
        """Scaled log-magnitudes [B, bins, F] to waveform [B, 1, hop F].

        A sound with a peak beyond `full_scale` is turned down to it: an exponential makes a
        spectrogram that is a little too loud into one that no player takes.
        """
        # In float32 whatever the decoder computes in: exponentials and FFTs are next.
        logmag = features.float() * self.config.log_spread + self.config.log_centre
        config = self.config
        waveform = griffin_lim(
            logmag.exp(),
            config.n_fft,
            config.hop,
            config.griffin_lim_iterations,
            config.momentum,
            config.softening,
        )
        peak = waveform.abs().amax(-1, keepdim=True)
        return (waveform / (peak / config.full_scale).clamp_min(1.0))[:, None].to(features.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Raw (denormalised) latents [B, C, T] to waveform [B, 1, hop ratio T]."""
        return self.invert(self.expand(latent))


Vae = WaveformVae | SpectrogramVae


def fuse_gains(network: nn.Module) -> None:
    """Multiply the gains of weight norm into the weights of every convolution, in place."""
    for module in network.modules():
        # A second call finds no gains left and does nothing.
        if isinstance(module, CONVOLUTIONS) and hasattr(module, "weight_g"):
            remove_weight_norm(module)


def build_vae(config: VaeConfig) -> Vae:
    """The autoencoder that `config.kind` names."""
    return WaveformVae(config) if config.kind == "waveform" else SpectrogramVae(config)


def init_for_training(vae: Vae, posterior_std: float = INITIAL_POSTERIOR_STD) -> None:
    """Initialise for training from scratch; uses torch's global generator.

    diffusers leaves weight-norm gains unrelated to their directions and the posterior as wide as
    its means: no latent channel comes alive. Xavier directions, gains equal to their norms, and a
    posterior std of `posterior_std` everywhere at the start.
    """
    for module in vae.modules():
        if isinstance(module, CONVOLUTIONS):
            nn.init.xavier_uniform_(module.get_parameter("weight_v"))
            _match_gain(module)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    last = vae.oobleck.encoder.conv2
    channels = vae.config.latent_channels
    with torch.no_grad():
        # The latter half of the outputs is the scale: nearly constant, its bias the inverse of
        # softplus(bias) + 1e-4 at `posterior_std`.
        last.get_parameter("weight_v")[channels:] *= 0.01
        last.get_parameter("bias")[channels:] = math.log(math.expm1(posterior_std - 1e-4))
    _match_gain(last)
    with torch.no_grad():
        # The last gain of a residual unit is halved: variance must not grow along a dozen units.
        for name, module in vae.named_modules():
            if ".res_unit" in name and name.endswith(".conv2"):
                module.get_parameter("weight_g").mul_(0.5)


def _oobleck(config: VaeConfig, channels: int) -> AutoencoderOobleck:
    with warnings.catch_warnings():
        # The deprecated weight norm is the one whose keys checkpoints hold (weight_g, weight_v).
        warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
        network = AutoencoderOobleck(
            encoder_hidden_size=config.base,
            downsampling_ratios=list(config.ratios),
            channel_multiples=list(config.multiples),
            decoder_channels=config.base,
            decoder_input_channels=config.latent_channels,
            audio_channels=channels,
            sampling_rate=config.sample_rate_hz,
        )
        # diffusers ties the encoder's output to its hidden size; EzAudio emits mean and scale.
        width, emitted = config.base * config.multiples[-1], 2 * config.latent_channels
        network.encoder.conv2 = weight_norm(nn.Conv1d(width, emitted, 3, padding=1))
    return network


def _match_gain(convolution: nn.Module) -> None:
    """Set weight_g to the norm of weight_v, so that the weight is weight_v itself."""
    with torch.no_grad():
        direction = convolution.get_parameter("weight_v")
        axes = list(range(1, direction.dim()))
        convolution.get_parameter("weight_g").copy_(direction.norm(dim=axes, keepdim=True))
