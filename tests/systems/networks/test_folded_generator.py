"""The folded velocity field against the UDiT's own: the same latents but for rounding."""

import copy
import dataclasses

import pytest
import torch

from stabench.systems.networks import flow_sampler
from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.flow_sampler import guided_velocity, modulations, noise
from stabench.systems.networks.folded_udit import FoldedUDiT
from stabench.systems.networks.latent_generator import FoldedGenerator, LatentGenerator
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import build_vae

CONFIG = SamplerConfig(steps=6)
CLOSE = {"atol": 1e-4, "rtol": 1e-4}
EXACT = {"atol": 1e-6, "rtol": 1e-5, "check_dtype": False}


@pytest.fixture
def networks(small_config, disturb):
    udit = disturb(UDiT(small_config.udit), 0.2)
    soft = dataclasses.replace(small_config.vae, momentum=0.0, softening=0.5)
    return udit, build_vae(soft), CONFIG, small_config.latent_frames


@torch.inference_mode()
def velocities(udit, context, mask, config, frames):
    """Of the UDiT and of the folded one at every step, computed in float64."""
    udit, context = copy.deepcopy(udit).double(), context.double()
    latent = noise(range(len(context)), (udit.config.in_channels, frames)).double()
    steps = modulations(udit, config)
    plain = guided_velocity(udit, context, mask, steps, config.guidance)
    folded = FoldedUDiT(udit, config, frames).velocity(context, mask)
    both = [(plain(latent, step), folded(latent, step)) for step in range(config.steps)]
    return map(torch.stack, zip(*both, strict=True))


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(("patch_size", "depth"), [(1, 4), (2, 2)])
def test_velocities_are_those_of_the_udit(udit_config, disturb, guidance, patch_size, depth):
    shape = dataclasses.replace(udit_config, patch_size=patch_size, depth=depth)
    udit, config = disturb(UDiT(shape), 0.2), dataclasses.replace(CONFIG, guidance=guidance)
    plain, folded = velocities(udit, torch.randn(2, 5, 32), None, config, 10)
    assert plain.std() > 0.1
    torch.testing.assert_close(folded, plain, **EXACT)


def test_masked_context_is_not_read(networks):
    udit, context = networks[0], torch.randn(3, 5, 32)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    plain, folded = velocities(udit, context, mask, CONFIG, 20)
    torch.testing.assert_close(folded, plain, **EXACT)
    context[~mask] = 9.0
    assert torch.equal(list(velocities(udit, context, mask, CONFIG, 20))[1], folded)


def test_waveforms_are_those_of_the_plain_generator(networks, spans):
    contexts = [torch.randn(1, length, 32) for length in (4, 7, 4)]
    plain, folded = (
        kind(*networks).generate(contexts, [1, 2, 3], spans)
        for kind in (LatentGenerator, FoldedGenerator)
    )
    for expected, found in zip(plain, folded, strict=True):
        torch.testing.assert_close(
            torch.from_numpy(found.samples), torch.from_numpy(expected.samples), atol=1e-4, rtol=0
        )


def test_equal_calls_give_equal_bits_and_a_batch_its_clips(networks):
    generator = FoldedGenerator(*networks)
    contexts = [torch.randn(1, 5, 32) for _ in range(3)]
    together = generator.latents(contexts, [4, 5, 6])
    assert torch.equal(together, generator.latents(contexts, [4, 5, 6]))
    for row, context in enumerate(contexts):
        alone = generator.latents([context], [4 + row])[0]
        torch.testing.assert_close(together[row], alone, **CLOSE)


def test_half_precision_is_left_to_the_udit(networks):
    udit = networks[0].to(torch.bfloat16)
    context = torch.randn(1, 5, 32, dtype=torch.bfloat16)
    expected = flow_sampler.sample(udit, context, None, [1], networks[3], CONFIG)
    assert torch.equal(FoldedGenerator(*networks).latents([context], [1]), expected)
