"""EzAudio's checkpoints as STAR's parts: exact folding, complete key maps, equal sound.

The names are those that EzAudio's own code gives at a tiny size (`golden_ezaudio.npz`), and, at
full size, those spelled here from its layer order.
"""

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from stabench.checkpoints.tensors import fill_network, read_tensors
from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.networks.ezaudio_weights import (
    fold_input,
    published_vae_name,
    read_udit,
    read_vae,
    recognise,
    udit_config,
    udit_from_ezaudio,
    vae_config,
    vae_file,
)
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import WaveformVae
from tests.systems.tta import tiny_ezaudio

TINY = tiny_ezaudio
SMALL_VAE = VaeConfig(base=4)
BLOCKS = ((128, 128, 2), (128, 256, 4), (256, 512, 6), (512, 1024, 10))


@pytest.fixture(scope="module")
def vae_path(home):
    return home / "ezaudio-vae" / "ckpts" / "vae" / "1m.pt"


# --- the DiT --------------------------------------------------------------------------------------


def wide_udit(udit: UDiT) -> tuple[UDiT, dict[str, torch.Tensor]]:
    """EzAudio's form of `udit`, with an input of 2 C + 1 channels, and its state dict."""
    config = udit.config
    wide = UDiT(config)
    wide.load_state_dict(udit.state_dict())
    wide.patch_embed.proj = nn.Conv1d(
        2 * config.in_channels + 1, config.width, config.patch_size, config.patch_size
    )
    state = {f"model.{name}": value.clone() for name, value in wide.state_dict().items()}
    return wide, state | {"mask_embed": torch.randn(config.in_channels)}


@torch.no_grad()
@pytest.mark.parametrize(("channels", "patch"), [(128, 1), (8, 1), (6, 2)])
def test_the_narrow_network_gives_what_the_wide_one_gives(disturb, channels, patch):
    config = UDiTConfig(channels, 32, 2, 4, 4, 4, 4, 32, patch)
    wide, state = wide_udit(disturb(UDiT(config)))
    narrow = UDiT(config)
    fill_network(narrow, udit_from_ezaudio(state, narrow, "file"), "file")
    latent, inputs = (
        torch.randn(2, channels, 12),
        (torch.tensor([500.0, 7.0]), torch.randn(2, 4, 32)),
    )
    constant = torch.cat([state["mask_embed"], torch.ones(1)])[None, :, None].expand(2, -1, 12)
    # In float64: what is left of a difference is the fold's, rounded into float32 weights.
    expected, folded = (
        network.double()(sound.double(), *(each.double() for each in inputs))
        for network, sound in ((wide, torch.cat([latent, constant], 1)), (narrow, latent))
    )
    assert expected.std() > 0.1
    torch.testing.assert_close(folded, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_fold_of_the_published_width_is_exact(dtype):
    weight, bias, mask_embed = torch.randn(64, 257, 1), torch.randn(64), torch.randn(128)
    weight, bias, mask_embed = (each.to(dtype) for each in (weight, bias, mask_embed))
    narrow, folded = fold_input(weight, bias, mask_embed)
    latent = torch.randn(128).double()
    inputs = torch.cat([latent, mask_embed.double(), torch.ones(1).double()])
    whole = weight[..., 0].double() @ inputs + bias.double()
    result = narrow[..., 0].double() @ latent + folded.double()
    torch.testing.assert_close(result, whole, atol=1e-6, rtol=1e-7)


def test_ezaudio_l_matches_by_name_and_shape():
    with torch.device("meta"):
        udit = UDiT(UDiTConfig())
        state = {f"model.{key}": value for key, value in udit.state_dict().items()}
        state["model.patch_embed.proj.weight"] = torch.empty(1024, 257, 1)
        state["mask_embed"] = torch.empty(128)
        buffers = sum(value.numel() for key, value in state.items() if "inv_freq" in key)
        assert sum(value.numel() for value in state.values()) - buffers == 596_830_080
        assert udit_config(state, "file") == UDiTConfig()
        udit.load_state_dict(udit_from_ezaudio(state, udit, "file"), strict=True)


def test_the_names_of_the_originals_file_fill_a_network(home, tmp_path):
    path = home / "ezaudio-l" / "ezaudio_s3_l.pt"
    state, udit = read_tensors(path, part="model"), read_udit(path)
    key = "out_blocks.1.mlp.net.0.proj.weight"
    assert torch.equal(udit.state_dict()[key], state[f"model.{key}"])
    halves = {name: value.half() for name, value in state.items()}
    torch.save({"model": halves}, tmp_path / "half.pt")
    half = read_udit(tmp_path / "half.pt")
    inputs = torch.randn(1, 128, 6), torch.tensor([9.0]), torch.randn(1, 4, 32)
    with torch.no_grad():
        torch.testing.assert_close(half(*inputs), udit(*inputs), atol=2e-2, rtol=2e-2)


def rename(state, old, new):
    return {new if name == old else name: value for name, value in state.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: rename(s, "model.mid_block.norm1.bias", "model.mid_block.norm1.beta"),
         r"missing model\.mid_block\.norm1\.bias .*left over model\.mid_block\.norm1\.beta"),
        (lambda s: s | {"model.time_ada.bias": torch.ones(3)},
         r"model\.time_ada\.bias is \(3,\) instead of \(192,\)"),
        (lambda s: s | {"model.patch_embed.proj.weight": torch.ones(32, 8, 1)},
         r"model\.patch_embed\.proj\.weight is \(32, 8, 1\) instead of \(32, 17, 1\)"),
        (lambda s: {k: v for k, v in s.items() if k != "mask_embed"}, "missing mask_embed"),
        (lambda s: s | {"mask_embed": torch.ones(9)},
         r"mask_embed is \(9,\) instead of \(8,\)"),
        (lambda s: s | {"model.mid_block.norm1.bias": "none"}, r"no tensor model\.mid_block"),
        (lambda s: s | {"model.time_ada.bias": torch.ones(192, dtype=torch.int64)},
         r"model\.time_ada\.bias is torch\.int64 instead of torch\.float32"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_dit_is_named_as_in_the_file(udit_config, change, message):
    udit = UDiT(udit_config)
    state = change(wide_udit(udit)[1])
    with pytest.raises(ValueError, match=f"^some.pt: its tensors do not fit EzAudio.*{message}"):
        udit_from_ezaudio(state, udit, "some.pt")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"mask_embed": torch.zeros(1)},
        {"mask_embed": 3, "model.patch_embed.proj.weight": "none"},
        {"model.in_blocks.0.attn.norm_q.weight": torch.zeros(0)},
    ],
)
def test_tensors_that_tell_no_shape_are_no_dit(state):
    with pytest.raises(ValueError, match=r"^some\.pt: no EzAudio DiT \(.*\); fetch the file again"):
        udit_config(state, "some.pt")


# --- the VAE --------------------------------------------------------------------------------------


def published_vae_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of EzAudio's full-size VAE, spelled from its layer order."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(stem, into, out, kernel, turned=False, bias=True):
        first, second = (into, out) if turned else (out, into)
        shapes[f"{stem}.weight_g"] = (first, 1, 1)
        shapes[f"{stem}.weight_v"] = (first, second, kernel)
        if bias:
            shapes[f"{stem}.bias"] = (out,)

    def snake(stem, width):
        shapes[f"{stem}.alpha"] = shapes[f"{stem}.beta"] = (width,)

    def unit(stem, width):
        for first, kernel in ((0, 7), (2, 1)):
            snake(f"{stem}.layers.{first}", width)
            convolution(f"{stem}.layers.{first + 1}", width, width, kernel)

    encoder, decoder = "autoencoder.encoder.layers", "autoencoder.decoder.layers"
    convolution(f"{encoder}.0", 1, 128, 7)
    convolution(f"{decoder}.0", 128, 1024, 7)
    for index, (narrow, wide, stride) in enumerate(BLOCKS, 1):
        inner = f"{encoder}.{index}.layers"
        for number in (0, 1, 2):
            unit(f"{inner}.{number}", narrow)
        snake(f"{inner}.3", narrow)
        convolution(f"{inner}.4", narrow, wide, 2 * stride)
        inner = f"{decoder}.{5 - index}.layers"
        snake(f"{inner}.0", wide)
        convolution(f"{inner}.1", wide, narrow, 2 * stride, turned=True)
        for number in (2, 3, 4):
            unit(f"{inner}.{number}", narrow)
    snake(f"{encoder}.5", 1024)
    convolution(f"{encoder}.6", 1024, 256, 3)
    snake(f"{decoder}.5", 128)
    convolution(f"{decoder}.6", 128, 1, 7, bias=False)
    return shapes


def test_the_published_vae_fits_by_name_and_shape(tmp_path):
    """Full size: 256 channels out of the encoder, of which 128 are means. Nothing is allocated."""
    shapes = published_vae_shapes()
    assert sum(map(math.prod, shapes.values())) == 21_857_664 + 21_989_121
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    torch.save({"state_dict": state}, tmp_path / "1m.pt")
    with torch.device("meta"):
        vae = WaveformVae(VaeConfig())
    tensors = read_vae(tmp_path / "1m.pt", vae)
    assert tensors.keys() == vae.state_dict().keys()
    assert {name: value.shape for name, value in tensors.items()} == {
        name: value.shape for name, value in vae.state_dict().items()
    }
    assert tensors["oobleck.encoder.conv2.weight_v"].shape == (256, 1024, 3)


def test_vae_parts_keep_their_owner():
    names = {
        "oobleck.encoder.block.1.res_unit1.conv1.weight_v": (
            "autoencoder.encoder.layers.2.layers.0.layers.1.weight_v"
        ),
        "oobleck.decoder.block.2.res_unit3.conv2.bias": (
            "autoencoder.decoder.layers.3.layers.4.layers.3.bias"
        ),
        "oobleck.decoder.block.0.conv_t1.weight_g": (
            "autoencoder.decoder.layers.1.layers.1.weight_g"
        ),
        "oobleck.encoder.block.3.snake1.beta": "autoencoder.encoder.layers.4.layers.3.beta",
        "oobleck.encoder.snake1.alpha": "autoencoder.encoder.layers.5.alpha",
    }
    assert [published_vae_name(name) for name in names] == list(names.values())


class PlainVae:
    """EzAudio's VAE by the letter, on its own state dict: no module, nothing fused."""

    def __init__(self, state, strides):
        self.state, self.strides = state, strides

    def weight(self, stem):
        v, g = self.state[f"{stem}.weight_v"], self.state[f"{stem}.weight_g"]
        return g * v / v.square().sum(dim=(1, 2), keepdim=True).sqrt()

    def convolve(self, stem, x, **options):
        return fn.conv1d(x, self.weight(stem), self.state.get(f"{stem}.bias"), **options)

    def snake(self, stem, x):
        alpha, beta = (self.state[f"{stem}.{name}"][:, None].exp() for name in ("alpha", "beta"))
        return x + (alpha * x).sin().square() / (beta + 1e-9)

    def unit(self, stem, x, dilation):
        inner = self.snake(f"{stem}.layers.0", x)
        inner = self.convolve(f"{stem}.layers.1", inner, padding=3 * dilation, dilation=dilation)
        return x + self.convolve(f"{stem}.layers.3", self.snake(f"{stem}.layers.2", inner))

    def encode(self, sound):
        stem = "autoencoder.encoder.layers"
        x = self.convolve(f"{stem}.0", sound, padding=3)
        for index, stride in enumerate(self.strides, 1):
            for number, dilation in enumerate((1, 3, 9)):
                x = self.unit(f"{stem}.{index}.layers.{number}", x, dilation)
            x = self.snake(f"{stem}.{index}.layers.3", x)
            padding = math.ceil(stride / 2)
            x = self.convolve(f"{stem}.{index}.layers.4", x, stride=stride, padding=padding)
        return self.convolve(f"{stem}.6", self.snake(f"{stem}.5", x), padding=1)

    def decode(self, latent):
        stem = "autoencoder.decoder.layers"
        x = self.convolve(f"{stem}.0", latent, padding=3)
        for index, stride in enumerate(reversed(self.strides), 1):
            inner = f"{stem}.{index}.layers"
            x = fn.conv_transpose1d(
                self.snake(f"{inner}.0", x),
                self.weight(f"{inner}.1"),
                self.state[f"{inner}.1.bias"],
                stride=stride,
                padding=math.ceil(stride / 2),
            )
            for number, dilation in zip((2, 3, 4), (1, 3, 9), strict=True):
                x = self.unit(f"{inner}.{number}", x, dilation)
        return self.convolve(f"{stem}.6", self.snake(f"{stem}.5", x), padding=3)


@torch.inference_mode()
@pytest.mark.parametrize("fused", [False, True])
def test_both_halves_of_the_vae_equal_a_plain_reading(vae_path, fused):
    vae = WaveformVae(SMALL_VAE)
    fill_network(vae, read_vae(vae_path, vae), vae_path)
    state = read_tensors(vae_path, part="state_dict")
    plain = PlainVae({name: value.double() for name, value in state.items()}, SMALL_VAE.ratios)
    vae = (vae.fuse() if fused else vae).double()
    sound, latent = torch.randn(2, 1, 480 * 7).double(), torch.randn(2, 128, 5).double()
    mean, scale = plain.encode(sound).chunk(2, dim=1)
    assert mean.shape == (2, 128, 7)
    assert mean.std() > 0.1
    posterior = vae.encode(sound)
    # The one sum that fusing rounds into float32 is that of the weights.
    close = {"atol": 1e-5, "rtol": 1e-5} if fused else {"atol": 1e-9, "rtol": 1e-9}
    torch.testing.assert_close(posterior.mean, mean, **close)
    torch.testing.assert_close(posterior.std, fn.softplus(scale) + 1e-4, **close)
    assert vae.decode(latent).std() > 0.01
    torch.testing.assert_close(vae.decode(latent), plain.decode(latent), **close)
    assert torch.equal(vae.normalise(latent), latent)


def changed_vae(vae_path, tmp_path, change):
    state = change(dict(read_tensors(vae_path, part="state_dict")))
    torch.save({"state_dict": state}, tmp_path / "1m.pt")
    return tmp_path / "1m.pt"


CONVOLUTION = "autoencoder.encoder.layers.1.layers.0.layers.1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != f"{CONVOLUTION}.bias"},
         rf"missing {CONVOLUTION}.bias;"),
        (lambda s: s | {"autoencoder.decoder.layers.7.bias": torch.ones(1)},
         r"left over autoencoder\.decoder\.layers\.7\.bias;"),
        (lambda s: s | {"autoencoder.bottleneck": torch.ones(1)},
         r"left over autoencoder\.bottleneck;"),
        (lambda s: s | {"autoencoder.encoder.layers.6.weight_v": torch.ones(128, 32, 3)},
         r"layers\.6\.weight_v is \(128, 32, 3\) instead of \(256, 32, 3\)"),
        (lambda s: s | {"autoencoder.encoder.layers.5.alpha": torch.ones(1, 32, 1)},
         r"layers\.5\.alpha is \(1, 32, 1\) instead of \(32,\)"),
        (lambda s: {k.removeprefix("autoencoder."): v for k, v in s.items()},
         r"missing autoencoder\.encoder\.conv|missing autoencoder\.encoder\.layers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_vae_is_named_as_in_the_file(vae_path, tmp_path, change, message):
    path = changed_vae(vae_path, tmp_path, change)
    with pytest.raises(ValueError, match=rf"1m\.pt: its tensors do not fit EzAudio.*({message})"):
        read_vae(path, WaveformVae(SMALL_VAE))


def test_another_rate_is_refused_where_the_file_beside_it_says_so(vae_path, tmp_path):
    vae = WaveformVae(VaeConfig(base=4, sample_rate_hz=16_000))
    with pytest.raises(ValueError, match=r"config\.json: sample_rate is 24000, .*_hz .* 16000;"):
        read_vae(vae_path, vae)
    alone = changed_vae(vae_path, tmp_path, lambda state: state)
    assert read_vae(alone, vae).keys() == vae.state_dict().keys()


def test_files_are_told_by_what_they_hold(home, vae_path, tmp_path):
    assert recognise(home / "ezaudio-l" / "ezaudio_s3_l.pt") == "udit"
    assert recognise(vae_path) == "vae"
    others = ({}, {"model": torch.ones(1)}, {"state_dict": {"bias": torch.ones(1)}}, {"model": {}})
    for other in others:
        torch.save(other, tmp_path / "other.ckpt")
        assert recognise(tmp_path / "other.ckpt") is None
    assert recognise(tmp_path / "ours.safetensors") is None
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt: no such weights"):
        recognise(tmp_path / "nowhere.pt")


def test_a_folder_stands_for_the_file_in_it(home, vae_path, tmp_path):
    assert vae_file(home / "ezaudio-vae") == vae_path
    assert vae_file(vae_path.parent) == vae_file(vae_path) == vae_path
    with pytest.raises(FileNotFoundError, match=r"vae/1m\.pt: no such weights"):
        read_vae(vae_file(tmp_path), WaveformVae(SMALL_VAE))


def test_the_published_configuration_gives_the_papers_vae(tmp_path):
    table = json.loads(json.dumps(tiny_ezaudio.VAE))
    table["model"]["decoder"]["config"]["channels"] = 128
    path = tmp_path / "config.json"
    path.write_text(json.dumps(table))
    assert vae_config(path) == VaeConfig()
    for name, inner in (("sample_rate", table), ("c_mults", table["model"]["decoder"]["config"])):
        kept = inner.pop(name)
        path.write_text(json.dumps(table))
        with pytest.raises(ValueError, match=rf"config\.json: .*'{name}' is missing\); fetch"):
            vae_config(path)
        inner[name] = kept
    inner = table["model"]["decoder"]["config"]
    for change in ({"strides": 5}, {"strides": [2]}, {"strides": [3, 5, 7, 9]}, {"c_mults": None}):
        model = {"latent_dim": 128, "decoder": {"config": inner | change}}
        path.write_text(json.dumps({**table, "model": model}))
        with pytest.raises(ValueError, match=r"config\.json: does not describe EzAudio's VAE \("):
            vae_config(path)
    path.write_text('{"model": [], "sample_rate": 24000}')
    with pytest.raises(ValueError, match=r"config\.json: does not describe EzAudio's VAE"):
        vae_config(path)
