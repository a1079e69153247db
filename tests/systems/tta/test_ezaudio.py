"""EzAudio against its original: the same checkpoint gives the same latents and waveform.

golden_ezaudio.npz was made by haidog-yaqub/EzAudio (commit 1a5b1e8) outside this repository: its
own interface class read the tiny checkpoint of tiny_ezaudio.py (modules of other autoencoders
replaced by empty ones). Stored are the names and shapes of its tensors, seed and text, latents and
waveform of 1 s with its defaults (guidance 5, rescale 0.75, eta 1), and `plain`: latents with
guidance 3, no rescale and eta 0.
"""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from stabench.systems.tta.ezaudio import EzAudio, generator
from stabench.systems.tta.ezaudio_sampler import SCHEDULE, EzSampler, guided
from tests.systems.tta import tiny_ezaudio

GOLDEN, TINY = "ezaudio", tiny_ezaudio
FRAMES = 50


@pytest.fixture(scope="module")
def model(home, made):
    model = EzAudio(steps=int(made["steps"]), weights=home, latent_frames=FRAMES)
    model.load("cpu", "float32")
    return model


@pytest.fixture
def prompt(model, made, spans):
    return model.encode(str(made["texts"][0]), spans)


def sampled(model, sampler, prompt, seeds):
    """Latents of one prompt by a sampler other than the model's own."""
    return generator(model.generator.networks, sampler, "stock").latents([prompt], seeds)


@pytest.mark.parametrize(
    ("name", "guidance", "rescale", "eta"), [("latents", 5.0, 0.75, 1.0), ("plain", 3.0, 0, 0)]
)
def test_latents_are_those_of_the_original(model, made, prompt, name, guidance, rescale, eta):
    sampler = EzSampler(int(made["steps"]), guidance, rescale, eta, FRAMES)
    latents = sampled(model, sampler, prompt, made["seeds"].tolist())
    np.testing.assert_allclose(latents, made[name], atol=2e-4)


def test_sound_is_that_of_the_original(model, made, prompt, spans) -> None:
    (sound,) = model.generate([prompt], made["seeds"].tolist(), spans)
    np.testing.assert_allclose(sound.samples, made["wave"], atol=2e-4)
    assert made["wave"].std() > 0.1
    assert sound.samples.shape == (FRAMES * 480,)
    assert sound.samples.dtype == np.float32
    assert sound.rate_hz == model.sample_rate == 24_000
    assert spans.names == ["text_encoder.cond", "text_encoder.uncond", "sampler", "decoder"]


def test_ten_seconds_are_the_default() -> None:
    assert EzAudio(weights="random").latent_frames * 480 == 240_000


def test_a_batch_equals_its_clips(model, prompt, spans) -> None:
    prompts = [prompt, model.encode("wind", spans), model.encode("", spans)]
    batch = model.generate(prompts, [5, 6, 7], spans)
    for index, one in enumerate(prompts):
        (alone,) = model.generate([one], [5 + index], spans)
        np.testing.assert_allclose(batch[index].samples, alone.samples, atol=5e-5)
    assert model.generate([], [], spans) == []
    with pytest.raises(ValueError, match="1 clips, but 2 seeds"):
        model.generate([prompt], [1, 2], spans)


def test_text_is_padded_and_the_padding_hidden(model, prompt) -> None:
    assert prompt.words.shape == prompt.empty.shape == (1, 100, 32)
    assert prompt.words_mask.sum() == 7
    assert prompt.empty_mask.sum() == 1
    sampler = EzSampler(2, 5.0, 0.75, 1.0, FRAMES)
    short = prompt._replace(
        words=prompt.words[:, :7],
        words_mask=prompt.words_mask[:, :7],
        empty=prompt.empty[:, :1],
        empty_mask=prompt.empty_mask[:, :1],
    )
    padded, cut = (sampled(model, sampler, one, [1]) for one in (prompt, short))
    np.testing.assert_allclose(padded, cut, atol=1e-4)


def test_cached_empty_text_is_the_same(home, model, prompt, made, spans) -> None:
    cached = EzAudio(weights=home, cache_unconditional=True)
    cached.load("cpu", "float32")
    spans.names.clear()
    again = cached.encode(str(made["texts"][0]), spans)
    assert spans.names == ["text_encoder.cond"]
    assert all(torch.equal(one, other) for one, other in zip(prompt, again, strict=True))
    assert cached.provenance()["unconditional"] == "cached"


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [7, 50, 100])
def test_steps_are_those_of_diffusers(steps, eta) -> None:
    """Equal to the bit where diffusers' step is finite: the same operations, element by element.

    With eta 1 the first step's direction is the root of 0. As the processor rounded the table, that
    0 is a little above or below; below, diffusers' step is NaN and ours takes 0.
    """
    stock = DDIMScheduler(**SCHEDULE)
    stock.set_timesteps(steps)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(steps, 1, 3, 5, generator=generator)
    output, latents = torch.randn(2, 1, 3, 5, generator=generator)
    times, step = EzSampler(steps, 5.0, 0.75, eta, FRAMES).schedule(noise)
    assert torch.equal(times, stock.timesteps)
    for index in (0, 1, steps // 2, steps - 1):
        given = {"variance_noise": noise[index]} if eta else {}
        expected = stock.step(output, times[index], latents, eta=eta, **given).prev_sample
        ours = step(output, index, latents)
        if torch.isfinite(expected).all():
            assert torch.equal(ours, expected)
        else:
            assert (index, eta) == (0, 1.0)
            assert torch.isfinite(ours).all()
        exact = exact_step(stock, int(times[index]), output, latents, noise[index], eta)
        # float32 rounds the 0 under the root by up to 1.2e-7, hence its root by up to 3.5e-4.
        tolerance = 2e-3 if index == 0 else 2e-5
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=tolerance)


def exact_step(stock, time, output, latents, noise, eta) -> torch.Tensor:
    """Formula 12 of arXiv 2010.02502 for a prediction of v, in float64."""
    alphas = stock.alphas_cumprod.double()
    after = time - 1000 // len(stock.timesteps)
    here, there = alphas[time], alphas[after] if after >= 0 else torch.ones(()).double()
    output, latents, noise = output.double(), latents.double(), noise.double()
    data = here.sqrt() * latents - (1 - here).sqrt() * output
    epsilon = here.sqrt() * output + (1 - here).sqrt() * latents
    variance = eta**2 * (1 - there) / (1 - here) * (1 - here / there)
    direction = (1 - there - variance).clamp(min=0).sqrt()
    return there.sqrt() * data + direction * epsilon + variance.sqrt() * noise


@pytest.mark.parametrize("steps", range(1, 30))
def test_no_number_of_steps_gives_nan(steps) -> None:
    """The stock step does at some: its zero under a root, rounded, is negative. At which, the
    processor decides: at 6, 10, 13, ... on an Intel Xeon, at 7 too on an AMD EPYC."""
    noise = torch.ones(steps, 1)
    _, step = EzSampler(steps, 5.0, 0.75, 1.0, FRAMES).schedule(noise)
    sample = torch.ones(1)
    for index in range(steps):
        sample = step(sample, index, sample)
        assert torch.isfinite(sample).all()


def test_guidance_is_rescaled_clip_by_clip() -> None:
    empty, words = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(2))
    raw = empty + 5 * (words - empty)
    full = guided(empty, words, 5.0, 1.0)
    torch.testing.assert_close(full.std(dim=(1, 2)), words.std(dim=(1, 2)))
    half = guided(empty, words, 5.0, 0.5)
    torch.testing.assert_close(half, (raw + full) / 2)
    assert torch.equal(guided(empty, words, 5.0, 0.0), raw)


def test_options_and_order_of_calls_are_checked(spans) -> None:
    with pytest.raises(ValueError, match="steps is 0, allowed are 1 to 1000"):
        EzAudio(steps=0)
    with pytest.raises(ValueError, match="eta is 2, allowed are 0 to 1"):
        EzAudio(eta=2)
    with pytest.raises(RuntimeError, match="not loaded"):
        EzAudio().encode("rain", spans)
    with pytest.raises(ValueError, match="precision is 'int8'"):
        EzAudio(weights="random").load("cpu", "int8")
    assert EzAudio(weights="random").provenance()["weights"] == "random"


def test_damaged_and_missing_files_are_named(tmp_path) -> None:
    home = tiny_ezaudio.write(tmp_path)
    udit = home / "ezaudio-l" / "ezaudio_s3_l.pt"
    vae = home / "ezaudio-vae" / "ckpts" / "vae" / "1m.pt"
    model = EzAudio(weights=home)
    whole = torch.load(vae)["state_dict"]
    torch.save({"state_dict": whole | {"autoencoder.decoder.layers.9.bias": torch.ones(1)}}, vae)
    with pytest.raises(ValueError, match=r"1m\.pt: .*left over autoencoder\.decoder\.layers\.9\.b"):
        model.load("cpu", "float32")
    state = torch.load(udit)["model"]
    torch.save({"model": state | {"model.odd": torch.zeros(1)}}, udit)
    with pytest.raises(ValueError, match=r"s3_l\.pt: .*left over model\.odd;"):
        model.load("cpu", "float32")
    torch.save({"model": {"mask_embed": torch.zeros(1)}}, udit)
    with pytest.raises(ValueError, match=r"s3_l\.pt: no EzAudio DiT"):
        model.load("cpu", "float32")
    t5 = home / "flan-t5-large" / "model.safetensors"
    t5.write_bytes(t5.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file"):
        model.load("cpu", "float32")
    udit.unlink()
    with pytest.raises(FileNotFoundError, match=r"'ezaudio-l': ezaudio_s3_l\.pt not found"):
        model.load("cpu", "float32")
