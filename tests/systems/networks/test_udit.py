"""The UDiT against a second, plain reading of its equations, and its promised identities."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as fn

from stabench.systems.networks.udit import UDiT


class PlainUDiT:
    """One clip by the letter: no cache, no shared tables, complex numbers for rotation."""

    def __init__(self, state, config):
        self.state, self.config = state, config

    def linear(self, name, x):
        bias = self.state.get(f"{name}.bias", torch.zeros(()))
        return x @ self.state[f"{name}.weight"].T + bias

    def norm(self, name, x):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return fn.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)

    def attention(self, name, x, y, turning, valid=None):
        pairs = zip("qkv", (x, y, y), strict=True)
        split = [self.linear(f"{name}.to_{part}", z) for part, z in pairs]
        q, k, v = (z.reshape(len(z), self.config.heads, -1).transpose(0, 1) for z in split)
        q, k = self.norm(f"{name}.norm_q", q), self.norm(f"{name}.norm_k", k)
        q, k = (rotate(q), rotate(k)) if turning else (q, k)
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        scores = scores if valid is None else scores.masked_fill(~valid, -torch.inf)
        return self.linear(f"{name}.proj", (scores.softmax(-1) @ v).transpose(0, 1).flatten(1))

    def modulation(self, name, e):
        low = self.linear(f"{name}.adaln.lora_b", self.linear(f"{name}.adaln.lora_a", e))
        shared = self.linear("time_ada", e) + self.config.lora_alpha / self.config.lora_rank * low
        return shared.reshape(6, -1) + self.state[f"{name}.adaln.scale_shift_table"]

    def block(self, name, x, e, c, mask):
        b1, s1, g1, b2, s2, g2 = self.modulation(name, e)
        inner = self.norm(f"{name}.norm1", x) * (1 + s1) + b1
        x = x + (1 - g1) * self.attention(f"{name}.attn", inner, inner, True)
        query, tokens = self.norm(f"{name}.norm2", x), self.norm(f"{name}.norm_context", c)
        x = x + self.attention(f"{name}.cross_attn", query, tokens, False, mask)
        inner = self.norm(f"{name}.norm3", x) * (1 + s2) + b2
        h, gate = self.linear(f"{name}.mlp.net.0.proj", inner).chunk(2, -1)
        gelu = gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2)))
        return x + (1 - g2) * self.linear(f"{name}.mlp.net.2", h * gelu)

    def merge(self, name, x, skip):
        both = self.norm(f"{name}.skip_norm", torch.cat([x, skip], -1))
        return self.linear(f"{name}.skip_linear", both)

    def time(self, time):
        angles = time * 10_000.0 ** (-torch.arange(128) / 128)
        e = self.linear("time_embed.mlp.0", torch.cat([angles.cos(), angles.sin()]))
        return fn.silu(self.linear("time_embed.mlp.2", fn.silu(e)))

    def patches(self, latent):
        pieces = latent.reshape(len(latent), -1, self.config.patch_size)
        weight = self.state["patch_embed.proj.weight"]
        return torch.einsum("cnp,dcp->nd", pieces, weight) + self.state["patch_embed.proj.bias"]

    def head(self, x, e, channels):
        shift, scale = self.linear("time_ada_final", e).chunk(2)
        x = self.norm("final_block.norm", x) * (1 + scale) + shift
        x = self.linear("final_block.linear", x).reshape(-1, channels).T
        final = "final_block.final_layer"
        return fn.conv1d(x, self.state[f"{final}.weight"], self.state[f"{final}.bias"], padding=1)

    def velocity(self, latent, time, context, mask):
        hidden = fn.silu(self.linear("context_embed.0", context))
        c, e = self.linear("context_embed.2", hidden), self.time(time)
        x, skips, half = self.patches(latent), [], self.config.depth // 2
        for i in range(half):
            x = self.block(f"in_blocks.{i}", x, e, c, mask)
            skips.append(x)
        x = self.block("mid_block", x, e, c, mask)
        for i in range(half):
            x = self.merge(f"out_blocks.{i}", x, skips[half - 1 - i])
            x = self.block(f"out_blocks.{i}", x, e, c, mask)
        return self.head(x, e, len(latent))


def rotate(x):
    """Rotary positions of [heads, T, width]: channel i and i + width / 2 as one complex number."""
    half = x.shape[-1] // 2
    turn = torch.arange(x.shape[1])[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones(()), turn)
    return torch.cat([turned.real, turned.imag], -1)


@pytest.mark.parametrize("patch", [1, 2])
def test_agrees_with_the_plain_equations(udit_config, disturb, patch):
    config = dataclasses.replace(udit_config, patch_size=patch, lora_alpha=6)
    udit = disturb(UDiT(config))
    latent, context = torch.randn(2, 8, 12), torch.randn(2, 7, 32)
    time = torch.tensor([987.0, 78.0])
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    with torch.no_grad():
        got = udit(latent, time, context, mask)
        for row in range(2):
            inputs = latent[row], time[row], context[row], mask[row]
            plain = PlainUDiT(udit.state_dict(), config).velocity(*inputs)
            torch.testing.assert_close(got[row], plain, atol=1e-3, rtol=1e-3)


def test_context_does_nothing_at_initialisation(udit_config):
    udit = UDiT(udit_config)
    latent, time = torch.randn(2, 8, 10), torch.tensor([500.0, 20.0])
    one = udit(latent, time, torch.randn(2, 5, 32))
    other = udit(latent, time, torch.randn(2, 9, 32))
    assert torch.equal(one, other)
    assert one.std() > 0.1


def test_gates_are_open_and_modulation_is_neutral_at_initialisation(udit_config):
    modulations = UDiT(udit_config).modulations(torch.tensor([3.0, 700.0]))
    shift1, scale1, gate1, shift2, scale2, gate2 = modulations.blocks.unbind(1)
    assert all((part == 1).all() for part in (scale1, gate1, scale2, gate2))
    assert all((part == 0).all() for part in (shift1, shift2))


def test_masked_context_tokens_do_nothing(udit_config, disturb):
    udit = disturb(UDiT(udit_config))
    latent, time, context = torch.randn(1, 8, 10), torch.tensor([500.0]), torch.randn(1, 9, 32)
    mask = torch.arange(9)[None] < 6
    torch.testing.assert_close(
        udit(latent, time, context, mask), udit(latent, time, context[:, :6]), atol=1e-5, rtol=1e-5
    )


def test_masked_latent_frames_change_no_valid_frame(udit_config, disturb):
    udit = disturb(UDiT(udit_config))
    latent, time, context = torch.randn(1, 8, 10), torch.tensor([500.0]), torch.randn(1, 4, 32)
    mask = torch.arange(10)[None] < 7
    one = udit(latent, time, context, latent_mask=mask)
    latent[..., 7:] += 5
    other = udit(latent, time, context, latent_mask=mask)
    # The head's convolution reaches one frame to each side.
    torch.testing.assert_close(one[..., :6], other[..., :6])


def test_cached_steps_equal_whole_calls(udit_config, disturb):
    udit = disturb(UDiT(udit_config))
    context, times = torch.randn(2, 5, 32), torch.tensor([1000.0, 600.0, 33.0])
    cache, modulations = udit.precompute(context), udit.modulations(times)
    for index, time in enumerate(times):
        latent = torch.randn(2, 8, 10)
        stepped = udit.step(latent, modulations.at(index), cache)
        torch.testing.assert_close(stepped, udit(latent, time.expand(2), context))


def test_sampling_first_does_not_spoil_training(udit_config):
    udit = UDiT(udit_config)
    inputs = torch.randn(1, 8, 10), torch.tensor([500.0]), torch.randn(1, 4, 32)
    with torch.inference_mode():
        udit(*inputs)
    udit(*inputs).sum().backward()
    assert udit.patch_embed.proj.weight.grad.isfinite().all()


def test_half_precision_keeps_its_positions(udit_config, disturb):
    udit = disturb(UDiT(udit_config), 0.02)
    inputs = torch.randn(1, 8, 400), torch.tensor([500.0]), torch.randn(1, 4, 32)
    exact = udit(*inputs)
    half = udit.to(torch.bfloat16)(inputs[0].bfloat16(), inputs[1], inputs[2].bfloat16()).float()
    assert (half - exact).norm() / exact.norm() < 0.05
