"""What fixed buffers cost STAR on a CPU, where they save nothing; run with --benchmark-enable.

The small network is bound by launches, the pocket one by arithmetic.
"""

from contextlib import nullcontext

import numpy as np
import pytest

from stabench.pocket import configs
from stabench.systems.contract import Utterance
from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.star.config import BridgeConfig, SpeechEncoderConfig, StarConfig
from stabench.systems.star.star import Star

SMALL = StarConfig(
    SpeechEncoderConfig("hubert-logmel", width=32, layers=4, heads=2, ffn=64),
    BridgeConfig(layers=2, queries=8, width=32, heads=2, ffn=64, encoder_width=32, output_width=32),
    UDiTConfig(in_channels=8, width=32, heads=2, depth=4, lora_rank=4, context_width=32),
    VaeConfig(latent_channels=8, ratios=(2, 4), multiples=(1, 2), base=8),
    latent_frames=20,
)
CONFIGS = {"small": SMALL, "pocket": configs.star()}
SPEECH = Utterance(
    "clip", (0.1 * np.random.default_rng(0).standard_normal(48_000)).astype(np.float32), 16_000
)


@pytest.fixture(
    scope="module", params=["small-eager", "small-graph", "pocket-eager", "pocket-graph"]
)
def star(request):
    config, variant = request.param.split("-")
    system = Star(CONFIGS[config], variant=variant)
    system.load("cpu", "float32")
    return system


def spans(name):
    return nullcontext()


def test_represent(benchmark, star):
    assert benchmark(star.represent, SPEECH, spans).payload.shape[0] == 1


def test_generate(benchmark, star):
    clip = star.represent(SPEECH, spans)
    (sound,) = benchmark(star.generate, [clip], [1], spans)
    assert np.isfinite(sound.samples).all()
