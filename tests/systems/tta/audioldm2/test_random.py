"""Full size without a checkpoint: the published counts, finite values, seeded."""

import numpy as np
import pytest
import torch
from torch import nn

from stabench.checkpoints import random_weights
from stabench.systems.tta.audioldm2 import random
from stabench.systems.tta.audioldm2.folder import NETWORKS, SOUND, AudioLdm2Parts
from stabench.systems.tta.audioldm2.system import AudioLdm2
from tests.systems.tta import tiny_audioldm2 as tiny

MILLIONS = {
    "text_encoder": 153.5,
    "text_encoder_2": 341.2,
    "projection_model": 1.184,
    "language_model": 124.4,
    "vae": 55.4,
    "vocoder": 55.3,
}
"""Of the published checkpoints, in units of 10^6 parameters."""


@pytest.mark.parametrize(("size", "unet"), [("base", 346.9), ("large", 761)])
def test_full_size_has_the_published_number_of_parameters(size: str, unet: float) -> None:
    networks = random.hollow(tuple(NETWORKS), size)
    for part, network in networks.items():
        count = sum(p.numel() for p in network.parameters()) / 1e6
        assert count == pytest.approx((MILLIONS | {"unet": unet})[part], rel=2e-3), part
        large = [p for p in network.parameters() if p.numel() > 1e5]
        assert all(p.is_meta for p in large), part
        assert not any(buffer.is_meta for buffer in network.buffers()), part
    text_tower = networks["text_encoder"].text_model
    assert sum(p.numel() for p in text_tower.parameters()) == pytest.approx(124.6e6, rel=1e-3)


@pytest.fixture
def small(monkeypatch) -> None:
    """Random weights in networks of the tiny sizes; buffers and classes stay the real ones."""

    def hollow(names: tuple[str, ...], size: str) -> dict[str, nn.Module]:
        networks = random_weights.hollow(lambda: {**tiny.text_side(), **tiny.sound_side()})
        return {part: networks[part] for part in names}

    monkeypatch.setattr(random, "hollow", hollow)
    monkeypatch.setattr(random, "_others", lambda: {**tiny.side(), **stand_ins()})


def stand_ins() -> dict[str, random.StandInTokenizer]:
    return {
        "tokenizer": random.StandInTokenizer(tiny.LENGTH, pad=1, end=2, vocabulary=400),
        "tokenizer_2": random.StandInTokenizer(128, pad=0, end=1, vocabulary=200),
    }


def loaded(dtype: str = "float32", **options) -> AudioLdm2:
    model = AudioLdm2(**{"steps": 3, "duration_s": 1.28, "weights": "random"} | options)
    model.load("cpu", dtype)
    return model


def whole(**options) -> AudioLdm2Parts:
    """All parts of a loaded model."""
    model = loaded(**options)
    model.load_generator()
    return model.parts


def test_what_makes_sound_is_built_when_it_is_needed_and_before_any_stage(small, spans) -> None:
    model = loaded()
    context = model.encode("rain", spans)
    assert [getattr(model.parts, part) for part in SOUND] == [None] * 3
    assert model.provenance()["unet_widths"] == [128, 256, 384, 640]

    def stage(name: str):
        assert None not in [getattr(model.parts, part) for part in SOUND]
        return spans(name)

    (late,) = model.generate([context], [1], stage)
    early = loaded()
    early.load_generator()
    unet = early.parts.unet
    early.load_generator()
    assert early.parts.unet is unet
    assert np.array_equal(early.generate([context], [1], spans)[0].samples, late.samples)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("float32", "float16")]


@pytest.mark.parametrize("dtype", ["bfloat16", *SLOW])
def test_sound_is_finite_and_not_clipped(small, spans, dtype: str) -> None:
    model = loaded(dtype, candidates=2, steps=20)
    (clip,) = model.generate([model.encode("a dog barks", spans)], [1], spans)
    assert np.isfinite(clip.samples).all()
    assert 1e-4 < clip.samples.std() < 0.5
    assert len(clip.samples) == 20_480


def test_vocoder_of_full_size_is_audible() -> None:
    """The VAE's mel of full size has a standard deviation of about 0.5."""
    vocoder = random.hollow(("vocoder",), "base")["vocoder"].eval()
    random.fill(vocoder, "vocoder", "cpu", torch.float32, 0)
    mel = 0.5 * torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        waveform = vocoder(mel)
    assert 0.01 < waveform.std() < 0.3
    assert waveform.abs().max() < 1


def test_seed_decides_every_weight(small) -> None:
    one, again, other = (whole(seed=seed) for seed in (0, 0, 1))
    for part in ("unet", "text_encoder", "vocoder"):
        networks = [getattr(parts, part) for parts in (one, again, other)]
        for name, value in networks[0].named_parameters():
            assert torch.equal(value, networks[1].get_parameter(name)), name
            if value.ndim > 1:
                assert not torch.equal(value, networks[2].get_parameter(name)), name


def test_computed_tables_are_the_real_ones(small) -> None:
    """Positions, window indices and statistics are no weights; drawn at random they mean noise."""
    real, ours = tiny.networks(0), whole()
    for part, network in real.items():
        for name, value in network.named_buffers():
            assert torch.equal(value, getattr(ours, part).get_buffer(name)), (part, name)


def test_tied_weights_stay_tied_and_none_is_left_without_memory(small) -> None:
    parts = whole(dtype="float16")
    gpt2, t5 = parts.language_model, parts.text_encoder_2
    assert gpt2.lm_head.weight is gpt2.transformer.wte.weight
    assert t5.encoder.embed_tokens.weight is t5.shared.weight
    feed_forward = t5.encoder.block[0].layer[1].DenseReluDense
    assert feed_forward.wo.weight.dtype == torch.float32
    assert feed_forward.wi_0.weight.dtype == torch.float16
    for network in (parts.unet, parts.vae, parts.vocoder, t5, gpt2, parts.text_encoder):
        assert not any(value.is_meta for value in (*network.parameters(), *network.buffers()))


def test_matrices_have_the_variance_of_their_fan_in() -> None:
    layer = nn.Linear(400, 300)
    random.fill(layer, "layer", "cpu", torch.float32, 0)
    assert layer.weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert not layer.bias.any()
    norm = nn.LayerNorm(8)
    random.fill(norm, "norm", "cpu", torch.bfloat16, 0)
    assert torch.equal(norm.weight, torch.ones(8, dtype=torch.bfloat16))


def test_provenance_says_random(small) -> None:
    said = loaded(seed=4).provenance()
    assert (said["weights"], said["seed"]) == ("random", 4)


def test_stand_in_counts_words_and_pads_as_asked() -> None:
    tokenizer = random.StandInTokenizer(16, pad=1, end=2, vocabulary=50)
    assert tokenizer(["A dog barks!"], "longest", 16).attention_mask.tolist() == [[1] * 4]
    ids, mask = tokenizer(["A dog, a DOG"], padding="max_length", max_length=7, truncation=True)
    words = ids[0].tolist()
    assert words[4:] == [2, 1, 1]
    assert words[:2] == words[2:4]
    assert min(words[:4]) > 2
    assert max(words) < 50
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0, 0]]
    assert tokenizer([""], "longest", 16).input_ids.tolist() == [[2]]
    assert tokenizer(["rain " * 40], "longest", 16).input_ids.shape == (1, 16)
