"""AudioLDM 2: the stock pipeline bit for bit, in stages, in batches, on a tiny checkpoint."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from stabench.systems.tta.audioldm2 import system
from stabench.systems.tta.audioldm2.folder import NETWORKS
from stabench.systems.tta.audioldm2.system import AudioLdm2
from tests.systems.tta import tiny_audioldm2 as tiny

TEXT, OTHER = "a dog barks", "heavy rain falls and the bell of an old church rings twice"
SECONDS, SAMPLES, STEPS = 1.3, 20_800, 4
"""130 frames: no multiple of 4, so latents are rounded up and the sound is cut."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audioldm2") / "hub"
    tiny.build(folder)
    return folder


@pytest.fixture(scope="module")
def ready(folder):
    """`ready(dtype="float32", **options)`: a loaded model, kept."""
    kept = {}

    def make(dtype: str = "float32", **options) -> AudioLdm2:
        key = (dtype, *sorted(options.items()))
        if key not in kept:
            given = {"steps": STEPS, "duration_s": SECONDS, "weights": str(folder)}
            kept[key] = AudioLdm2(**given | options)
            kept[key].load("cpu", dtype)
        return kept[key]

    return make


def sound(model: AudioLdm2, spans, text: str = TEXT, seed: int = 3) -> np.ndarray:
    return model.generate([model.encode(text, spans)], [seed], spans)[0].samples


def one_call(folder: Path, dtype: str = "float32", candidates: int = 1, **options) -> np.ndarray:
    """AudioLDM2Pipeline as its own loader makes it, but for the language model; [n, N]."""
    from diffusers import AudioLDM2Pipeline
    from transformers import GPT2LMHeadModel

    kind = getattr(torch, dtype)
    head = GPT2LMHeadModel.from_pretrained(folder / "language_model", dtype=kind)
    pipeline = AudioLDM2Pipeline.from_pretrained(
        folder, language_model=head, dtype=kind, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    shape = (candidates, 8, 33, 16)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(kind)
    return pipeline(
        TEXT,
        audio_length_in_s=SECONDS,
        num_inference_steps=STEPS,
        num_waveforms_per_prompt=candidates,
        latents=noise,
        **options,
    ).audios


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_stages_give_one_pipeline_call_bit_for_bit(ready, folder, spans, dtype) -> None:
    ours = sound(ready(dtype), spans)
    assert np.array_equal(ours, one_call(folder, dtype)[0])
    assert ours.dtype == np.float32
    assert 0.01 < ours.std() < 0.5
    assert spans.names == [
        "text_encoder.cond",
        "text_encoder.uncond",
        "sampler",
        "decoder",
        "vocoder",
    ]


def test_without_guidance_there_is_no_unconditional_half(ready, folder, spans) -> None:
    ours = sound(ready(guidance=1.0), spans)
    assert np.array_equal(ours, one_call(folder, guidance_scale=1.0)[0])
    assert "text_encoder.uncond" not in spans.names
    assert ready(guidance=1.0).provenance()["unconditional"] == "none"


def test_layout_with_a_head_gives_the_same_sound(ready, folder, spans, tmp_path) -> None:
    shutil.copytree(folder, tmp_path / "head")
    ready().parts.language_model.save_pretrained(tmp_path / "head" / "language_model")
    index = tmp_path / "head" / "model_index.json"
    assert '"GPT2Model"' in index.read_text()
    index.write_text(index.read_text().replace('"GPT2Model"', '"GPT2LMHeadModel"'))
    # Weights are used where they lie in the file: a product's rounding may follow their alignment.
    np.testing.assert_allclose(
        sound(ready(weights=str(tmp_path / "head")), spans), sound(ready(), spans), atol=2e-5
    )


def test_ten_seconds_are_160000_samples(ready, spans) -> None:
    (clip,) = ready(duration_s=10.0, steps=1).generate([ready().encode(TEXT, spans)], [1], spans)
    assert clip.samples.shape == (160_000,)
    assert clip.rate_hz == AudioLdm2.sample_rate == 16_000
    assert ready().samples == SAMPLES


def test_a_batch_gives_the_sounds_of_single_calls(ready, spans) -> None:
    model = ready()
    contexts = [model.encode(text, spans) for text in (TEXT, OTHER, "")]
    assert len({context.conditional.mask.shape for context in contexts}) == 3
    batch = model.generate(contexts, [1, 2, 3], spans)
    for seed, (context, one) in enumerate(zip(contexts, batch, strict=True), 1):
        (alone,) = model.generate([context], [seed], spans)
        np.testing.assert_allclose(one.samples, alone.samples, atol=2e-5)


def test_sound_follows_text_and_seed(ready, spans) -> None:
    model = ready()
    assert np.array_equal(sound(model, spans), sound(model, spans))
    assert np.abs(sound(model, spans) - sound(model, spans, seed=4)).max() > 1e-2
    assert np.abs(sound(model, spans) - sound(model, spans, OTHER)).max() > 1e-4


def test_unconditional_half_depends_on_the_number_of_tokens(ready, spans) -> None:
    """GPT-2 counts the padding's positions, so one cached vector would not be the pipeline's."""
    short, long = (ready().encode(text, spans) for text in (TEXT, OTHER))
    assert not torch.allclose(
        short.unconditional.generated, long.unconditional.generated, atol=1e-3
    )
    assert torch.equal(short.unconditional.mask.sum(), torch.tensor(1))


def test_cached_unconditional_halves_change_no_bit(ready, spans, monkeypatch) -> None:
    monkeypatch.setattr(system, "CACHED_LENGTHS", range(1, 13))
    cached, fresh = ready(cache_unconditional=True), ready()
    assert cached.encode(TEXT, spans).conditional.mask.shape == (1, 12)
    assert spans.names == ["text_encoder.cond"]
    assert np.array_equal(sound(cached, spans), sound(fresh, spans))
    longer = sound(cached, spans, OTHER)
    assert np.array_equal(longer, sound(fresh, spans, OTHER))
    spans.names.clear()
    assert np.array_equal(longer, sound(cached, spans, OTHER))
    assert "text_encoder.uncond" not in spans.names
    assert cached.provenance()["unconditional"] == "cached by number of tokens"
    assert fresh.provenance()["unconditional"] == "encoded every time"


def test_the_candidate_closest_to_the_text_is_returned(ready, folder, spans) -> None:
    model = ready(candidates=3)
    contexts = [model.encode(text, spans) for text in (OTHER, TEXT)]
    ours = model.generate(contexts, [5, 3], spans)[1].samples
    assert spans.names[-1] == "ranking"
    all_three = one_call(folder, candidates=3)
    likeness = independent_ranking(model, all_three)
    assert likeness.argmax() != 0
    assert likeness.max() - likeness.min() > 1e-4
    np.testing.assert_allclose(ours, all_three[likeness.argmax()], atol=2e-5)
    assert model.provenance()["ranking"] == "CLAP of the checkpoint"


def independent_ranking(model: AudioLdm2, waveforms: np.ndarray) -> np.ndarray:
    """Cosines by ClapModel's own forward, with the text unpadded and SciPy's resampler."""
    parts = model.parts
    heard = parts.feature_extractor(
        [resample_poly(one, 3, 1) for one in waveforms], sampling_rate=48_000, return_tensors="pt"
    )
    words = parts.tokenizer([TEXT], return_tensors="pt")
    with torch.inference_mode():
        found = parts.text_encoder(**words, input_features=heard["input_features"])
        return (found.logits_per_text[0] / parts.text_encoder.logit_scale_t.exp()).numpy()


def test_first_candidate_has_the_noise_of_a_single_one(ready) -> None:
    from stabench.systems.networks.flow_sampler import noise

    shape = ready()._latent_shape()
    assert shape == (8, 33, 16)
    assert torch.equal(noise([7], (3, *shape))[0, 0], noise([7], (1, *shape))[0, 0])


def test_no_stage_before_the_waveform_asks_the_device(ready, folder, spans) -> None:
    """The meta device has no values, so whatever would wait for one raises."""
    model = AudioLdm2(steps=2, duration_s=SECONDS, weights=str(folder))
    model.load("cpu", "float32")
    for name in NETWORKS:
        getattr(model.parts, name).to("meta")
    model.device, model._timesteps = "meta", model._timesteps.to("meta")
    model._stack = model._stack._replace(device="meta")
    contexts = [model.encode(text, spans) for text in (TEXT, OTHER)]
    with torch.inference_mode():
        mel = model._mel(model._sample(contexts, [1, 2]))
        assert model.parts.vocoder(mel[:, 0]).shape == (2, 33 * 4 * 160 + 32)


def test_nothing_to_generate_is_nothing_and_seeds_come_one_each(ready, spans) -> None:
    assert ready().generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        ready().generate([ready().encode(TEXT, spans)], [1, 2], spans)


def test_provenance_is_plain_and_covers_every_network(ready) -> None:
    said = ready().provenance()
    assert set(said["weights"]) == set(NETWORKS)
    assert all(len(digest) == 64 for digest in said["weights"].values())
    assert said["unet_widths"] == [8, 16]
    assert said["sampler"] == {"name": "DDIM", "eta": 0.0, "steps": STEPS, "guidance": 3.5}


def test_settings_out_of_range_say_what_is_allowed(folder) -> None:
    with pytest.raises(ValueError, match="size is 'huge', allowed are base, large"):
        AudioLdm2(size="huge")
    with pytest.raises(ValueError, match="candidates is 0, steps 200; allowed are 1 or more"):
        AudioLdm2(candidates=0)
    with pytest.raises(ValueError, match=r"duration_s is 0, allowed are 0\.04 to 60 s"):
        AudioLdm2(duration_s=0)
    fresh = AudioLdm2(weights=str(folder))
    with pytest.raises(ValueError, match="precision is 'int8', allowed are float32"):
        fresh.load("cpu", "int8")
    with pytest.raises(RuntimeError, match="not loaded"):
        fresh.generate([None], [1], None)
