"""Sampler and decoder on fixed buffers: the eager path's sound."""

import dataclasses

import pytest
import torch

from stabench.systems.networks.config import VaeConfig
from stabench.systems.networks.graphed_generator import (
    CONTEXT_STEP,
    LONGEST_CONTEXT,
    Contexts,
    GraphedGenerator,
)
from stabench.systems.networks.latent_generator import LatentGenerator
from stabench.systems.star.config import StarConfig
from stabench.systems.star.parts import build_parts

WIDTH = 32


@pytest.fixture(params=["waveform", "spectrogram"])
def config(request, small_config) -> StarConfig:
    if request.param == "spectrogram":
        return small_config
    vae = VaeConfig(latent_channels=8, ratios=(2, 4), multiples=(1, 2), base=8)
    return dataclasses.replace(small_config, vae=vae)


@pytest.fixture
def networks(config):
    parts = build_parts(config, 0)
    return parts.udit.eval(), parts.vae.eval().fuse(), config.sampler, config.latent_frames


def contexts(*lengths):
    return [torch.randn(1, length, WIDTH) for length in lengths]


def stacked(sounds):
    return torch.stack([torch.from_numpy(sound.samples) for sound in sounds])


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_buffers_change_no_bit(networks, spans, batch):
    """Batches of 1 and 2 go through buffers, one of 3 does not."""
    graphed = GraphedGenerator(*networks, Contexts(WIDTH, 8), batches=(1, 2))
    given, seeds = contexts(*[8] * batch), list(range(batch))
    expected = stacked(LatentGenerator(*networks).generate(given, seeds, spans))
    for _ in range(2):
        assert torch.equal(stacked(graphed.generate(given, seeds, spans)), expected)
    assert spans.names == ["sampler", "decoder"] * 3


def test_a_context_of_any_length_gives_the_sound_that_it_gives_unpadded(networks, small_config):
    graphed = GraphedGenerator(*networks, Contexts(WIDTH, None), batches=(1, 2))
    plain = LatentGenerator(*networks)
    for lengths in ((5,), (CONTEXT_STEP,), (CONTEXT_STEP + 1,), (30, 7)):
        given, seeds = contexts(*lengths), list(range(len(lengths)))
        expected, found = (each.latents(given, seeds) for each in (plain, graphed))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_longer_contexts_go_without_a_graph(networks):
    graphed = GraphedGenerator(*networks, Contexts(WIDTH, None))
    given = contexts(LONGEST_CONTEXT + 1)
    expected = LatentGenerator(*networks).latents(given, [4])
    assert torch.equal(graphed.latents(given, [4]), expected)


def test_graphs_are_captured_for_every_size_beforehand(networks):
    graphed = GraphedGenerator(*networks, Contexts(WIDTH, None), batches=(1, 4))
    sizes = [128, 256, 384, 512]
    assert sorted(graphed._samplers) == [(batch, size) for batch in (1, 4) for size in sizes]
    assert sorted(graphed._decoders) == [1, 4]
