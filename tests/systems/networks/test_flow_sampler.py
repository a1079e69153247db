"""Times, Euler steps, guidance and noise."""

import math

import pytest
import torch

from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.flow_sampler import (
    euler,
    guided_velocity,
    modulations,
    network_times,
    noise,
    sample,
    schedule,
    sway_times,
)
from stabench.systems.networks.udit import UDiT

PUBLISHED_TAU = [1000, 996, 987, 972, 951, 923, 891, 852, 809, 760]
PUBLISHED_TAU += [707, 649, 587, 522, 453, 382, 309, 233, 156, 78]


def test_times_as_the_reference_feeds_them():
    times = schedule(SamplerConfig())
    assert network_times(times).tolist() == PUBLISHED_TAU
    assert network_times(schedule(SamplerConfig(reference_nfe_quirk=True))).tolist() == [
        *PUBLISHED_TAU,
        0,
    ]
    assert times.diff().sum().item() == pytest.approx(-1, abs=1e-15)
    assert times.diff()[0].item() == pytest.approx(-0.00308, abs=1e-5)
    assert times.diff()[-1].item() == pytest.approx(-0.07846, abs=1e-5)


@pytest.mark.parametrize("sway", [-1.0, -0.4, 0.0, 1.0, 2 / (math.pi - 2)])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_times_fall_from_one_to_zero(steps, sway):
    times = sway_times(steps, sway)
    assert (times[0], times[-1], len(times)) == (1, 0, steps + 1)
    assert (times.diff() <= 1e-12).all()


@pytest.mark.parametrize("sway", [-1.0, 0.0, 0.7])
def test_euler_along_the_true_velocity_recovers_the_data(sway):
    data, start = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    found = euler(lambda latent, index: start - data, start, sway_times(9, sway))
    torch.testing.assert_close(found, data, atol=1e-6, rtol=1e-5)


@pytest.fixture
def udit(udit_config, disturb):
    return disturb(UDiT(udit_config))


def test_the_reference_quirk_changes_no_latent(udit):
    context = torch.randn(1, 5, 32)
    plain = sample(udit, context, None, [3], 10, SamplerConfig())
    quirk = sample(udit, context, None, [3], 10, SamplerConfig(reference_nfe_quirk=True))
    assert torch.equal(plain, quirk)


def test_the_quirk_costs_a_21st_evaluation(udit, monkeypatch):
    calls = []
    step = udit.step
    monkeypatch.setattr(udit, "step", lambda *given: calls.append(1) or step(*given))
    sample(udit, torch.randn(1, 5, 32), None, [3], 10, SamplerConfig())
    assert len(calls) == 20
    sample(udit, torch.randn(1, 5, 32), None, [3], 10, SamplerConfig(reference_nfe_quirk=True))
    assert len(calls) == 41


def velocity_of(udit, context, mask, guidance):
    latent = noise([1, 2], (8, 10))
    with torch.no_grad():
        steps = modulations(udit, SamplerConfig())
        return guided_velocity(udit, context, mask, steps, guidance)(latent, 4)


def test_guidance_mixes_the_null_and_the_conditional_velocity(udit):
    context = torch.randn(2, 5, 32)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    latent, time = noise([1, 2], (8, 10)), torch.tensor([951.0, 951.0])
    with torch.no_grad():
        conditional = udit(latent, time, context, mask)
        null = udit(latent, time, torch.zeros_like(context), mask)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(velocity_of(udit, context, mask, 1.0), conditional, **close)
    torch.testing.assert_close(velocity_of(udit, context, mask, 0.0), null, **close)
    expected = null + 5 * (conditional - null)
    # 5 times one and 4 times the other: so much larger is the rounding.
    torch.testing.assert_close(
        velocity_of(udit, context, mask, 5.0), expected, atol=1e-4, rtol=1e-3
    )


def test_zero_context_is_the_null_context(udit):
    context = torch.zeros(2, 5, 32)
    guided = velocity_of(udit, context, None, 5.0)
    torch.testing.assert_close(guided, velocity_of(udit, context, None, 1.0), atol=1e-5, rtol=1e-5)


def test_noise_belongs_to_the_clip_not_to_the_batch():
    batch = noise([5, 2**63 - 1, 7], (4, 6))
    assert torch.equal(noise([7], (4, 6))[0], batch[2])
    assert torch.equal(noise([2**63 - 1], (4, 6))[0], batch[1])
    assert abs(noise(list(range(200)), (4, 50)).std() - 1) < 0.02


def test_a_batch_gives_the_latents_of_single_calls(udit):
    context, seeds, config = torch.randn(8, 5, 32), list(range(8)), SamplerConfig(guidance=2.0)
    batch = sample(udit, context, None, seeds, 10, config)
    for row, seed in enumerate(seeds):
        single = sample(udit, context[row : row + 1], None, [seed], 10, config)[0]
        torch.testing.assert_close(batch[row], single, atol=1e-4, rtol=1e-4)
