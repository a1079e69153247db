"""TANGO 2 against its original: the same checkpoint gives the same latents, mel and waveform.

golden_tango2.npz was made by declare-lab/tango (commit 34ecd38) outside this repository: its own
`Tango` class read the tiny checkpoint of tiny_tango2.py (its vocoder's width set to that of the
checkpoint; modules that generation does not need, the STFT and torchaudio among them, replaced by
empty ones), with `torch.randn` drawing each clip from a generator of its seed. Stored are the
names and shapes of its tensors, seeds and texts, latents (`pair`: of both texts in one batch, every
fourth row), every 16th mel frame, and every 8th (`pair_wave` 16th) sample of its int16 waveform.
There and then the latents were equal bit for bit.
"""

import contextlib
import json

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from stabench.systems.tta import tango2_networks
from stabench.systems.tta.latent_diffusion.prompt import FLAN_T5_LARGE, T5Prompter, empty_t5
from stabench.systems.tta.latent_diffusion.sampler import ancestral, draw
from stabench.systems.tta.tango2 import SCHEDULE, Tango2
from tests.systems.tta import tiny_tango2

GOLDEN, TINY = "tango2", tiny_tango2
FULL_SCALE = 32768


@pytest.fixture(scope="module")
def model(home, made):
    model = Tango2(steps=int(made["steps"]), weights=home)
    model.load("cpu", "float32")
    return model


class Spans:
    """Times nothing but remembers the stages; for fixtures of the module."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str):
        self.names.append(name)
        return contextlib.nullcontext()


@pytest.fixture(scope="module")
def prompts(model, made):
    return [model.encode(str(text), Spans()) for text in made["texts"]]


@pytest.fixture(scope="module")
def alone(model, made, prompts):
    """Latents of each text by itself."""
    seeds = made["seeds"].tolist()
    return [
        model.generator.latents([one], [seed]) for one, seed in zip(prompts, seeds, strict=True)
    ]


def test_stages_are_those_of_the_original(model, made, alone) -> None:
    # Recorded on another processor; four steps through the network pass rounding on (2e-5 seen).
    np.testing.assert_allclose(alone[0], made["latents"], atol=1e-4)
    mel = model.generator.mel(torch.from_numpy(made["latents"]))
    np.testing.assert_allclose(mel[:, 0, ::16], made["mel"], atol=5e-5)


def test_sound_is_that_of_the_original_to_its_last_bit(model, made, spans) -> None:
    prompts = [model.encode(str(text), spans) for text in made["texts"]]
    sounds = model.generate(prompts, made["seeds"].tolist(), spans)
    for sound, wave in zip(sounds, made["pair_wave"], strict=True):
        assert sound.samples.shape == (163_872,)
        assert sound.samples.dtype == np.float32
        assert np.abs(sound.samples[::16] * FULL_SCALE - wave).max() <= 1.5
        assert sound.rate_hz == model.sample_rate == 16_000
    np.testing.assert_allclose(sounds[0].samples[::8] * FULL_SCALE, made["wave"][0], atol=1.5)
    assert np.abs(made["wave"]).max() > 1000
    encoding = ["text_encoder.cond", "text_encoder.uncond"]
    assert spans.names == [*encoding, *encoding, "sampler", "decoder", "vocoder"]


def test_a_batch_equals_its_clips_and_the_originals_batch(model, made, prompts, alone) -> None:
    pair = model.generator.latents(prompts, made["seeds"].tolist())
    np.testing.assert_allclose(pair[:, :, ::4], made["pair"], atol=2e-4)
    np.testing.assert_allclose(pair, torch.cat(alone), atol=2e-4)


def test_nothing_to_generate_is_nothing_and_seeds_come_one_each(model, prompts, spans) -> None:
    assert model.generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        model.generate(prompts[:1], [1, 2], spans)


def test_cached_empty_text_gives_the_same_latents(model, made, alone, spans) -> None:
    cached = T5Prompter(model.prompter.tokenize, model.prompter.encoder, cached=True)
    cached.warm()
    prompt = cached(str(made["texts"][0]), spans)
    assert spans.names == ["text_encoder.cond"]
    assert prompt.empty.shape[1] == 1
    latents = model.generator.latents([prompt], made["seeds"][:1].tolist())
    np.testing.assert_allclose(latents, alone[0], atol=2e-4)
    assert Tango2(cache_unconditional=True, weights="random").provenance() == {
        "steps": 200,
        "guidance": 3.0,
        "variant": "stock",
        "unconditional": "cached",
        "weights": "random",
    }


@pytest.mark.parametrize("steps", [3, 50, 200])
def test_steps_are_those_of_diffusers_bit_for_bit(steps) -> None:
    stock = DDPMScheduler(**SCHEDULE)
    stock.set_timesteps(steps)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(steps, 1, 3, 5, generator=generator)
    output, latents = torch.randn(2, 1, 3, 5, generator=generator)
    times, step = ancestral(stock.alphas_cumprod, stock.timesteps, noise)
    assert times[-1] == 1
    for index in (0, 1, steps // 2, steps - 1):
        seeded = torch.Generator().manual_seed(index)
        drawn = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(index))
        noise[index] = drawn
        expected = stock.step(output, times[index], latents, generator=seeded).prev_sample
        assert torch.equal(step(output, index, latents), expected)


def test_200_steps_are_the_times_of_the_pinned_diffusers() -> None:
    """0.18.2, which the original asks for, spaces "leading" with an offset of 1 as well."""
    times, _ = Tango2()._schedule(torch.empty(200, 1))
    assert times.tolist() == list(range(996, 0, -5))


def test_full_size_is_the_published_one() -> None:
    def parameters(network) -> int:
        assert all(one.is_meta for one in network.parameters())
        return sum(one.numel() for one in network.parameters())

    assert parameters(tango2_networks.build_unet(tango2_networks.UNET)) == 865_933_768
    assert parameters(tango2_networks.build_autoencoder(tango2_networks.AUTOENCODER)) == 55_376_873
    assert parameters(tango2_networks.build_vocoder(tango2_networks.VOCODER)) == 55_264_897
    assert parameters(empty_t5(FLAN_T5_LARGE)) == 341_231_104


def test_provenance_covers_every_file(model) -> None:
    said = model.provenance()
    assert {"tango2/pytorch_model_main.bin", "flan-t5-large/tokenizer.json"} < set(said["weights"])
    assert all(len(digest) == 64 for digest in said["weights"].values())
    assert Tango2(weights="random").provenance()["weights"] == "random"


def test_options_and_order_of_calls_are_checked(spans) -> None:
    with pytest.raises(ValueError, match="steps is 0, allowed are 1 to 1000"):
        Tango2(steps=0)
    with pytest.raises(RuntimeError, match="not loaded"):
        Tango2().encode("rain", spans)
    with pytest.raises(ValueError, match="precision is 'int8'"):
        Tango2(weights="random").load("cpu", "int8")
    with pytest.raises(FileNotFoundError, match="no such folder; allowed are 'published'"):
        Tango2(weights="/nowhere/at/all").load("cpu", "float32")


def copy(home, folder):
    """The checkpoint by links, so that single files can be replaced."""
    for path in home.rglob("*"):
        if path.is_file():
            link = folder / path.relative_to(home)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return folder


def replaced(home, folder, name: str, content) -> Tango2:
    """A model whose file `name` holds something else."""
    path = copy(home, folder) / name
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        torch.save(content, path)
    return Tango2(weights=folder)


def test_missing_and_truncated_files_are_named(home, tmp_path) -> None:
    name = "tango2/pytorch_model_vae.bin"
    with pytest.raises(FileNotFoundError, match=r"'tango2': pytorch_model_vae\.bin not found"):
        replaced(home, tmp_path / "1", name, None).load("cpu", "float32")
    half = (home / name).read_bytes()[: 1 << 16]
    with pytest.raises(ValueError, match=r"pytorch_model_vae\.bin is truncated"):
        replaced(home, tmp_path / "2", name, half).load("cpu", "float32")


def test_every_tensor_is_used_once(home, tmp_path) -> None:
    name = "tango2/pytorch_model_vae.bin"
    state = torch.load(home / name)
    odd = state | {"vocoder.odd": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"vae\.bin: .*left over odd;"):
        replaced(home, tmp_path / "1", name, odd).load("cpu", "float32")
    gone = {key: value for key, value in state.items() if key != "decoder.conv_in.bias"}
    with pytest.raises(ValueError, match="missing decoder"):
        replaced(home, tmp_path / "2", name, gone).load("cpu", "float32")
    wide = state | {"decoder.conv_in.bias": torch.zeros(7)}
    with pytest.raises(ValueError, match=r"decoder\.conv_in\.bias is \(7,\) instead of"):
        replaced(home, tmp_path / "3", name, wide).load("cpu", "float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_encoder_name": "bert-base"}, "text_encoder_name is 'bert-base', allowed is flan"),
        ({"scheduler_name": "other"}, "scheduler_name is 'other', allowed is stabilityai"),
        ({"unet_model_config_path": "x.json"}, "unet_model_config_path is 'x.json', known is"),
    ],
)
def test_another_model_is_refused(home, tmp_path, change, message) -> None:
    table = json.dumps(tiny_tango2.MAIN | change)
    with pytest.raises(ValueError, match=message):
        replaced(home, tmp_path, "tango2/main_config.json", table).load("cpu", "float32")


def test_broken_configuration_is_named(home, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"main_config\.json: not JSON"):
        replaced(home, tmp_path / "1", "tango2/main_config.json", "{").load("cpu", "float32")
    with pytest.raises(ValueError, match=r"vae_config\.json: key 'embed_dim' is missing"):
        replaced(home, tmp_path / "2", "tango2/vae_config.json", "{}").load("cpu", "float32")


def test_noise_is_drawn_clip_by_clip_and_in_turn() -> None:
    both = draw([3, 4], (2, 8, 4), count=3)
    assert both.shape == (3, 2, 2, 8, 4)
    generator = torch.Generator().manual_seed(4)
    for step in range(3):
        assert torch.equal(both[step, 1], torch.randn(2, 8, 4, generator=generator))
