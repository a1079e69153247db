"""The autoencoders: exact lengths, a living start, phases that fit their magnitudes.

Tested elsewhere: parameter counts and work (test_star_full_size.py), and that the network equals a
plain reading of EzAudio's, on its own names (test_ezaudio_weights.py).
"""

import dataclasses
import math

import pytest
import torch

from stabench.systems.networks.config import VaeConfig
from stabench.systems.networks.spectrogram import griffin_lim, log_magnitude
from stabench.systems.networks.vae import build_vae, init_for_training

WAVEFORM = VaeConfig(latent_channels=8, base=4)


@pytest.fixture(params=["waveform", "spectrogram"])
def vae(request, spectrogram_config):
    vae = build_vae(WAVEFORM if request.param == "waveform" else spectrogram_config)
    init_for_training(vae)
    return vae.eval()


def reconstruct(vae, features):
    """Features through a sampled latent and back, same shape."""
    return vae.expand(vae.posterior(features).sample())[..., : features.shape[-1]]


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 7, 10])
def test_lengths_are_exact(vae, frames):
    sound = vae.decode(torch.randn(2, 8, frames))
    assert sound.shape == (2, 1, frames * vae.hop)
    assert vae.encode(sound).mean.shape == (2, 8, frames)
    assert vae.encode(sound[..., :-1]).mean.shape == (2, 8, frames)


@torch.no_grad()
def test_four_seconds_of_the_pocket_geometry(spectrogram_config):
    vae, sound = build_vae(spectrogram_config), torch.randn(1, 1, 64_000)
    features = vae.spectrogram(sound)
    assert features.shape == (1, 257, 400)
    assert reconstruct(vae, features).shape == (1, 257, 400)
    assert vae.encode(sound).mean.shape == (1, 8, 200)
    assert vae.invert(features).shape == (1, 1, 64_000)


@torch.no_grad()
def test_training_starts_narrow_and_alive(vae):
    posterior = vae.encode(0.2 * torch.randn(4, 1, 9600))
    assert posterior.std.mean().item() == pytest.approx(0.05, rel=0.2)
    assert posterior.mean.std(dim=(0, 2)).min() > 0.05
    assert 0.01 < vae.expand(torch.randn(4, 8, 20)).std() < 10


def test_a_few_steps_lower_the_reconstruction_error(spectrogram_config):
    vae = build_vae(spectrogram_config)
    init_for_training(vae)
    # At 3e-3 the first step overshoots; where the twelfth ends is then decided by rounding.
    optimiser = torch.optim.AdamW(vae.parameters(), 1e-3)
    tone = torch.sin(torch.arange(9600) * 0.2)[None, None] * torch.rand(8, 1, 1)
    features, losses = vae.spectrogram(tone), []
    for _ in range(12):
        losses.append((reconstruct(vae, features) - features).abs().mean())
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


@torch.no_grad()
def test_fusing_changes_no_sound(vae):
    latent = torch.randn(1, 8, 6)
    before = vae.expand(latent)
    torch.testing.assert_close(vae.fuse().expand(latent), before)


def test_normalise_and_back(vae):
    vae.latent_mean += torch.arange(8.0)
    vae.latent_std *= 3
    latent = torch.randn(2, 8, 5)
    torch.testing.assert_close(vae.denormalise(vae.normalise(latent)), latent)
    assert vae.normalise(latent)[0, 4, 0] == pytest.approx((latent[0, 4, 0].item() - 4) / 3)
    assert {"latent_mean", "latent_std"} <= vae.state_dict().keys()


@torch.no_grad()
def test_posterior_draws_and_divergence_agree_with_torch(vae):
    posterior = vae.encode(0.2 * torch.randn(2, 1, 4800))
    reference = torch.distributions.Normal(posterior.mean, posterior.std)
    standard = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(reference, standard).mean()
    torch.testing.assert_close(posterior.kl(), expected, rtol=1e-4, atol=1e-5)
    generator = torch.Generator().manual_seed(1)
    draws = torch.stack([posterior.sample(generator) for _ in range(300)])
    torch.testing.assert_close(draws.std(0).mean(), posterior.std.mean(), rtol=0.05, atol=0)


def spectral_error(magnitude: torch.Tensor, sound: torch.Tensor) -> float:
    found = log_magnitude(sound, 512, 160).exp()
    return ((found - magnitude).norm() / magnitude.norm()).item()


@pytest.mark.parametrize("pitch_hz", [440.0, 1234.5])
def test_griffin_lim_rebuilds_a_tone_from_its_magnitudes(pitch_hz):
    tone = 0.5 * torch.sin(2 * torch.pi * pitch_hz * torch.arange(32_000) / 16_000)[None]
    magnitude = log_magnitude(tone, 512, 160).exp()
    sound = griffin_lim(magnitude, 512, 160, 32, 0.9)
    assert spectral_error(magnitude, sound) < 0.15
    spectrum = torch.fft.rfft(sound[0]).abs()
    assert spectrum.argmax().item() * 16_000 / 32_000 == pytest.approx(pitch_hz, abs=5)


def test_griffin_lim_gains_from_iterations_and_momentum():
    magnitude = log_magnitude(0.1 * torch.randn(1, 32_000), 512, 160).exp()
    errors = [
        spectral_error(magnitude, griffin_lim(magnitude, 512, 160, iterations, momentum))
        for iterations, momentum in ((1, 0.0), (32, 0.0), (32, 0.9))
    ]
    assert errors[0] > errors[1] > errors[2]


def test_phase_is_the_same_for_any_batch():
    magnitude = log_magnitude(torch.randn(3, 8000), 512, 160).exp()
    batch = griffin_lim(magnitude, 512, 160, 4, 0.9)
    assert torch.equal(batch, griffin_lim(magnitude, 512, 160, 4, 0.9))
    single = griffin_lim(magnitude[1:2], 512, 160, 4, 0.9)[0]
    torch.testing.assert_close(batch[1], single, atol=1e-4, rtol=1e-3)


def test_what_is_too_loud_is_turned_down_clip_by_clip_and_the_rest_is_left(spectrogram_config):
    vae = build_vae(spectrogram_config)
    magnitude = log_magnitude(torch.tensor([[0.01], [40.0]]) * torch.randn(1, 8000), 512, 160)
    features = (magnitude - vae.config.log_centre) / vae.config.log_spread
    quiet, loud = vae.invert(features)[:, 0]
    peak = loud.abs().max().item()
    assert peak == pytest.approx(1.0)
    assert quiet.abs().max().item() < 0.1
    alone = vae.invert(features[:1])[0, 0]
    torch.testing.assert_close(quiet, alone, atol=1e-5, rtol=0)


def test_log_magnitude_of_silence_is_its_floor():
    assert log_magnitude(torch.zeros(1, 1600), 512, 160).exp().max().item() == pytest.approx(1e-4)


def test_odd_ratios_are_refused():
    with pytest.raises(ValueError, match="odd ratio"):
        dataclasses.replace(WAVEFORM, ratios=(2, 3, 6, 10))


@pytest.mark.parametrize(("momentum", "softening"), [(0.0, 0.5), (0.9, 0.0)])
@pytest.mark.parametrize(("n_fft", "hop"), [(512, 160), (512, 128), (64, 20)])
def test_griffin_lim_is_that_of_torchs_transforms(n_fft, hop, momentum, softening):
    """Against the definition, written with torch.stft and torch.istft, in float64."""
    magnitude = torch.rand(2, n_fft // 2 + 1, 12).exp()
    found = griffin_lim(magnitude, n_fft, hop, 3, momentum, softening)
    magnitude = torch.cat([magnitude, magnitude[..., -1:]], dim=-1).double()
    angle = (
        torch.rand(magnitude.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    )
    shared = {"window": torch.hann_window(n_fft, dtype=torch.float64), "center": True}

    def sound(phase):
        return torch.istft(magnitude * phase, n_fft, hop, length=12 * hop, **shared)

    phase, previous = torch.polar(torch.ones(()), angle).to(torch.complex128), 0
    for _ in range(3):
        rebuilt = torch.stft(sound(phase), n_fft, hop, return_complex=True, **shared)
        ahead = rebuilt - previous * momentum / (1 + momentum)
        strength = torch.hypot(ahead.abs(), softening * magnitude + 1e-12)
        phase, previous = ahead * math.hypot(1, softening) / strength, rebuilt
    torch.testing.assert_close(found.double(), sound(phase), atol=1e-4, rtol=1e-3)
