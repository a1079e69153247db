"""The full-size system against the parameter counts and operations of the published one.

Expected values were measured on the authors' networks; everything runs on the meta device.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import WaveformVae
from stabench.systems.star.bridge import Bridge, BridgeClassifier
from stabench.systems.star.config import SpeechEncoderConfig, StarConfig
from stabench.systems.star.speech_encoder import build_speech_encoder

pytestmark = pytest.mark.slow

CONFIG = StarConfig()


@pytest.fixture(autouse=True)
def _on_meta():
    with torch.device("meta"):
        yield


def parameters(module: torch.nn.Module) -> int:
    return sum(entry.numel() for entry in module.parameters())


def flops(call, *inputs) -> int:
    with FlopCounterMode(display=False) as counter:
        call(*inputs)
    return counter.get_total_flops()


def test_udit_has_the_published_size_and_tensors():
    udit = UDiT(CONFIG.udit)
    assert parameters(udit) == 596_697_856
    assert len(udit.state_dict()) == 918
    assert parameters(udit.in_blocks[0]) == parameters(udit.mid_block) == 22_373_888
    assert parameters(udit.out_blocks[0]) == 24_476_160
    assert parameters(udit.final_block) == 182_528


@pytest.mark.parametrize(
    ("batch", "tokens", "gflop"),
    [(1, 32, 528.152592384), (2, 32, 1056.305184768), (1, 100, 539.05), (2, 250, 1126.18)],
)
def test_udit_work_per_step(batch, tokens, gflop):
    inputs = torch.empty(batch, 128, 500), torch.empty(batch), torch.empty(batch, tokens, 1024)
    tolerance = 0.5 if tokens == 32 else 5e6
    assert flops(UDiT(CONFIG.udit), *inputs) == pytest.approx(gflop * 1e9, abs=tolerance)


def test_bridge_sizes_and_shape():
    bridge = Bridge(CONFIG.bridge)
    assert parameters(bridge) == 17_746_432
    assert parameters(bridge.qformer) == 16_934_400
    assert parameters(BridgeClassifier()) == 540_175
    assert bridge(torch.empty(3, 148, 1024)).shape == (3, 32, 1024)


def test_only_the_first_bridge_layer_reads_the_speech():
    keys = Bridge(CONFIG.bridge).state_dict()
    assert any("layer.0.crossattention" in key for key in keys)
    assert not any("layer.1.crossattention" in key for key in keys)


def test_vae_sizes_shapes_and_work():
    vae = WaveformVae(CONFIG.vae)
    assert parameters(vae.oobleck.encoder) == 21_857_664
    assert parameters(vae.oobleck.decoder) == 21_989_121
    assert vae.hop == 480
    assert vae.encode(torch.empty(2, 1, 240_000)).mean.shape == (2, 128, 500)
    assert vae.decode(torch.empty(2, 128, 500)).shape == (2, 1, 240_000)
    assert vae.decode(torch.empty(1, 128, 37)).shape == (1, 1, 37 * 480)
    assert flops(vae.decode, torch.empty(1, 128, 500)) == 499_421_184_000


def test_fused_vae_sizes():
    vae = WaveformVae(CONFIG.vae).fuse()
    assert parameters(vae.oobleck.encoder) == 21_849_216
    assert parameters(vae.oobleck.decoder) == 21_980_032


def test_hubert_large_size_frames_and_work():
    encoder = build_speech_encoder(CONFIG.encoder).eval()
    assert parameters(encoder) == 315_438_720
    assert encoder(torch.empty(1, 160_000)).frames.shape == (1, 499, 1024)
    assert encoder(torch.empty(1, 960_000)).frames.shape == (1, 2999, 1024)
    fast = flops(encoder.forward, torch.empty(1, 48_000))
    assert fast == pytest.approx(109.6e9, rel=0.01)


def test_wavlm_large_size():
    assert parameters(build_speech_encoder(SpeechEncoderConfig("wavlm"))) == 315_453_120


def test_dac_encoder_size_and_frame_rate():
    encoder = build_speech_encoder(SpeechEncoderConfig("dac")).eval()
    assert parameters(encoder.model.encoder) == 21_512_768
    assert encoder(torch.empty(1, 160_000)).frames.shape == (1, 750, 1024)
