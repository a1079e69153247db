"""Training of the small DAC whose features the "DAC encoder" ablation hears instead of HuBERT's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DacConfig, DacModel

from stabench.pocket.configs import CODEC
from stabench.pocket.training.corpus import Corpus
from stabench.systems.star.speech_encoder import CodecEncoder
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.states import write
from stabench.systems.training.workplace import Workplace

if TYPE_CHECKING:
    from transformers.models.dac.modeling_dac import DacVectorQuantize

BATCH, CROP_SAMPLES = 12, 8_000
RESOLUTIONS = (128, 512, 1024)


class Codec(nn.Module):
    """The encoder of the ablation, with the decoder that it is trained through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = CodecEncoder(CODEC)
        whole = DacModel(
            DacConfig(
                encoder_hidden_size=CODEC.codec_base,
                decoder_hidden_size=8 * CODEC.codec_base,
                downsampling_ratios=list(CODEC.codec_strides),
                n_codebooks=CODEC.codec_books,
                sampling_rate=CODEC.codec_rate_hz,
            )
        )
        self.decoder = whole.decoder

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn [B, 1, N] into its reconstruction, the quantiser left out."""
        return self.decoder(self.encoder.model.encoder(waveform)).reshape(len(waveform), 1, -1)


def train_codec(data: Corpus, work: Workplace, steps: int = 400) -> CodecEncoder:
    """Train a codec of spoken captions: first its networks, then its codebooks."""
    torch.manual_seed(work.seeded(80))
    codec = Codec()
    _start_at_unit_scale(codec)

    def loss(rng: np.random.Generator) -> Tensor:
        speech = _draw_excerpts(data, rng)
        rebuilt = codec(speech)
        speech = speech[..., : rebuilt.shape[-1]]
        spectral = sum(_compare_spectra(rebuilt[:, 0], speech[:, 0], n) for n in RESOLUTIONS)
        return spectral + 5.0 * functional.l1_loss(rebuilt, speech)

    recipe = Recipe(steps, 8e-4, Trapezoid(50))
    fit(Stage("codec", codec, recipe, work), loss, seed=8)
    # Trained together, as DAC is, the codes of a network this small collapse within minutes.
    quantised = work.folder / "codec-quantised.pt"
    if quantised.exists():
        codec.encoder.load_state_dict(torch.load(quantised, weights_only=True))
    else:
        fit_codebooks(codec.encoder, _encode_excerpts(codec, data))
        write(codec.encoder.state_dict(), quantised)
    return codec.encoder.eval()


@torch.inference_mode()
def fit_codebooks(encoder: CodecEncoder, latents: Tensor, rounds: int = 8) -> float:
    """Fit residual quantisation to `latents` [M, W]; return the share of variance that it keeps.

    Each book projects what is left onto its main axes and clusters the directions (the lookup of
    DAC is by cosine); a code is the mean of its cluster.
    """
    generator = torch.Generator().manual_seed(0)
    left = latents
    # A ModuleList does not tell a type checker what it holds.
    for book in cast("Iterable[DacVectorQuantize]", encoder.model.quantizer.quantizers):
        mean = left.mean(0)
        axes = torch.linalg.eigh((left - mean).T @ (left - mean)).eigenvectors
        axes = axes[:, -book.codebook.weight.shape[1] :]
        points = (left - mean) @ axes
        codes = _cluster_directions(points, len(book.codebook.weight), rounds, generator)
        book.codebook.weight.copy_(codes)
        _set_projection(book.in_proj, axes.T[:, :, None], -mean @ axes)
        _set_projection(book.out_proj, axes[:, :, None], mean)
        left = left - codes[_find_nearest(points, codes)] @ axes.T - mean
    return float(1 - left.var(0).sum() / latents.var(0).sum())


def _set_projection(convolution: nn.Conv1d, weight: Tensor, bias: Tensor) -> None:
    assert convolution.bias is not None, "a projection of DAC without bias"
    convolution.weight.copy_(weight)
    convolution.bias.copy_(bias)


def _cluster_directions(
    points: Tensor, count: int, rounds: int, generator: torch.Generator
) -> Tensor:
    """Return `count` cluster means [K, D] of points [M, D] that are grouped by direction."""
    chosen = torch.randperm(len(points), generator=generator)[:count]
    codes = points[send(chosen, points.device)].clone()
    for _ in range(rounds):
        nearest = _find_nearest(points, codes)
        sums = torch.zeros_like(codes).index_add_(0, nearest, points)
        sizes = torch.bincount(nearest, minlength=count)[:, None]
        codes = torch.where(sizes > 0, sums / sizes.clamp_min(1), codes)
    return codes


def _find_nearest(points: Tensor, codes: Tensor) -> Tensor:
    return (functional.normalize(points) @ functional.normalize(codes).T).argmax(1)


@torch.inference_mode()
def _encode_excerpts(codec: Codec, data: Corpus, batches: int = 120) -> Tensor:
    """Return encoder outputs [M, W] of some excerpts."""
    rows = []
    for number in range(batches):
        speech = _draw_excerpts(data, np.random.default_rng([80, number]))
        rows.append(codec.encoder.model.encoder(speech).transpose(1, 2).flatten(0, 1))
    return torch.cat(rows)


def _start_at_unit_scale(codec: Codec) -> None:
    """Keep a signal's scale on its way in, and start the decoder's tanh far from saturation."""
    # transformers' own initialisation lets the signal fade to 2e-5.
    convolutions = [m for m in codec.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    for module in convolutions:
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        codec.decoder.conv2.weight *= 0.005


def _draw_excerpts(data: Corpus, rng: np.random.Generator) -> Tensor:
    """Draw half-second pieces of speech, [B, 1, N]."""
    pieces = []
    for index in rng.integers(len(data.utterances.marks), size=BATCH):
        speech = data.utterances[int(index)]
        start = int(rng.integers(0, len(speech) - CROP_SAMPLES))
        pieces.append(speech[start : start + CROP_SAMPLES])
    return send(np.stack(pieces), data.device)[:, None]


def _compare_spectra(rebuilt: Tensor, target: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=target.device)
    left, right = (
        torch.stft(x, n_fft, n_fft // 4, window=window, return_complex=True).abs().clamp_min(1e-4)
        for x in (rebuilt, target)
    )
    return functional.l1_loss(left.log(), right.log())
