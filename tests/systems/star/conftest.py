"""Small STAR configurations, quick on one CPU core."""

import contextlib

import pytest
import torch

from systems.star.config import (
    BridgeConfig,
    SpeechEncoderConfig,
    StarConfig,
    UDiTConfig,
    VaeConfig,
)

LOG_MEL = SpeechEncoderConfig(
    kind="hubert-logmel", width=32, layers=2, heads=2, ffn=64, mel_strides=(2, 2)
)
BRIDGE = BridgeConfig(
    layers=2, queries=8, width=32, heads=2, ffn=64, encoder_width=32, output_width=32
)
UDIT = UDiTConfig(in_channels=8, width=32, heads=2, depth=4, lora_rank=4, context_width=32)
SPECTROGRAM = VaeConfig(
    kind="spectrogram",
    sample_rate_hz=16_000,
    latent_channels=8,
    ratios=(2,),
    multiples=(2,),
    base=16,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def small_config() -> StarConfig:
    """A whole system: 0.4 s of sound at 16 kHz."""
    return StarConfig(LOG_MEL, BRIDGE, UDIT, SPECTROGRAM, latent_frames=20)


@pytest.fixture
def udit_config() -> UDiTConfig:
    return UDIT


@pytest.fixture
def bridge_config() -> BridgeConfig:
    return BRIDGE


@pytest.fixture
def spectrogram_config() -> VaeConfig:
    return SPECTROGRAM


@pytest.fixture
def spans():
    """A clock that times nothing but remembers the stages, in `spans.names`."""

    def span(name: str) -> contextlib.AbstractContextManager[None]:
        span.names.append(name)
        return contextlib.nullcontext()

    span.names = []
    return span


@pytest.fixture
def disturb():
    """Move a module's parameters away from their zero initialisations."""

    def move(module: torch.nn.Module, scale: float = 0.1) -> torch.nn.Module:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += scale * torch.randn_like(parameter)
        return module

    return move
