"""Speech read through fixed buffers: padding to a bucket changes rounding and nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from stabench.checkpoints.random_weights import as_torch, hollow, randomise
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.speech_encoder import build_speech_encoder
from stabench.systems.star.speech_reader import (
    BUCKETS,
    GraphedSpeechReader,
    SpeechReader,
    bucket_size,
)

SMALL = SpeechEncoderConfig(
    "hubert", width=32, layers=2, heads=2, ffn=64, codec_base=2, codec_books=8
)
CODEC = dataclasses.replace(SMALL, kind="dac", codec_books=2)
KINDS = {
    "hubert": SMALL,
    "hubert-normalised": dataclasses.replace(SMALL, normalize_waveform=True),
    "hubert-logmel": dataclasses.replace(SMALL, kind="hubert-logmel", mel_strides=(2, 1)),
    "dac": CODEC,
    "dac-same-rate": dataclasses.replace(CODEC, codec_rate_hz=16_000),
}
LENGTHS = (1, 5199, 5200, 5201, 31_517)
LONGEST = bucket_size(1) + (BUCKETS - 1) * 5120


def speech(samples):
    """Noise that leaves no frame near the edge between two codes, which rounding would decide: the
    nearest two of a codec differ by 2.6e-4 or more in their cosine, rounding changes it by 1e-6."""
    return 0.1 * np.random.default_rng(samples + 26).standard_normal(samples).astype(np.float32)


def built(config):
    return randomise(hollow(lambda: build_speech_encoder(config)), as_torch(1)).eval().fuse()


@pytest.fixture(params=KINDS)
def encoder(request, disturb):
    network = built(KINDS[request.param])
    return disturb(network, 0.3 if network.config.kind == "dac" else 0.02)


@pytest.fixture
def bridge(bridge_config, disturb):
    return disturb(Bridge(bridge_config)).eval()


@pytest.mark.parametrize("bridged", [True, False])
def test_buckets_give_the_tokens_of_the_speech_alone(encoder, bridge, spans, bridged):
    network = bridge if bridged else None
    plain, graphed = (kind(encoder, network) for kind in (SpeechReader, GraphedSpeechReader))
    for samples in LENGTHS:
        expected, found = (each.read(speech(samples), spans) for each in (plain, graphed))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (
        spans.names
        == (["speech_encoder", "bridge"] if bridged else ["speech_encoder"]) * len(LENGTHS) * 2
    )


def test_the_buffers_change_no_bit_of_the_padded_computation(encoder, bridge, spans):
    samples = torch.from_numpy(speech(7000))
    found = GraphedSpeechReader(encoder, bridge).read(samples.numpy(), spans)
    padded = torch.nn.functional.pad(samples, (0, bucket_size(7000) - 7000))[None]
    with torch.inference_mode():
        frames = encoder.padded(padded, torch.tensor([7000]))
        mask = torch.arange(frames.shape[1]) < encoder.count(7000)
        assert torch.equal(found, bridge.padded(frames, mask[None]))


def test_no_trace_of_the_last_clip_is_left_in_a_buffer(encoder, bridge, spans):
    reader = GraphedSpeechReader(encoder, bridge)
    first = reader.read(speech(6000), spans)
    reader.read(speech(10_000), spans)
    assert torch.equal(reader.read(speech(6000), spans), first)


def test_speech_past_the_last_bucket_is_read_without_one(bridge, spans):
    encoder = built(KINDS["hubert-logmel"])
    readers = SpeechReader(encoder, bridge), GraphedSpeechReader(encoder, bridge)
    expected, found = (reader.read(speech(LONGEST + 1), spans) for reader in readers)
    assert torch.equal(found, expected)


def test_buckets_hold_whole_groups_of_hubert_frames():
    encoder = build_speech_encoder(SMALL)
    assert [bucket_size(n) for n in (1, 5200, 5201)] == [5200, 5200, 10_320]
    assert [encoder.count(n) for n in (5200, 10_320, LONGEST)] == [16, 32, 512]


def test_counts_are_the_frames_that_come_out(encoder):
    for samples in (400, 5199, 9321):
        with torch.inference_mode():
            frames = encoder(torch.zeros(1, samples)).frames
        assert encoder.count(samples) == frames.shape[1]


def test_wavlm_is_refused(bridge):
    encoder = build_speech_encoder(dataclasses.replace(SMALL, kind="wavlm"))
    with pytest.raises(ValueError, match="'wavlm' cannot be captured"):
        GraphedSpeechReader(encoder, bridge)
