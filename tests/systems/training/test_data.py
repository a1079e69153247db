"""Batches of frames and latents that are held in tensors."""

import numpy as np
import pytest
import torch

from stabench.systems.training.data import TensorFrames, TensorLatents


def test_frames_of_unequal_length_are_padded_with_masked_zeros():
    rows = torch.arange(1, 7, dtype=torch.float16)[:, None].expand(6, 2)
    frames = TensorFrames(rows, np.array([0, 2, 3, 6]))
    batch, mask = frames.batch(np.array([2, 0, 2]))
    assert len(frames) == 3
    assert batch.dtype == torch.float32
    assert batch[..., 0].tolist() == [[4, 5, 6], [1, 2, 0], [4, 5, 6]]
    assert mask.tolist() == [[True] * 3, [True, True, False], [True] * 3]


def test_latents_are_draws_of_the_posterior_in_the_scale_of_training():
    means = torch.tensor([[[3.0], [5.0]]]).expand(1, 2, 20_000).half()
    stds = torch.tensor([[[0.5], [0.0]]]).expand(1, 2, 20_000).half()
    latents = TensorLatents(means, stds, lambda raw: (raw - 3) / 2)
    drawn, mask = latents.batch(np.array([0, 0]), np.random.default_rng(0))
    again, _ = latents.batch(np.array([0, 0]), np.random.default_rng(0))
    assert len(latents) == 1
    assert mask is None
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn[0], drawn[1])
    assert drawn[:, 0].mean().item() == pytest.approx(0, abs=0.01)
    assert drawn[:, 0].std().item() == pytest.approx(0.25, abs=0.01)
    assert (drawn[:, 1] == 1).all()
