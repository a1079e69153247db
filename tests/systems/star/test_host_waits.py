"""The host waits for the device once a clip, for the sound: shown on tensors that hold no data.

A tensor on the meta device has a shape and nothing else, so whatever would have to wait for a value
(.item(), a branch, a boolean index, a copy to the host) raises there.
"""

import dataclasses

import numpy as np
import pytest
import torch

from stabench.systems.contract import Utterance
from stabench.systems.networks.config import VaeConfig
from stabench.systems.star.config import SpeechEncoderConfig, StarConfig
from stabench.systems.star.star import Star
from tests.systems.device_watch import Watch

SMALL = SpeechEncoderConfig(
    "hubert", width=32, layers=1, heads=2, ffn=64, codec_base=2, codec_books=1
)
KINDS = ("hubert", "hubert-logmel", "dac")


@pytest.fixture(params=KINDS)
def config(request, small_config) -> StarConfig:
    vae = VaeConfig(latent_channels=8, ratios=(2, 4), multiples=(1, 2), base=8)
    encoder = dataclasses.replace(SMALL, kind=request.param)
    return dataclasses.replace(small_config, encoder=encoder, vae=vae, latent_frames=4)


def loaded(config, variant, **options):
    star = Star(config, variant=variant, steps=2, **options)
    star.load("meta", "float32")
    return star


def utterance(samples=12_345):
    sound = 0.1 * np.random.default_rng(0).standard_normal(samples)
    return Utterance("clip", sound.astype(np.float32), 16_000)


@pytest.mark.parametrize("variant", ["eager", "graph"])
@pytest.mark.parametrize("without_bridge", [False, True])
def test_only_the_sound_is_waited_for(config, spans, variant, without_bridge):
    star = loaded(config, variant, without_bridge=without_bridge)
    clip = star.represent(utterance(), spans)
    assert clip.payload.is_meta
    sound = star.generator.sound(star.generator.latents([clip.payload], [1]))
    assert sound.shape == (1, 8 * config.latent_frames)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        star.generate([clip], [1], spans)
    assert spans.names[-2:] == ["sampler", "decoder"]


def test_the_host_sends_speech_lengths_and_noise_and_nothing_else(config, spans):
    star = loaded(config, "graph")
    star.represent(utterance(), spans)
    with Watch() as watch:
        clip = star.represent(utterance(), spans)
    assert watch.crossings == ["copy_"] * 3  # the waveform, its samples, its frames
    generator = star.generator
    generator.sound(generator.latents([clip.payload], [1]))
    with Watch() as watch:
        generator.sound(generator.latents([clip.payload], [1]))
    assert watch.crossings == ["copy_"]
    assert watch.waits == []


def test_what_is_captured_takes_nothing_from_the_host(config):
    """A copy from pageable memory, like a wait, would break a capture on a GPU."""
    star = loaded(config, "graph")
    size = min(star._reader._encoders)
    graphs = [
        star._reader._encoders[size],
        star._reader._bridges[size],
        *star.generator._samplers.values(),
        *star.generator._decoders.values(),
    ]
    assert len(graphs) == 4
    with torch.inference_mode():
        for graph in graphs:
            graph._function(*graph._buffers)  # as the warm-up does: tables are made now
            with Watch() as watch:
                graph._function(*graph._buffers)
            assert (watch.crossings, watch.waits) == ([], [])
