"""Values that other projects' code returned, the signal they were fed, and pseudo-random weights.

Each tensor is drawn from a generator seeded by the CRC of its published name, so outputs of other
people's code on the same weights can be compared with ours without any checkpoint. The keys in
the tests name the project and function that returned a value.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

DATA = Path(__file__).parent.parent / "data"
CONSTRUCTED = ("spectrogram_extractor", "logmel_extractor")


@pytest.fixture(scope="session")
def parity() -> Callable[[str], Mapping[str, np.ndarray]]:
    """Arrays of `tests/data/<name>.npz`."""
    return lambda name: np.load(DATA / f"{name}.npz")


@pytest.fixture(scope="session")
def signal() -> Callable[..., np.ndarray]:
    """`signal(rate_hz, samples, seed)`: a chirp, a gated tone, noise and an offset, float32."""

    def make(rate_hz: int, samples: int, seed: int = 1) -> np.ndarray:
        t = np.arange(samples) / rate_hz
        chirp = 0.3 * np.sin(2 * np.pi * (220 * t + 150 * t**2))
        tone = 0.1 * np.sin(2 * np.pi * 3100 * t) * (t % 0.5 < 0.25)
        noise = 0.02 * np.random.RandomState(seed).standard_normal(samples)
        return np.clip(chirp + tone + noise + 0.01, -1, 1).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def pseudo() -> Callable[[str, tuple[int, ...]], np.ndarray]:
    """`pseudo(name, shape)`: the pseudo-random tensor of a published name, float32."""

    def make(name: str, shape: tuple[int, ...]) -> np.ndarray:
        z = np.random.RandomState(crc32(name.encode())).standard_normal(int(np.prod(shape)))
        z = z.reshape(shape)
        if name.endswith("running_var"):
            z = 1 + 0.1 * abs(z)
        elif name.endswith("running_mean"):
            z = 0.1 * z
        elif name.endswith("bias") or "bias_table" in name:
            z = 0.02 * z
        elif z.ndim == 1:
            z = 1 + 0.1 * z
        else:
            z = z * np.sqrt(2 / np.prod(shape[1:]))
        return z.astype(np.float32)

    return make


@pytest.fixture(scope="session")
def filled(pseudo):
    """`filled(module)`: the module evaluating, every tensor pseudo-random but the front end's."""
    import torch

    def fill(module):
        state = module.state_dict()
        for name, own in state.items():
            if own.is_floating_point() and not name.startswith(CONSTRUCTED):
                state[name] = torch.from_numpy(pseudo(name, tuple(own.shape)))
        module.load_state_dict(state)
        return module.eval()

    return fill
