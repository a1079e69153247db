"""MeanAudio's transformer and its sampler against the equations, written out in plain torch."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.meanaudio.generator import MeanFlowSampler
from stabench.systems.tta.meanaudio.networks import SIZES, read_transformer
from stabench.systems.tta.meanaudio.transformer import MeanFlowTransformer
from tests.systems.tta import tiny_meanaudio

FRAMES = 9
STATE = {
    name: value.double()
    for name, value in tiny_meanaudio.tensors(tiny_meanaudio.transformer()).items()
}


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> MeanFlowTransformer:
    """The tiny network from its file, in float64."""
    path = tmp_path_factory.mktemp("meanaudio") / "meanaudio_s_full.pth"
    torch.save(tiny_meanaudio.tensors(tiny_meanaudio.transformer()), path)
    return read_transformer(path).double()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Latents, T5's states and CLAP's rows of two clips, float64."""
    generator = torch.Generator().manual_seed(5)
    sizes = (
        (FRAMES, tiny_meanaudio.CHANNELS),
        (tiny_meanaudio.TEXT_TOKENS, tiny_meanaudio.TEXT_WIDTH),
        (tiny_meanaudio.POOLED,),
    )
    latent, states, pooled = (
        torch.randn(2, *size, generator=generator, dtype=torch.float64) for size in sizes
    )
    return latent, states, pooled


def linear(tokens: Tensor, name: str) -> Tensor:
    bias = STATE.get(f"{name}.bias", torch.zeros(1))
    return tokens @ STATE[f"{name}.weight"].T + bias


def convolve(tokens: Tensor, name: str) -> Tensor:
    """Sum over the kernel's places of shifted tokens times a matrix."""
    kernel = STATE[f"{name}.weight"]
    half, length = kernel.shape[2] // 2, tokens.shape[1]
    padded = functional.pad(tokens, (0, 0, half, half))
    places = range(kernel.shape[2])
    total = sum(padded[:, place : place + length] @ kernel[:, :, place].T for place in places)
    return total + STATE.get(f"{name}.bias", torch.zeros(1))


def layer(tokens: Tensor, name: str) -> Tensor:
    apply = convolve if STATE[f"{name}.weight"].dim() == 3 else linear
    return apply(tokens, name)


def gated(tokens: Tensor, name: str) -> Tensor:
    opened = layer(tokens, f"{name}.w1")
    return layer(opened * opened.sigmoid() * layer(tokens, f"{name}.w3"), f"{name}.w2")


def time_embedding(time: float, name: str) -> Tensor:
    angles = torch.tensor(
        [time * 10_000.0 ** (-2 * index / 256) for index in range(128)], dtype=torch.float64
    )
    wave = linear(torch.cat([angles.cos(), angles.sin()]), f"{name}.mlp.0")
    return linear(wave * wave.sigmoid(), f"{name}.mlp.2")


def modulation(condition: Tensor, name: str, count: int) -> tuple[Tensor, ...]:
    return linear(condition * condition.sigmoid(), f"{name}.adaLN_modulation.1").chunk(count, -1)


def normed(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    centred = tokens - tokens.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / deviation * (1 + scale) + shift


def heads_of(tokens: Tensor, name: str) -> list[list[Tensor]]:
    """Of each head its queries, keys and values [B, T, head_width]; feature 3 (h w + i) + j of
    `qkv` is feature i of head h, j of query, key, value."""
    features = linear(tokens, f"{name}.attn.qkv")
    heads = []
    for head in range(tiny_meanaudio.HEADS):
        start = 3 * tiny_meanaudio.HEAD_WIDTH * head
        parts = features[..., start : start + 3 * tiny_meanaudio.HEAD_WIDTH]
        query, key, value = (parts[..., part::3] for part in range(3))
        heads.append(
            [
                turned(root_normed(query, f"{name}.attn.q_norm")),
                turned(root_normed(key, f"{name}.attn.k_norm")),
                value,
            ]
        )
    return heads


def root_normed(features: Tensor, name: str) -> Tensor:
    root = (features.square().mean(-1, keepdim=True) + torch.finfo(torch.float64).eps).sqrt()
    return features / root * STATE[f"{name}.weight"]


def turned(features: Tensor) -> Tensor:
    """Pairs of neighbours as complex numbers, turned by position times frequency."""
    pairs = torch.view_as_complex(features.unflatten(-1, (-1, 2)).contiguous())
    width = features.shape[-1]
    places = torch.arange(width // 2, dtype=torch.float64)
    angles = torch.arange(features.shape[1])[:, None] * 10_000.0 ** (-2 * places / width)
    return torch.view_as_real(pairs * torch.exp(1j * angles)).flatten(-2)


def attended(heads: list[list[Tensor]]) -> Tensor:
    outputs = []
    for query, key, value in heads:
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        outputs.append(scores.softmax(-1) @ value)
    return torch.cat(outputs, -1)


def finished(tokens: Tensor, gained: Tensor, parts: tuple[Tensor, ...], name: str) -> Tensor:
    tokens = tokens + layer(gained, f"{name}.linear1") * parts[2]
    return tokens + gated(normed(tokens, parts[3], parts[4]), f"{name}.ffn") * parts[5]


def reference(latent: Tensor, end: float, start: float, states: Tensor, pooled: Tensor) -> Tensor:
    """u(z, r, t) of networks.py's MeanAudio.predict_flow."""
    text = gated(linear(states, "text_input_proj.0"), "text_input_proj.1")
    whole = gated(linear(pooled, "text_cond_proj.0"), "text_cond_proj.1")
    condition = time_embedding(start, "t_embed") + time_embedding(end, "r_embed") + whole
    condition = condition[:, None]
    tokens = convolve(latent, "audio_input_proj.0")
    tokens = gated(functional.selu(tokens), "audio_input_proj.2")
    for index in range(tiny_meanaudio.JOINT):
        sound_block = f"joint_blocks.{index}.latent_block"
        text_block = f"joint_blocks.{index}.text_block"
        last = index == tiny_meanaudio.JOINT - 1
        parts = modulation(condition, sound_block, 6)
        text_parts = modulation(condition, text_block, 2 if last else 6)
        sound_heads = heads_of(normed(tokens, *parts[:2]), sound_block)
        text_heads = heads_of(normed(text, *text_parts[:2]), text_block)
        joined = [
            [torch.cat(pair, 1) for pair in zip(*both, strict=True)]
            for both in zip(sound_heads, text_heads, strict=True)
        ]
        gained = attended(joined)
        tokens = finished(tokens, gained[:, :FRAMES], parts, sound_block)
        if not last:
            text = finished(text, gained[:, FRAMES:], text_parts, text_block)
    for index in range(tiny_meanaudio.FUSED):
        name = f"fused_blocks.{index}"
        parts = modulation(condition, name, 6)
        heads = heads_of(normed(tokens, *parts[:2]), name)
        tokens = finished(tokens, attended(heads), parts, name)
    parts = modulation(condition, "final_layer", 2)
    return convolve(normed(tokens, *parts), "final_layer.conv")


@pytest.mark.parametrize(("end", "start"), [(0.0, 1.0), (0.25, 0.5)])
def test_the_mean_velocity_is_that_of_the_equations(network, inputs, end, start) -> None:
    latent, states, pooled = inputs
    expected = reference(latent, end, start, states, pooled)
    assert expected.std() > 0.1
    with torch.inference_mode():
        velocity = network(
            latent,
            torch.tensor([start]).double(),
            torch.tensor([end]).double(),
            network.conditions(states, pooled),
            network.rotations(FRAMES),
        )
    torch.testing.assert_close(velocity, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_of_the_mean_flow(network, inputs, steps) -> None:
    """z_r = z_t - (t - r) u(z_t, r, t); one step is z_0 = z_1 - u(z_1, 0, 1)."""
    latent, states, pooled = inputs
    expected = latent
    for step in range(steps):
        start, end = 1 - step / steps, 1 - (step + 1) / steps
        expected = expected - reference(expected, end, start, states, pooled) / steps
    expected = expected * STATE["latent_std"] + STATE["latent_mean"]
    sampler = MeanFlowSampler(network, steps, 0.0, FRAMES)
    with torch.inference_mode():
        latents = sampler.integrate(latent, states, pooled)
    # Times and latents between steps are float32, as for every precision of the network.
    torch.testing.assert_close(latents, expected, atol=2e-6, rtol=0, check_dtype=False)


def test_guidance_goes_from_the_empty_text_of_the_checkpoint(network, inputs) -> None:
    latent, states, pooled = inputs
    empty_states = STATE["empty_string_feat"].expand_as(states)
    empty = reference(latent, 0.0, 1.0, empty_states, STATE["empty_string_feat_c"].expand(2, -1))
    words = reference(latent, 0.0, 1.0, states, pooled)
    expected = latent - (3 * words + (1 - 3) * empty)
    expected = expected * STATE["latent_std"] + STATE["latent_mean"]
    with torch.inference_mode():
        latents = MeanFlowSampler(network, 1, 3.0, FRAMES).integrate(latent, states, pooled)
    torch.testing.assert_close(latents, expected, atol=5e-6, rtol=0, check_dtype=False)


def test_a_straight_path_ends_at_its_data_in_any_number_of_steps(network, monkeypatch) -> None:
    """Along z_t = (1 - t) x + t e the mean velocity is e - x between any two times."""
    data, noise = torch.randn(2, 1, FRAMES, tiny_meanaudio.CHANNELS)
    seen: list[tuple[float, float]] = []

    def straight(latent: Tensor, start: Tensor, end: Tensor, *_: object) -> Tensor:
        seen.append((float(start), float(end)))
        expected = (1 - start) * data + start * noise
        torch.testing.assert_close(latent, expected, atol=1e-5, rtol=0, check_dtype=False)
        return noise - data

    monkeypatch.setattr(network, "forward", straight)
    states = torch.zeros(1, tiny_meanaudio.TEXT_TOKENS, tiny_meanaudio.TEXT_WIDTH).double()
    pooled = torch.zeros(1, tiny_meanaudio.POOLED).double()
    for steps in (1, 2, 7):
        seen.clear()
        latents = MeanFlowSampler(network, steps, 0.0, FRAMES).integrate(noise, states, pooled)
        expected = data * STATE["latent_std"] + STATE["latent_mean"]
        torch.testing.assert_close(latents, expected, atol=1e-5, rtol=0, check_dtype=False)
        assert (len(seen), seen[0][0], seen[-1][1]) == (steps, 1.0, 0.0)
        assert [start for start, _ in seen[1:]] == [end for _, end in seen[:-1]]


@pytest.mark.parametrize(("size", "heads", "millions"), [("s", 7, 120), ("l", 14, 480)])
def test_full_size_is_the_published_one(size, heads, millions) -> None:
    """Shapes are those of the public code at its sizes; its README says 120 M and 480 M."""
    network = weights.empty(lambda: MeanFlowTransformer(SIZES[size]))
    shapes = tiny_meanaudio.transformer(
        heads=heads, head_width=64, joint=4, fused=8, channels=20, text_width=1024, pooled=512
    )
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes
    parameters = sum(value.numel() for value in network.parameters())
    assert parameters == {"s": 120_422_676, "l": 479_451_668}[size]
    assert abs(parameters / 1e6 - millions) < 1


def test_what_training_leaves_beside_the_weights_is_dropped(tmp_path) -> None:
    state = tiny_meanaudio.tensors(tiny_meanaudio.transformer())
    averaged = {f"ema_model.{name}": value for name, value in state.items()}
    extra = {"t_embed.freqs": torch.ones(128), "latent_rot": torch.ones(1, 9, 4, 2, 2)}
    torch.save(averaged | extra, tmp_path / "average.pth")
    network = read_transformer(tmp_path / "average.pth")
    np.testing.assert_array_equal(
        network.final_layer.conv.weight.numpy(), state["final_layer.conv.weight"].numpy()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"odd": torch.zeros(1)}, r"meanaudio\.pth: .* left over odd"),
        ({"final_layer.conv.bias": None}, r"missing final_layer\.conv\.bias"),
        ({"latent_mean": None}, r"meanaudio\.pth: 'latent_mean' is missing; fetch the file"),
        ({"r_embed.mlp.0.bias": torch.zeros(3)}, r"r_embed\.mlp\.0\.bias is \(3,\) instead of"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_tensor(tmp_path, change, message) -> None:
    state = tiny_meanaudio.tensors(tiny_meanaudio.transformer()) | change
    state = {name: value for name, value in state.items() if value is not None}
    torch.save(state, tmp_path / "meanaudio.pth")
    with pytest.raises(ValueError, match=message):
        read_transformer(tmp_path / "meanaudio.pth")
