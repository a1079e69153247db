"""EzAudio's v as a flow's velocity: an exact formula, STAR's times, the sound of plain DDIM."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stabench.systems.cascade.compose import cascade
from stabench.systems.networks.flow_sampler import euler, sway_times
from stabench.systems.tta.ezaudio import EzAudio, generator
from stabench.systems.tta.ezaudio_flow import (
    FLOW_STEPS,
    EzFlowSampler,
    flow_velocity,
    noise_levels,
)
from tests.systems.tta import tiny_ezaudio

TINY = tiny_ezaudio
FRAMES, STEPS = 20, 5
EXACT = {"atol": 1e-12, "rtol": 0}
# Nearest to STAR's 20 times, as the specification of its authors' schedule lists them.
NEAREST = [999, 992, 972, 942, 905, 861, 813, 761, 705, 645]
NEAREST += [580, 512, 439, 363, 285, 209, 138, 78, 33, 7]


@pytest.fixture(scope="module")
def model(home):
    model = EzAudio(steps=STEPS, weights=home, latent_frames=FRAMES, sampler="flow")
    model.load("cpu", "float32")
    return model


def ends(*shape):
    """Data and noise, float64, and nothing that repeats between them."""
    return torch.randn(2, *shape, dtype=torch.float64)


def test_velocity_from_v_is_exact_at_every_step():
    levels, (data, noise) = noise_levels(), ends(1000, 3, 5)
    signal, noisy = (each[:, None, None] for each in (levels.signal, levels.noise))
    latent = torch.lerp(data, noise, levels.times[:, None, None])
    v = signal * noise - noisy * data
    torch.testing.assert_close((signal + noisy) * latent, signal * data + noisy * noise, **EXACT)
    torch.testing.assert_close(flow_velocity(v, latent, signal, noisy), noise - data, **EXACT)


def test_steps_are_the_nearest_to_those_of_star():
    levels = noise_levels(sway_times(20)[:-1])
    assert levels.steps.tolist() == NEAREST
    assert levels.times[0] == 1
    assert (levels.times - sway_times(20)[:-1]).abs().max() < 1e-3
    assert noise_levels().times[0].item() == pytest.approx(0.028, abs=5e-4)
    torch.testing.assert_close(levels.signal**2 + levels.noise**2, torch.ones(20).double(), **EXACT)


def test_the_limit_is_where_two_steps_fall_on_one_time():
    for steps in (1, 2, 50, FLOW_STEPS):
        assert (noise_levels(sway_times(steps)[:-1]).times.diff() < 0).all()
    assert (noise_levels(sway_times(FLOW_STEPS + 1)[:-1]).times.diff() == 0).any()


@pytest.mark.parametrize("steps", [1, 7, 20, FLOW_STEPS])
def test_euler_along_the_converted_v_recovers_the_data(steps):
    data, noise = ends(2, 3, 4)
    levels = noise_levels(sway_times(steps)[:-1])

    def velocity(latent, index):
        signal, noisy = levels.signal[index], levels.noise[index]
        return flow_velocity(signal * noise - noisy * data, latent, signal, noisy)

    times = torch.cat([levels.times, torch.zeros(1).double()])
    torch.testing.assert_close(euler(velocity, noise, times), data, **EXACT)


def test_the_sampler_of_a_network_that_knows_the_data_recovers_it():
    """Such a network answers v = (a x - z0) / s; it is fed x, with the empty text's half first."""
    data = torch.randn(2, 3, 8)
    sampler = EzFlowSampler(20, 5.0, 0.75, 8)
    levels, halves = sampler.levels(), torch.cat([data, data])

    def step(both, index, cache):
        assert cache == "text"
        return (levels.signal[index] * both - halves) / levels.noise[index]

    udit = SimpleNamespace(precompute=lambda states, mask: "text", step=step)
    steps = SimpleNamespace(at=lambda index: index)
    start = torch.randn(1, 2, 3, 8)
    latents = sampler.integrate(udit, steps, start, torch.zeros(4, 5, 8), None)
    torch.testing.assert_close(latents, data, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize(("guidance", "rescale"), [(5.0, 0.75), (3.0, 0.0), (1.0, 0.0)])
def test_latents_are_those_of_ddim_at_these_times(model, spans, guidance, rescale):
    """Equation 12 of arXiv 2010.02502 with eta 0, by the same network, in float64 but for it."""
    prompt, sampler = (
        model.encode("rain on a roof", spans),
        EzFlowSampler(STEPS, guidance, rescale, FRAMES),
    )
    networks = model.generator.networks
    latents = generator(networks, sampler, "stock").latents([prompt], [4])
    states = torch.cat([prompt.empty, prompt.words])
    mask = torch.cat([prompt.empty_mask, prompt.words_mask])
    x = sampler.noise(networks.udit, [4])[0].double()
    levels = noise_levels(sway_times(STEPS)[:-1])
    ones, zeros = torch.ones(1).double(), torch.zeros(1).double()
    signals, noises = torch.cat([levels.signal, ones]), torch.cat([levels.noise, zeros])
    for index, number in enumerate(levels.steps.tolist()):
        times = torch.full((2,), float(number))
        empty, words = networks.udit(x.repeat(2, 1, 1).float(), times, states, mask).double()
        raw = empty + guidance * (words - empty)
        v = raw * (1 - rescale + rescale * words.std() / raw.std())
        clean = signals[index] * x - noises[index] * v
        dirt = noises[index] * x + signals[index] * v
        x = signals[index + 1] * clean + noises[index + 1] * dirt
    assert x.std() > 0.1
    torch.testing.assert_close(latents.double(), x, atol=5e-4, rtol=1e-3)


def test_sound_stages_and_provenance(model, spans):
    prompts = [model.encode(text, spans) for text in ("wind", "")]
    spans.names.clear()
    batch = model.generate(prompts, [5, 6], spans)
    assert spans.names == ["sampler", "decoder"]
    for index, prompt in enumerate(prompts):
        (alone,) = model.generate([prompt], [5 + index], spans)
        assert alone.samples.shape == (FRAMES * 480,)
        np.testing.assert_allclose(batch[index].samples, alone.samples, atol=5e-5)
    assert (model.provenance()["sampler"], model.provenance()["steps"]) == ("flow", STEPS)
    assert "eta" not in model.provenance()
    assert EzAudio(weights="random").provenance()["eta"] == 1.0
    assert "sampler" not in EzAudio(weights="random").provenance()


def test_a_graph_samples_the_same(model, home, spans):
    graph = EzAudio(STEPS, weights=home, latent_frames=FRAMES, sampler="flow", variant="graph")
    graph.load("cpu", "float32")
    sounds = [
        each.generate([each.encode("wind", spans)], [3], spans)[0].samples
        for each in (model, graph)
    ]
    np.testing.assert_allclose(*sounds, atol=5e-5)


def test_options_are_checked_and_reach_it_through_a_cascade():
    with pytest.raises(ValueError, match="'euler', allowed are ddim, flow"):
        EzAudio(sampler="euler")
    with pytest.raises(ValueError, match="steps is 100, allowed are 1 to 74 with sampler 'flow'"):
        EzAudio(sampler="flow")
    with pytest.raises(
        ValueError, match=r"eta is 0\.0, but sampler 'flow' adds no noise; leave eta"
    ):
        EzAudio(20, sampler="flow", eta=0.0)
    options = {"use": "ezaudio", "sampler": "flow", "steps": 20}
    assert "flow" in str(cascade("caption", options, "random").provenance())
