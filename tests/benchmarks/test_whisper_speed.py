"""How long Whisper's variants take on a CPU, at the size "tiny"; run with --benchmark-enable."""

import numpy as np
import pytest

pytest.importorskip("whisper", reason="openai-whisper is not installed")

import torch

from stabench.systems.asr.whisper import DTYPES, Whisper

SPEECH = np.random.default_rng(0).uniform(-0.1, 0.1, 48_000).astype(np.float32)
TOKENS = 14


@pytest.fixture(scope="module", params=DTYPES)
def engine(request):
    """Random weights of full size; float32."""
    recogniser = Whisper("tiny", request.param, "random", tokens=TOKENS)
    recogniser.load("cpu", "float32")
    return recogniser.engine


def test_log_mel_of_three_seconds(benchmark, engine):
    with torch.inference_mode():
        assert benchmark(engine.mel, SPEECH).shape == (1, 80, 3000)


def test_encoding_thirty_seconds(benchmark, engine):
    with torch.inference_mode():
        mel = engine.mel(SPEECH)
        assert benchmark.pedantic(engine.encode, (mel,), rounds=5).shape == (1, 1500, 384)


def test_writing_fourteen_tokens(benchmark, engine):
    features = torch.zeros(1, 1500, 384)
    with torch.inference_mode():
        written = benchmark.pedantic(engine.decode, (features, TOKENS), rounds=10, warmup_rounds=1)
    assert len(written.tokens) == TOKENS
