"""A VGGish whose embedding is white on noise: untrained ones say nearly the same of all sounds.

FAD-infinity asks that the distance falls in line with 1 / frames. It does where many dimensions
vary from frame to frame, and not where one or two tell sounds apart.
"""

import torch
from torch import Tensor

from stabench.metrics.embedders.vggish import Vggish

NOISES, SECONDS = 60, 10
RIDGE = 1e-5


def whitened(network: Vggish) -> Vggish:
    """The network with another last layer: the principal components of noise, of unit size."""
    with torch.inference_mode():
        rows = network.features(torch.cat([network.examples(noise(i)) for i in range(NOISES)]))
        rows = rows.permute(0, 2, 3, 1).flatten(1)
        for layer in network.embeddings[:-1]:
            rows = layer(rows)
    last = network.embeddings[-1]
    values, vectors = torch.linalg.eigh(torch.cov(rows.double().T))
    values, vectors = values[-last.out_features :], vectors[:, -last.out_features :]
    weight = (vectors / (values + RIDGE * values[-1]).sqrt()).T
    state = {"weight": weight.float(), "bias": (-weight @ rows.double().mean(0)).float()}
    last.load_state_dict(state)
    return network


def noise(seed: int) -> Tensor:
    """Coloured noise whose loudness rises and falls, 16 kHz."""
    generator = torch.Generator().manual_seed(seed)
    slope, comb, speed, level = torch.rand(4, generator=generator).tolist()
    white = torch.fft.rfft(torch.randn(16_000 * SECONDS, generator=generator))
    pitch = torch.linspace(0, 1, len(white))
    colour = 10 ** ((1 - 3 * slope) * pitch) * (1 + comb * torch.sin((5 + 55 * comb) * pitch))
    sound = torch.fft.irfft(white * colour)
    time = torch.arange(len(sound)) / 16_000
    loudness = 10 ** (1.5 * level - 2) * (1 + 0.5 * torch.sin((1 + 19 * speed) * time))
    return sound / sound.std() * loudness
