"""Random weights, here of small sizes: seeded, the same on every build, audible, and marked."""

import numpy as np
import pytest
import torch
from torch import nn

from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.tta import audit_networks, ezaudio_networks, oobleck, tango2_networks
from stabench.systems.tta.audit import Audit
from stabench.systems.tta.ezaudio import EzAudio
from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.latent_diffusion.prompt import (
    TokenizerFolder,
    WordTokens,
    place_t5,
    random_t5,
)
from stabench.systems.tta.stable_audio import networks as stable_audio_networks
from stabench.systems.tta.stable_audio.system import StableAudioOpen
from stabench.systems.tta.tango2 import Tango2
from stabench.systems.tta.tangoflux import networks as tangoflux_networks
from stabench.systems.tta.tangoflux.system import TangoFlux
from tests.systems.tta import (
    tiny_audit,
    tiny_oobleck,
    tiny_stable_audio,
    tiny_t5,
    tiny_tango2,
    tiny_tangoflux,
)

T5 = tiny_t5.SIZES | {"vocab_size": 100, "feed_forward_proj": "gated-gelu"}
UDIT = UDiTConfig(width=32, heads=2, depth=4, lora_rank=4, lora_alpha=4, context_width=32)
MODELS = {
    "tango2": lambda **given: Tango2(steps=2, **given),
    "audit": lambda **given: Audit(steps=4, **given),
    "ezaudio": lambda **given: EzAudio(steps=2, latent_frames=50, **given),
    "stable-audio-open": lambda **given: StableAudioOpen(steps=4, duration_s=0.5, **given),
    "tangoflux": lambda **given: TangoFlux(steps=2, duration_s=1, **given),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """The published sizes would take minutes."""
    narrow = {"upsample_initial_channel": 32}
    monkeypatch.setattr(tango2_networks, "FLAN_T5_LARGE", T5)
    monkeypatch.setattr(tango2_networks, "UNET", tiny_tango2.UNET)
    monkeypatch.setattr(tango2_networks, "AUTOENCODER", tiny_tango2.VAE)
    monkeypatch.setattr(tango2_networks, "VOCODER", tango2_networks.VOCODER | narrow)
    monkeypatch.setattr(audit_networks, "T5_BASE", T5)
    monkeypatch.setattr(audit_networks, "UNET", tiny_audit.UNET)
    monkeypatch.setattr(audit_networks, "AUTOENCODER", tiny_audit.VAE)
    monkeypatch.setattr(audit_networks, "VOCODER", audit_networks.VOCODER | narrow)
    monkeypatch.setattr(oobleck, "SETTINGS", tiny_oobleck.SETTINGS)
    monkeypatch.setattr(stable_audio_networks, "T5_BASE", T5)
    monkeypatch.setattr(stable_audio_networks, "TRANSFORMER", tiny_stable_audio.TRANSFORMER)
    monkeypatch.setattr(stable_audio_networks, "PROJECTION", tiny_stable_audio.PROJECTION)
    monkeypatch.setattr(tangoflux_networks, "FLAN_T5_LARGE", T5)
    monkeypatch.setattr(tangoflux_networks, "SETTINGS", tiny_tangoflux.CONFIG)
    monkeypatch.setattr(ezaudio_networks, "FLAN_T5_LARGE", T5)
    monkeypatch.setattr(ezaudio_networks, "UDiTConfig", lambda: UDIT)
    monkeypatch.setattr(ezaudio_networks, "VaeConfig", lambda: VaeConfig(base=4))


@pytest.mark.parametrize("name", MODELS)
def test_a_random_model_sounds_and_says_what_it_is(name, spans) -> None:
    model = MODELS[name](weights="random")
    model.load("cpu", "bfloat16")
    prompt = model.encode("a dog barks while rain falls", spans)
    words, mask = prompt[:2]
    assert mask.sum() == 6 + 1
    assert words.dtype == torch.bfloat16
    (sound,) = model.generate([prompt], [1], spans)
    assert sound.samples.dtype == np.float32
    assert np.isfinite(sound.samples).all()
    assert 1e-3 < np.abs(sound.samples).max() < 30
    assert model.provenance()["weights"] == "random"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_generator_is_built_when_it_is_needed_and_before_any_stage(name, spans) -> None:
    model = MODELS[name](weights="random")
    with pytest.raises(RuntimeError, match="is not loaded"):
        model.load_generator()
    model.load("cpu", "float32")
    prompt = model.encode("rain", spans)
    assert model._generator is None

    def stage(name: str):
        assert model._generator is not None
        return spans(name)

    (late,) = model.generate([prompt], [1], stage)
    early = MODELS[name](weights="random")
    early.load("cpu", "float32")
    early.load_generator()
    built = early._generator
    early.load_generator()
    assert early._generator is built
    assert np.array_equal(early.generate([prompt], [1], spans)[0].samples, late.samples)


def test_tensors_depend_on_name_and_seed_alone() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(50, 40), nn.LayerNorm(40), nn.Conv1d(40, 20, 3))

    one, same, other = (
        weights.drawn(weights.empty(build), seed).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["0.weight"], other["0.weight"])
    assert not torch.equal(one["0.weight"][:20, :20], one["2.weight"][:, :20, 0])
    assert one["0.weight"].std() == pytest.approx(50**-0.5, rel=0.1)
    assert one["2.weight"].std() == pytest.approx(120**-0.5, rel=0.1)
    assert (one["1.weight"] == 1).all()
    assert not one["1.bias"].any()


def test_a_word_is_a_token_and_the_end_is_one() -> None:
    tokens = WordTokens(vocabulary=50, limit=5)
    assert tokens("a dog barks").mask.shape == (1, 4)
    assert tokens("a dog barks").ids[0, -1] == 1
    assert tokens("one two three four five six").ids.shape == (1, 5)
    padded = tokens("dog", 6)
    assert padded.mask.tolist() == [[True, True, False, False, False, False]]
    assert torch.equal(padded.ids[:, :1], tokens("dog").ids[:, :1])
    assert tokens("").ids.tolist() == [[1]]


def test_half_precision_keeps_the_matrices_that_overflow_in_single() -> None:
    encoder = place_t5(random_t5(T5, 0, "float16"), "cpu", "float16")
    kinds = {name: one.dtype for name, one in encoder.named_parameters()}
    assert {kind for name, kind in kinds.items() if ".wo." in name} == {torch.float32}
    assert {kind for name, kind in kinds.items() if ".wo." not in name} == {torch.float16}
    with torch.inference_mode():
        states = encoder(input_ids=torch.tensor([[3, 4, 1]])).last_hidden_state
    assert states.dtype == torch.float16
    assert torch.isfinite(states).all()


def test_embedding_stays_one_tensor() -> None:
    encoder = random_t5(T5, 0, "float32")
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight


def test_a_damaged_tokenizer_is_named(tmp_path) -> None:
    folder = tiny_t5.write(tmp_path / "t5")
    (folder / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(ValueError, match="t5: no readable tokenizer"):
        TokenizerFolder(folder)
