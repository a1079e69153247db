"""AUDIT against its original: the same checkpoint gives the same latents, mel and waveform.

golden_audit.npz was made by Amphion (open-mmlab/Amphion, commit d3de90f) outside this repository:
its own `AudioLDMInference` read the tiny checkpoint of tiny_audit.py (plotting and the writing of
files replaced by functions that keep their argument; `torch.manual_seed` of the seed). Stored are
the names and shapes of its tensors, seed and text, latents, every 8th mel frame, every 8th sample
of its int16 waveform, and `large`: one call of its UNet at 10 x 78, at time 501, on noise seeded
by 6 and the states of the text.
"""

import numpy as np
import pytest
import torch

from stabench.systems.tta import audit_networks
from stabench.systems.tta.audit import Audit
from stabench.systems.tta.audit_networks import CropUpsample
from stabench.systems.tta.latent_diffusion.autoencoder import fuse
from stabench.systems.tta.latent_diffusion.prompt import T5_BASE, T5Prompter, empty_t5
from tests.systems.tta import tiny_audit

GOLDEN, TINY = "audit", tiny_audit
FULL_SCALE = 32768
LATENT = (5, 39)


@pytest.fixture(scope="module")
def model(home, made):
    model = Audit(steps=int(made["steps"]), weights=home)
    model.load("cpu", "float32")
    return model


@pytest.fixture
def prompt(model, made, spans):
    return model.encode(str(made["texts"][0]), spans)


def test_stages_are_those_of_the_original(model, made, prompt) -> None:
    latents = model.generator.latents([prompt], made["seeds"].tolist())
    np.testing.assert_allclose(latents, made["latents"], rtol=1e-5, atol=5e-4)
    assert made["latents"].std() > 5  # hence 1e-4 of it, for rounding on other processors
    mel = model.generator.mel(torch.from_numpy(made["latents"]))
    np.testing.assert_allclose(mel[..., ::8], made["mel"], atol=2e-5)


def test_sound_is_that_of_the_original_to_its_last_bit(model, made, prompt, spans) -> None:
    (sound,) = model.generate([prompt], made["seeds"].tolist(), spans)
    assert sound.samples.shape == (159_744,)
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples[::8] * FULL_SCALE - made["wave"]).max() <= 1.5
    assert np.abs(made["wave"]).max() > 1000
    assert sound.rate_hz == model.sample_rate == 16_000
    assert spans.names == [
        "text_encoder.cond",
        "text_encoder.uncond",
        "sampler",
        "decoder",
        "vocoder",
    ]


def test_other_latents_are_those_of_the_original(model, made, prompt) -> None:
    latents = torch.randn(2, 4, 10, 78, generator=torch.Generator().manual_seed(6))
    states = torch.cat([prompt.empty, prompt.words])
    with torch.inference_mode():
        output = model.generator.networks.unet(latents, torch.tensor(501), states).sample
    np.testing.assert_allclose(output, made["large"], atol=2e-5)


def test_upsampling_crops_after_the_convolution() -> None:
    """The stock layer resizes first, and differs where a size is odd."""
    upsample = CropUpsample(torch.nn.Conv2d(1, 1, 3, padding=1))
    hidden = torch.randn(1, 1, 3, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, cropped = upsample(hidden), upsample(hidden, (5, 39))
        resized = torch.nn.functional.interpolate(hidden, size=(5, 39), mode="nearest")
        stock = upsample.conv(resized)
    assert whole.shape == (1, 1, 6, 40)
    assert torch.equal(cropped, whole[..., :5, :39])
    assert not torch.allclose(cropped, stock, atol=0.01)


@pytest.mark.slow
def test_a_batch_equals_its_clips(model, prompt, spans) -> None:
    """Prompts of other lengths are padded in a batch, and the padding is hidden."""
    prompts = [prompt, model.encode("wind", spans), model.encode("", spans)]
    seeds = [5, 6, 7]
    batch = model.generator.latents(prompts, seeds)
    for index, one in enumerate(prompts):
        alone = model.generator.latents([one], [seeds[index]])
        np.testing.assert_allclose(batch[index], alone[0], rtol=1e-5, atol=2e-4)


def test_empty_text_depends_on_the_prompts_length_and_is_cached_by_it(model, spans) -> None:
    cached = T5Prompter(model.prompter.tokenize, model.prompter.encoder, masked=False, cached=True)
    cached.warm()
    for text in ("wind", "a dog barks", "a cat falls"):
        kept, fresh = cached(text, spans), model.prompter(text, spans)
        assert kept.empty.shape == kept.words.shape
        assert torch.equal(kept.empty, fresh.empty)
        assert torch.equal(kept.words, fresh.words)
    assert cached("a dog barks", spans).empty is cached("a cat falls", spans).empty


@pytest.mark.parametrize("steps", [8, 200])
def test_network_is_called_once_more_than_there_are_steps(steps) -> None:
    times, _ = Audit(steps=steps, weights="random")._schedule(torch.empty(0))
    assert len(times) == steps + 1
    assert times[1] == times[2] if steps == 8 else times[0] == 996


def test_weight_norm_is_multiplied_out() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(3, 2, 4))
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(1.7)
    gain, direction = (value.detach() for value in layer.parametrizations.weight.parameters())
    plain = fuse({"ups.0.weight_g": gain, "ups.0.weight_v": direction, "lost.weight_g": gain})
    torch.testing.assert_close(plain["ups.0.weight"], layer.weight.detach())
    assert set(plain) == {"ups.0.weight", "lost.weight_g"}


@pytest.mark.parametrize(("latent", "autoencoder"), [((5, 39), 62_077_669), ((10, 78), 60_304_101)])
def test_full_size_is_the_published_one(latent, autoencoder) -> None:
    def parameters(network) -> int:
        assert all(one.is_meta for one in network.parameters())
        return sum(one.numel() for one in network.parameters())

    levels = {"ch_mult": audit_networks.VARIANTS[latent].ch_mult}
    settings = audit_networks.AUTOENCODER | levels
    assert parameters(audit_networks.build_unet(audit_networks.UNET, latent)) == 400_096_004
    assert parameters(audit_networks.build_autoencoder(settings)) == autoencoder
    # 55.8 MB in float32, as the published file.
    assert parameters(audit_networks.build_vocoder(audit_networks.VOCODER)) == 13_926_017
    assert parameters(empty_t5(T5_BASE)) == 109_628_544


def test_options_and_order_of_calls_are_checked(spans) -> None:
    with pytest.raises(ValueError, match="steps is 3, allowed are 4 to 1000"):
        Audit(steps=3)
    with pytest.raises(ValueError, match=r"latent is \(8, 40\), allowed are \(5, 39\) and"):
        Audit(latent=(8, 40))
    assert Audit(latent=[10, 78], weights="random").provenance()["latent"] == [10, 78]
    with pytest.raises(RuntimeError, match="not loaded"):
        Audit().encode("rain", spans)
    with pytest.raises(ValueError, match="precision is 'int8'"):
        Audit(weights="random").load("cpu", "int8")


def changed(path, part: str, change) -> None:
    """Replace a checkpoint's table of tensors by what `change` makes of it."""
    torch.save({part: change(torch.load(path)[part])}, path)


def test_every_tensor_is_used_once(tmp_path) -> None:
    _, _, unet, vae = tiny_audit.PATHS[LATENT]
    home = tiny_audit.write(tmp_path)
    root, model = home / "audit", Audit(weights=home)
    vocoder = root / tiny_audit.VOCODER_FOLDER / "g_01250000"
    changed(vocoder, "generator", lambda state: state | {"conv_post.odd": torch.zeros(1)})
    with pytest.raises(ValueError, match="left over conv_post"):
        model.load("cpu", "float32")
    changed(root / vae, "model", lambda state: {k: v for k, v in state.items() if "mid" not in k})
    with pytest.raises(ValueError, match=r"missing encoder\.mid_block"):
        model.load("cpu", "float32")
    torch.save({"weights": {}}, root / unet)
    with pytest.raises(ValueError, match=r"loss-0\.2521\.pt: no table 'model' in it, but weights"):
        model.load("cpu", "float32")
    (root / unet).write_bytes((root / vae).read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"loss-0\.2521\.pt is truncated"):
        model.load("cpu", "float32")
    (root / unet).unlink()
    with pytest.raises(FileNotFoundError, match=r"'audit': .*loss-0\.2521\.pt not found"):
        model.load("cpu", "float32")
