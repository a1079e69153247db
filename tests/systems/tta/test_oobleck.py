"""The stereo autoencoder: its size, and how little of the latents the start of a sound needs."""

from pathlib import Path

import pytest
import torch

from stabench.systems.tta import oobleck
from stabench.systems.tta.oobleck import StereoGenerator, count_needed_frames
from tests.systems.tta import tiny_oobleck


@pytest.fixture(scope="module")
def vae():
    """Tiny, in float64."""
    network = oobleck.build(tiny_oobleck.SETTINGS)
    network.load_state_dict(tiny_oobleck.tensors(), assign=True)
    oobleck.place([network], "cpu", "float64")
    return network.eval()


@pytest.fixture
def latents():
    return torch.randn(1, 4, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("samples", [1, 2047, 2048, 10_000, 40_000])
def test_what_is_left_out_before_the_decoder_is_not_heard(vae, latents, samples) -> None:
    whole, cropped = (
        StereoGenerator(None, vae, samples, "mean", cropped).sound(latents)
        for cropped in (False, True)
    )
    assert cropped.shape == (1, samples)
    torch.testing.assert_close(cropped, whole, rtol=0, atol=1e-6)


def test_no_more_frames_are_kept_than_are_needed_but_for_two(vae, latents) -> None:
    """By the gradient of the first samples, which is 0 where they do not depend on a frame."""
    latents.requires_grad_(True)
    vae.decoder(latents)[..., :10_000].square().sum().backward()
    read = int(latents.grad.abs().amax((0, 1)).nonzero().max()) + 1
    assert read <= count_needed_frames(vae, 10_000) <= read + 2


def test_the_published_one() -> None:
    """156 M parameters by its model card; 10 s are 216 latent frames and what reaches into them."""
    network = oobleck.build(oobleck.SETTINGS)
    assert sum(parameter.numel() for parameter in network.parameters()) == 156_112_514
    assert network.hop_length == 2048
    assert count_needed_frames(network, 441_000) == 226


def test_a_file_tells_its_sizes() -> None:
    tensors = tiny_oobleck.tensors()
    assert oobleck.read_settings(tensors, Path("vae")) == tiny_oobleck.SETTINGS
    whole = oobleck.build(oobleck.SETTINGS).state_dict()
    assert oobleck.read_settings(whole, Path("vae")) == oobleck.SETTINGS
    del tensors["decoder.conv1.weight_v"]
    with pytest.raises(ValueError, match=r"vae: no autoencoder .* \('decoder\.conv1\.weight_v'\)"):
        oobleck.read_settings(tensors, Path("vae"))


def test_another_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="sampling_rate is 48000, expected 44100"):
        oobleck.build(tiny_oobleck.SETTINGS | {"sampling_rate": 48_000})
