"""The mel decoder and BigVGAN against plain torch on the names of the published files."""

import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.meanaudio import decoder
from tests.systems.tta import tiny_meanaudio

VAE = tiny_meanaudio.tensors(tiny_meanaudio.vae())
VOICE = tiny_meanaudio.tensors(tiny_meanaudio.vocoder())
FRAMES = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both files as they are published."""
    folder = tmp_path_factory.mktemp("sound")
    torch.save(VAE, folder / "v1-16.pth")
    torch.save({"generator": VOICE | tiny_meanaudio.filters(VOICE)}, folder / "best_netG.pt")
    return folder


def swish(values: Tensor) -> Tensor:
    """SiLU over 0.596, which keeps the magnitude of normal values."""
    return values * values.sigmoid() / 0.596


def mixed(first: Tensor, second: Tensor) -> Tensor:
    """0.7 of the first and 0.3 of the second, at the magnitude of one."""
    return (0.7 * first + 0.3 * second) / (0.7**2 + 0.3**2) ** 0.5


def levelled(values: Tensor, axis: int) -> Tensor:
    """Values over their root mean square along an axis, 1e-4 added to it."""
    return values / (values.square().mean(axis, keepdim=True).sqrt() + 1e-4)


def kernel(name: str) -> Tensor:
    """A kernel of the decoder, its rows at length 1 (EDM2, equation 66)."""
    raw = VAE[f"decoder.{name}.weight"].double()
    rows = raw.flatten(1)
    root = rows.square().mean(1).sqrt()[:, None, None]
    return raw / (root + 1e-4) / rows.shape[1] ** 0.5


def conv(values: Tensor, name: str) -> Tensor:
    weight = kernel(name)
    return functional.conv1d(values, weight, padding=weight.shape[2] // 2)


def resnet(values: Tensor, name: str) -> Tensor:
    values = levelled(values, 1)
    deep = conv(swish(conv(swish(values), f"{name}.conv1")), f"{name}.conv2")
    if f"decoder.{name}.nin_shortcut.weight" in VAE:
        values = conv(values, f"{name}.nin_shortcut")
    return mixed(values, deep)


def attention(values: Tensor, name: str) -> Tensor:
    """One head over all channels; query, key and value side by side for each channel."""
    parts = conv(values, f"{name}.qkv").unflatten(1, (-1, 3))
    query, key, value = (levelled(part, 1) for part in parts.unbind(2))
    scores = (query.transpose(1, 2) @ key / query.shape[1] ** 0.5).softmax(-1)
    return mixed(values, conv(value @ scores.transpose(1, 2), f"{name}.proj_out"))


def mel(latents: Tensor) -> Tensor:
    """vae.py's VAE.decode."""
    values = conv(latents, "conv_in")
    values = attention(resnet(values, "mid.block_1"), "mid.attn_1")
    values = resnet(values, "mid.block_2").clamp(-256, 256)
    for level in (2, 1, 0):
        for index in range(3):
            values = resnet(values, f"up.{level}.block.{index}").clamp(-256, 256)
        if level == 1:
            values = conv(values.repeat_interleave(2, dim=2), "up.1.upsample.conv")
    values = conv(swish(values), "conv_out") * (VAE["decoder.learnable_gain"].double() + 1)
    return values * VAE["data_std"].double() + VAE["data_mean"].double()


def weight(name: str) -> Tensor:
    """Weight norm multiplied out: g v / |v|, row by row."""
    gain, raw = VOICE[f"{name}.weight_g"].double(), VOICE[f"{name}.weight_v"].double()
    return gain * raw / raw.flatten(1).norm(dim=1)[:, None, None]


def voice_conv(values: Tensor, name: str, dilation: int = 1) -> Tensor:
    taps = weight(name)
    half = dilation * (taps.shape[2] - 1) // 2
    bias = VOICE[f"{name}.bias"].double()
    return functional.conv1d(values, taps, bias, dilation=dilation, padding=half)


def snake(values: Tensor, name: str) -> Tensor:
    """x + sin^2(e^a x) / e^b at twice the rate, the filters applied one by one."""
    taps = tiny_meanaudio.kaiser_sinc().double()
    rows = functional.pad(values, (5, 5), mode="replicate").flatten(0, 1)[:, None]
    stretched = rows.new_zeros(len(rows), 1, 2 * rows.shape[2])
    stretched[..., ::2] = rows
    # A zero between each two samples, then the low pass, twice as loud.
    fast = 2 * functional.conv1d(functional.pad(stretched, (11, 10)), taps.flip(2))
    fast = fast[..., 15 : 15 + 2 * values.shape[2]].reshape(*values.shape[:2], -1)
    alpha, beta = (VOICE[f"{name}.act.{part}"].double()[:, None] for part in ("alpha", "beta"))
    fast = fast + (fast * alpha.exp()).sin().square() / (beta.exp() + 1e-9)
    padded = functional.pad(fast, (5, 6), mode="replicate").flatten(0, 1)[:, None]
    return functional.conv1d(padded, taps, stride=2).reshape(values.shape)


def sound(mels: Tensor) -> Tensor:
    """models.py's BigVGANVocoder.forward."""
    values = voice_conv(mels, "conv_pre")
    for stage, (rate, size) in enumerate(zip((4, 4, 2, 2, 2, 2), (8, 8, 4, 4, 4, 4), strict=True)):
        taps, bias = weight(f"ups.{stage}.0"), VOICE[f"ups.{stage}.0.bias"].double()
        values = functional.conv_transpose1d(
            values, taps, bias, stride=rate, padding=(size - rate) // 2
        )
        branches = []
        for place in range(3):
            name, branch = f"resblocks.{3 * stage + place}", values
            for index, dilation in enumerate((1, 3, 5)):
                deep = snake(branch, f"{name}.activations.{2 * index}")
                deep = voice_conv(deep, f"{name}.convs1.{index}", dilation)
                deep = snake(deep, f"{name}.activations.{2 * index + 1}")
                branch = voice_conv(deep, f"{name}.convs2.{index}") + branch
            branches.append(branch)
        values = sum(branches) / 3
    return voice_conv(snake(values, "activation_post"), "conv_post").tanh()


def test_mels_are_those_of_the_equations(folder) -> None:
    latents = torch.randn(2, tiny_meanaudio.CHANNELS, FRAMES)
    expected = mel(latents.double())
    assert expected.shape == (2, tiny_meanaudio.MELS, 2 * FRAMES)
    assert expected.std() > 0.1
    with torch.inference_mode():
        decoded = decoder.read_vae(folder / "v1-16.pth").decode(latents)
    # diffusers measures lengths in float32, so that the network cannot run in float64.
    torch.testing.assert_close(decoded, expected, atol=2e-5, rtol=0, check_dtype=False)


def test_sound_is_that_of_the_equations(tmp_path) -> None:
    state = VOICE | tiny_meanaudio.filters(VOICE)
    doubled = {name: value.double() for name, value in state.items()}
    torch.save({"generator": doubled}, tmp_path / "best_netG.pt")
    mels = torch.randn(2, tiny_meanaudio.MELS, 4, dtype=torch.float64)
    expected = sound(mels)
    assert expected.shape == (2, 1, 4 * 256)
    assert 0.01 < expected.std() < 0.9
    with torch.inference_mode():
        played = decoder.read_vocoder(tmp_path / "best_netG.pt")(mels, return_dict=False)[0]
    torch.testing.assert_close(played, expected, atol=1e-9, rtol=0)


def test_weight_norm_may_be_spelt_as_torch_does_now(folder, tmp_path) -> None:
    spelt = {
        re.sub("weight_([gv])$", lambda match: _parametrised(match[1]), name): value
        for name, value in (VOICE | tiny_meanaudio.filters(VOICE)).items()
    }
    torch.save({"generator": spelt}, tmp_path / "best_netG.pt")
    ours = decoder.read_vocoder(tmp_path / "best_netG.pt").state_dict()
    old = decoder.read_vocoder(folder / "best_netG.pt").state_dict()
    assert all(torch.equal(ours[name], value) for name, value in old.items())


def _parametrised(part: str) -> str:
    return f"parametrizations.weight.original{'gv'.index(part)}"


def test_full_size_is_the_published_one() -> None:
    """Shapes are those of the public code at its sizes.

    MMAudio's README says 655M and 429M of the files: MiB of float32, of the vocoder with its gains
    and filters. BigVGAN's paper says 112 M parameters.
    """
    vae = weights.empty(lambda: decoder.build_vae(decoder.VAE))
    shapes = {name: tuple(value.shape) for name, value in vae.state_dict().items()}
    assert shapes == tiny_meanaudio.vae(mels=80, width=384, channels=20)
    parameters = sum(value.numel() for value in vae.parameters())
    assert (parameters, round(4 * parameters / 2**20)) == (171_657_218, 655)
    vocoder = weights.empty(lambda: decoder.build_vocoder(decoder.VOCODER))
    parameters = sum(value.numel() for value in vocoder.parameters())
    assert (parameters, round(4 * parameters / 2**20)) == (112_199_473, 428)
    fused = {
        re.sub(r"\.weight_v$", ".weight", name): shape
        for name, shape in tiny_meanaudio.vocoder(mels=80, width=1536).items()
        if not name.endswith(".weight_g")
    }
    assert {name: tuple(value.shape) for name, value in vocoder.named_parameters()} == fused


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("v1-16.pth", {"decoder.odd": torch.zeros(1)}, r"v1-16\.pth: .* left over decoder\.odd"),
        ("v1-16.pth", {"encoder.mid.attn_1.qkv.weight": None}, r"missing encoder\.mid\.attn_1"),
        ("v1-16.pth", {"decoder.conv_in.weight": None}, r"'decoder\.conv_in\.weight' is missing"),
        ("best_netG.pt", {"conv_post.bias": None}, r"best_netG\.pt: .* missing conv_post\.bias"),
        ("best_netG.pt", {"conv_pre.weight_v": None}, r"'conv_pre\.weight' is missing"),
        ("best_netG.pt", {"ups.0.0.bias": torch.zeros(3)}, r"ups\.0\.0\.bias is \(3,\) instead"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_tensor(
    tmp_path, name: str, change, message
) -> None:
    state = VAE if name == "v1-16.pth" else VOICE | tiny_meanaudio.filters(VOICE)
    state = {key: value for key, value in (state | change).items() if value is not None}
    torch.save(state if name == "v1-16.pth" else {"generator": state}, tmp_path / name)
    read = decoder.read_vae if name == "v1-16.pth" else decoder.read_vocoder
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_another_checkpoint_than_a_vocoders_is_told(tmp_path) -> None:
    torch.save({"model": {}}, tmp_path / "best_netG.pt")
    with pytest.raises(ValueError, match=r"best_netG\.pt: no table 'generator' in it, but model"):
        decoder.read_vocoder(tmp_path / "best_netG.pt")
