"""Half precision end to end: close to float32, and float32 where digits count."""

import dataclasses

import numpy as np
import pytest
import torch

from stabench.systems.contract import Utterance
from stabench.systems.networks.config import VaeConfig
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.star import Star

HUBERT = SpeechEncoderConfig("hubert", width=32, layers=2, heads=2, ffn=64)
ENCODERS = {
    "hubert": HUBERT,
    "hubert-normalised": dataclasses.replace(HUBERT, normalize_waveform=True),
    "wavlm": dataclasses.replace(HUBERT, kind="wavlm"),
    "hubert-logmel": dataclasses.replace(HUBERT, kind="hubert-logmel", mel_strides=(2, 2)),
    "dac": dataclasses.replace(HUBERT, kind="dac", codec_base=2, codec_books=2),
}
TOLERANCE = {"bfloat16": 0.03, "float16": 0.004}
"""Relative error of a few dozen operations rounded to 8 and to 11 bits."""
SPEECH = Utterance(
    "clip", (0.1 * np.random.default_rng(0).standard_normal(9000)).astype(np.float32), 16_000
)


def relative(found, expected):
    return (found.float() - expected).norm() / expected.norm()


def star(small_config, encoder, dtype):
    vae = VaeConfig(latent_channels=8, ratios=(2, 4), multiples=(1, 2), base=8)
    config = dataclasses.replace(small_config, encoder=ENCODERS[encoder], vae=vae)
    system = Star(config, guidance=2.0, steps=5)
    system.load("cpu", dtype)
    return system


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_tokens_and_sound_are_those_of_float32_but_for_rounding(
    small_config, spans, encoder, dtype
):
    whole, half = (star(small_config, encoder, name) for name in ("float32", dtype))
    tokens = [system.represent(SPEECH, spans) for system in (whole, half)]
    assert tokens[1].payload.dtype == getattr(torch, dtype)
    assert relative(tokens[1].payload, tokens[0].payload) < TOLERANCE[dtype]
    sounds = [
        torch.from_numpy(system.generate([clip], [1], spans)[0].samples)
        for system, clip in zip((whole, half), tokens, strict=True)
    ]
    assert sounds[1].dtype == torch.float32
    assert relative(sounds[1], sounds[0]) < 3 * TOLERANCE[dtype]


def test_a_codec_finds_its_codes_in_float32(small_config):
    system = star(small_config, "dac", "bfloat16")
    model = system.parts.speech_encoder.model
    assert {value.dtype for value in model.quantizer.parameters()} == {torch.float32}
    assert {value.dtype for value in model.encoder.parameters()} == {torch.bfloat16}


def test_waveforms_are_normalised_in_float32(small_config, spans):
    """An offset far above the speech would drown it in half precision."""
    tokens = [
        star(small_config, "hubert-normalised", "bfloat16")
        .represent(SPEECH._replace(samples=SPEECH.samples + offset), spans)
        .payload
        for offset in (0.0, 8.0)
    ]
    assert relative(tokens[1], tokens[0].float()) < 0.02
