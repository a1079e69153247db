"""Speech encoders: padding changes nothing, any length works, front ends agree with others'."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly
from transformers.audio_utils import mel_filter_bank

from stabench.systems.networks.resample import resample
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.log_mel import LogMelFrontEnd, mel_filters
from stabench.systems.star.speech_encoder import build_speech_encoder

SMALL = SpeechEncoderConfig(
    "hubert", width=32, layers=2, heads=2, ffn=64, codec_base=2, codec_books=2
)
KINDS = {
    "hubert": SMALL,
    "hubert-normalised": dataclasses.replace(SMALL, normalize_waveform=True),
    "wavlm": dataclasses.replace(SMALL, kind="wavlm"),
    "wavlm-logmel": dataclasses.replace(SMALL, kind="wavlm-logmel", mel_strides=(2, 2)),
    "logmel-20ms": dataclasses.replace(SMALL, kind="hubert-logmel"),
    "logmel-40ms": dataclasses.replace(SMALL, kind="hubert-logmel", mel_strides=(2, 2)),
    "dac": dataclasses.replace(SMALL, kind="dac"),
}
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(params=KINDS)
def encoder(request):
    return build_speech_encoder(KINDS[request.param]).eval()


@torch.inference_mode()
def test_padding_changes_no_valid_frame(encoder):
    lengths = torch.tensor([12_000, 9_321, 800])
    speech = 0.1 * torch.randn(3, 12_000)
    padded = encoder(speech, lengths)
    for row, length in enumerate(lengths.tolist()):
        single = encoder(speech[row : row + 1, :length])
        count = single.frames.shape[1]
        assert padded.mask[row].tolist() == [True] * count + [False] * (
            padded.mask.shape[1] - count
        )
        torch.testing.assert_close(
            padded.frames[row, :count], single.frames[0], atol=5e-5, rtol=1e-4
        )


@torch.inference_mode()
def test_very_short_speech_and_silence_work(encoder):
    for samples in (1, 800):
        found = encoder(torch.zeros(1, samples))
        assert found.frames.isfinite().all()
        assert found.mask.all()
        assert found.frames.shape[1] >= 1


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["logmel-20ms", "logmel-40ms", "dac"])
def test_a_minute_of_speech_works(kind):
    found = build_speech_encoder(KINDS[kind]).eval()(0.1 * torch.randn(1, 960_000))
    expected = {"logmel-20ms": 2999, "logmel-40ms": 1500, "dac": 4500}
    assert found.frames.shape[1] == expected[kind]
    assert found.frames.isfinite().all()


@torch.inference_mode()
def test_fusing_changes_no_frame(encoder):
    speech = 0.1 * torch.randn(1, 8000)
    before = encoder(speech).frames
    torch.testing.assert_close(encoder.fuse()(speech).frames, before, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["hubert-normalised", "wavlm", "logmel-40ms"])
def test_normalising_front_ends_ignore_loudness(kind):
    encoder = build_speech_encoder(KINDS[kind]).eval()
    speech = torch.randn(1, 8000)
    quiet, loud = encoder(0.2 * speech).frames, encoder(0.8 * speech).frames
    torch.testing.assert_close(quiet, loud, atol=0.02, rtol=0.02)


def test_training_reaches_the_front_end_and_masks_nothing():
    encoder = build_speech_encoder(dataclasses.replace(KINDS["logmel-40ms"], dropout=0.0)).train()
    speech, lengths = 0.1 * torch.randn(2, 9000), torch.tensor([9000, 5000])
    found = encoder(speech, lengths)
    assert torch.equal(found.frames, encoder(speech, lengths).frames)
    found.frames[found.mask].square().sum().backward()
    front_end = encoder.model.feature_extractor
    assert front_end.convolutions[0].weight.grad.abs().sum() > 0


def test_speech_longer_than_its_batch_is_refused():
    encoder = build_speech_encoder(SMALL)
    with pytest.raises(ValueError, match="9000 samples in a batch of 8000"):
        encoder(torch.zeros(1, 8000), torch.tensor([9000]))


def test_codec_width_must_fit():
    with pytest.raises(ValueError, match=r"encoder\.width is 32, but this codec's is 64"):
        build_speech_encoder(dataclasses.replace(SMALL, kind="dac", codec_base=4))


def test_mel_filters_agree_with_transformers():
    expected = mel_filter_bank(257, 80, 0.0, 8000.0, 16_000, norm=None, mel_scale="htk")
    np.testing.assert_allclose(mel_filters(80, 16_000).numpy(), expected, atol=1e-4)


def test_a_tone_lights_its_mel_band():
    front_end = LogMelFrontEnd(KINDS["logmel-40ms"])
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)[None]
    band = front_end._log_mel(tone).mean(1).argmax().item()
    centre = 700 * (10 ** ((band + 1) / 81 * np.log10(1 + 8000 / 700)) - 1)
    assert centre == pytest.approx(1000, abs=40)


def test_resampling_agrees_with_scipy():
    time = np.arange(8000) / 16_000
    tone = np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 3000 * time)
    found = resample(torch.from_numpy(tone).float()[None], 16_000, 24_000)[0].numpy()
    expected = resample_poly(tone, 3, 2)
    assert len(found) == len(expected) == 12_000
    np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=5e-3)
