"""The text-fed twin of STAR: stages, batches, seeds, and the context that training gave it."""

import numpy as np
import pytest
import torch
from transformers import T5Config, T5EncoderModel

from stabench.systems.networks.checkpoint import save_part
from stabench.systems.networks.config import SamplerConfig, UDiTConfig, VaeConfig
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import build_vae
from stabench.systems.tta.dit import DitTextToAudio
from stabench.systems.tta.word_tokenizer import WordTokenizer

TEXT = {"d_model": 32, "d_kv": 16, "num_heads": 2, "num_layers": 2, "d_ff": 64, "dropout_rate": 0.3}
UDIT = UDiTConfig(in_channels=8, width=32, heads=2, depth=4, lora_rank=4, context_width=32)
VAE = VaeConfig(sample_rate_hz=16_000, latent_channels=8, ratios=(2, 4), multiples=(1, 2), base=8)
WORDS = WordTokenizer(["a", "barks", "dog", "falls", "rain", "while"])
TEXTS = ["a dog barks", "rain falls", "a dog barks while rain falls", ""]
FRAMES = 20


@pytest.fixture(scope="module")
def networks():
    """Random networks; the DiT's output is moved off its zero initialisation."""
    torch.manual_seed(5)
    config = T5Config(vocab_size=len(WORDS), **TEXT)
    udit = UDiT(UDIT)
    with torch.no_grad():
        for parameter in udit.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return {"text_encoder": T5EncoderModel(config), "udit": udit, "vae": build_vae(VAE)}


@pytest.fixture(scope="module")
def options(networks, tmp_path_factory):
    """What DitTextToAudio is built from, its weights in half precision on disk."""
    folder = tmp_path_factory.mktemp("tta")
    WORDS.write(folder / "words.txt")
    weights = {name: folder / f"{name}.safetensors" for name in networks}
    for name, network in networks.items():
        save_part(weights[name], network, "float16")
    return {
        "text_encoder": TEXT,
        "udit": UDIT,
        "vae": VAE,
        "sampler": SamplerConfig(steps=4, guidance=2.0),
        "latent_frames": FRAMES,
        "text_length": 5,
        "words": folder / "words.txt",
        "weights": weights,
    }


@pytest.fixture(scope="module")
def model(options) -> DitTextToAudio:
    model = DitTextToAudio(**options)
    model.load("cpu", "float32")
    return model


def test_stages_length_and_rate(model, spans) -> None:
    context = model.encode(TEXTS[0], spans)
    (sound,) = model.generate([context], [1], spans)
    assert spans.names == ["text_encoder", "sampler", "decoder"]
    assert context.shape == (1, 3, 32)
    assert sound.samples.shape == (FRAMES * 8,)
    assert sound.samples.dtype == np.float32
    assert np.isfinite(sound.samples).all()
    assert sound.samples.std() > 0
    assert sound.rate_hz == model.sample_rate == 16_000


def test_a_batch_gives_the_sounds_of_single_calls(model, spans) -> None:
    contexts = [model.encode(text, spans) for text in TEXTS]
    batch = model.generate(contexts, [0, 1, 2, 3], spans)
    for seed, (context, sound) in enumerate(zip(contexts, batch, strict=True)):
        (alone,) = model.generate([context], [seed], spans)
        np.testing.assert_allclose(sound.samples, alone.samples, atol=1e-4)


def test_sound_follows_text_and_seed(model, spans) -> None:
    one, other = (model.encode(text, spans) for text in TEXTS[:2])

    def sound(context, seed: int) -> np.ndarray:
        return model.generate([context], [seed], spans)[0].samples

    assert np.array_equal(sound(one, 7), sound(one, 7))
    assert not np.allclose(sound(one, 7), sound(one, 8), atol=1e-3)
    assert not np.allclose(sound(one, 7), sound(other, 7), atol=1e-6)


def test_context_is_that_of_a_padded_training_batch(model, networks, spans) -> None:
    """Training pads every text to one length and masks; alone and unpadded it is the same."""
    ids, mask = WORDS.encode(TEXTS, max_length=5)
    encoder = T5EncoderModel(networks["text_encoder"].config).eval()
    encoder.load_state_dict(networks["text_encoder"].half().float().state_dict())
    with torch.inference_mode():
        padded = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    for row, text in enumerate(TEXTS):
        context = model.encode(text, spans)[0]
        torch.testing.assert_close(context, padded[row][mask[row]], atol=1e-5, rtol=1e-4)


def test_long_text_loses_its_end(model, spans) -> None:
    long, cut = "a dog barks while rain falls falls", "a dog barks while rain"
    assert torch.equal(model.encode(long, spans), model.encode(cut, spans))


def test_nothing_to_generate_is_nothing_and_seeds_come_one_each(model, spans) -> None:
    assert model.generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        model.generate([model.encode("rain", spans)], [1, 2], spans)


def test_errors_say_what_and_where(options, spans) -> None:
    fresh = DitTextToAudio(**options)
    with pytest.raises(RuntimeError, match="not loaded"):
        fresh.encode("rain", spans)
    with pytest.raises(ValueError, match="precision is 'int8', allowed are float32"):
        fresh.load("cpu", "int8")
    gone = options["weights"] | {"udit": options["words"].with_name("gone.safetensors")}
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors: no such weights"):
        DitTextToAudio(**options | {"weights": gone}).load("cpu", "float32")
    absent = options["words"].with_name("none.txt")
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        DitTextToAudio(**options | {"words": absent}).load("cpu", "float32")


def test_provenance_is_plain_and_covers_every_part(model) -> None:
    said = model.provenance()
    assert set(said["weights"]) == {"text_encoder", "udit", "vae"}
    assert all(len(digest) == 64 for digest in said["weights"].values())
    assert said["sampler"]["guidance"] == 2.0
