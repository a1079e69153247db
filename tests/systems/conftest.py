"""What the tests of systems share: small configurations, a clock, the checkpoint of a module."""

import contextlib

import pytest
import torch

from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.star.config import BridgeConfig, SpeechEncoderConfig, StarConfig
from tests.systems.tta.tiny_weights import golden

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


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    """Digests of tiny files are not for the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def made(request):
    """What the original made of the checkpoint that the module names: GOLDEN = "tango2"."""
    return golden(request.module.GOLDEN)


@pytest.fixture(scope="module")
def home(request, tmp_path_factory):
    """The checkpoint that the module names: TINY = tiny_tango2."""
    return request.module.TINY.write(tmp_path_factory.mktemp("weights"))
