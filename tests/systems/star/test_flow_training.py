"""Timestep distributions, the flow-matching loss, averaged weights, and that it learns."""

import dataclasses

import pytest
import torch

from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.flow_sampler import sample
from stabench.systems.networks.udit import UDiT
from stabench.systems.star.flow_matching import (
    draw_flow,
    logit_normal,
    masked_mse,
    toward_noise,
    uniform,
    velocity_loss,
)
from stabench.systems.training.ema import Ema


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("sampler", "median"), [(logit_normal(), 0.5), (uniform(), 0.5), (toward_noise(), 0.8176)]
)
def test_times_are_thousandths_around_the_expected_median(sampler, median, generator):
    times = sampler(20_000, generator)
    assert times.min() > 0
    assert times.max() <= 1
    torch.testing.assert_close(1000 * times, (1000 * times).round(), atol=1e-3, rtol=0)
    assert times.median().item() == pytest.approx(median, abs=0.01)


def test_logit_normal_is_logistic_of_a_normal(generator):
    logits = torch.logit(logit_normal(0.3, 0.7)(20_000, generator).double().clamp(max=0.9995))
    assert logits.mean().item() == pytest.approx(0.3, abs=0.02)
    assert logits.std().item() == pytest.approx(0.7, abs=0.02)


class Perfect(torch.nn.Module):
    """Knows the data, so can solve z_t = (1 - t) z0 + t z1 for the velocity z1 - z0."""

    def __init__(self, data):
        super().__init__()
        self.data, self.contexts = data, []

    def forward(self, noisy, time, context, context_mask, latent_mask):
        self.contexts.append(context)
        t = time[:, None, None] / 1000
        return (noisy - self.data) / t


def test_the_true_velocity_has_no_loss(generator):
    data = torch.randn(16, 4, 6)
    draw = draw_flow(data.shape, generator, toward_noise())
    loss = velocity_loss(Perfect(data), data, torch.ones(16, 2, 3), None, draw)
    assert loss < 1e-6


def test_whole_contexts_are_dropped_at_the_given_rate(generator):
    data, network = torch.randn(2000, 1, 2), Perfect(torch.randn(2000, 1, 2))
    draw = draw_flow(data.shape, generator, uniform(), 0.2)
    velocity_loss(network, data, torch.ones(2000, 2, 3), None, draw)
    sums = network.contexts[0].sum((1, 2))
    assert set(sums.tolist()) == {0.0, 6.0}
    assert (sums == 0).float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_masked_frames_do_not_count_and_clips_weigh_alike():
    predicted, target = torch.zeros(2, 1, 4), torch.ones(2, 1, 4)
    predicted[0, :, 1:] = 99
    mask = torch.tensor([[True, False, False, False], [True, True, True, True]])
    assert masked_mse(predicted, target, mask) == 1.0


def test_average_follows_the_weights_and_resumes():
    layer = torch.nn.Linear(2, 2)
    ema = Ema(layer, decay=0.5)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    ema.update(layer)
    torch.testing.assert_close(ema.average[0], before + 0.9)
    resumed = Ema(torch.nn.Linear(2, 2), decay=0.5)
    resumed.load_state_dict(ema.state_dict())
    resumed.copy_to(layer)
    torch.testing.assert_close(layer.weight.detach(), before + 0.9)
    assert resumed.updates == 1


def test_a_small_network_learns_which_sound_a_context_asks_for(udit_config, generator):
    config = dataclasses.replace(udit_config, in_channels=2, depth=2, patch_size=2)
    udit = UDiT(config)
    optimiser = torch.optim.AdamW(udit.parameters(), 4e-3)
    contexts = torch.randn(2, 3, 32)
    for _ in range(120):
        label = torch.randint(2, (16,), generator=generator)
        data = (2.0 * label - 1)[:, None, None] + 0.1 * torch.randn(16, 2, 8, generator=generator)
        draw = draw_flow(data.shape, generator, uniform())
        loss = velocity_loss(udit, data, contexts[label], None, draw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    made = sample(udit, contexts.repeat(4, 1, 1), None, range(8), 8, SamplerConfig(guidance=1.0))
    wanted = torch.tensor([-1.0, 1.0]).repeat(4)
    assert (made.mean((1, 2)) - wanted).abs().max() < 0.5
