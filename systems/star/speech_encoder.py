"""Speech to frames: HuBERT (raw or log-mel), WavLM or DAC, with padding that changes nothing."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from stabench.systems.networks.resample import resample
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.log_mel import LogMelFrontEnd, SamplesT

if TYPE_CHECKING:
    from transformers import HubertModel, WavLMModel

# HuBERT's and WavLM's front end (arXiv 2106.07447): 400 samples a frame, a hop of 320.
CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
# 25 ms: one frame of either front end; shorter speech is padded with zeros.
MIN_SAMPLES = 400


class Frames(NamedTuple):
    """Speech features: `frames` [B, T, width], `mask` bool [B, T], True where speech is."""

    frames: Tensor
    mask: Tensor


def build_speech_encoder(config: SpeechEncoderConfig) -> "SpeechEncoder | CodecEncoder":
    """The encoder that `config.kind` names; all map waveforms [B, N] to Frames."""
    return CodecEncoder(config) if config.kind == "dac" else SpeechEncoder(config)


class SpeechEncoder(nn.Module):
    """Last layer of HuBERT or WavLM over 16 kHz speech; no masking of any kind, also in training.

    HuBERT-Large ll60k was trained on normalised waveforms, STAR feeds it plain ones:
    `normalize_waveform` chooses. WavLM always normalises, as its checkpoints demand.
    """

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.normalises = config.normalize_waveform or config.kind == "wavlm"
        self.model = _transformer(config)

    @property
    def front_end(self) -> nn.Module:
        """What the waveform meets first: convolutions of the model's own, or a LogMelFrontEnd."""
        return self.model.feature_extractor

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Frames:
        """Waveforms [B, N], zero-padded to a batch; `lengths` int [B] in samples, None: all N."""
        waveform, lengths, whole = _prepare(waveform, lengths)
        hidden = self._features(waveform, lengths)
        if whole:
            encoded = self.model.encoder(hidden)
            return Frames(encoded.last_hidden_state, _mask_none(hidden))
        mask = _mask(self.count(lengths), hidden.shape[1])
        encoded = self.model.encoder(hidden, attention_mask=mask)
        return Frames(encoded.last_hidden_state, mask)

    def padded(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """As forward, but without a look at `lengths`: the host waits for nothing, and only work
        is launched. Waveforms are zero past their lengths; frames past the speech mean nothing."""
        hidden = self._features(waveform, lengths)
        encoder, count = self.model.encoder, hidden.shape[1]
        mask = _mask(self.count(lengths), count)
        # What transformers' encoder does with a mask. Zeroed first: the convolution of the
        # positions reaches past the end of the speech.
        hidden = hidden * mask[..., None]
        hidden = hidden + encoder.pos_conv_embed(hidden)
        # Four dimensions, which transformers takes as they are, without a look at the device.
        keys = mask[:, None, None].expand(-1, 1, count, -1)
        for layer in encoder.layers:
            hidden = layer(hidden, attention_mask=keys)
        return encoder.layer_norm(hidden)

    def count(self, samples: SamplesT) -> SamplesT:
        """Number of frames of so many samples, at least MIN_SAMPLES."""
        front_end = self.front_end
        if isinstance(front_end, LogMelFrontEnd):
            return front_end.frames(samples)
        for kernel, stride in zip(CONV_KERNELS, CONV_STRIDES, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def _features(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """What the transformer is fed, [B, T, width]."""
        if self.normalises:
            waveform = _normalise(waveform, lengths)
        front_end = self.front_end
        if isinstance(front_end, LogMelFrontEnd):
            features = front_end(waveform, lengths)
        else:
            dtype = self.model.feature_projection.projection.weight.dtype
            features = front_end(waveform.to(dtype))
        projected = self.model.feature_projection(features.transpose(1, 2))
        # WavLM returns its input beside the projection, HuBERT the projection alone.
        return projected[0] if isinstance(projected, tuple) else projected

    def fuse(self) -> "SpeechEncoder":
        """Multiply the position convolution's gain into its weight, for inference."""
        convolution = self.model.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(convolution):
            parametrize.remove_parametrizations(convolution, "weight")
        return self


class CodecEncoder(nn.Module):
    """Quantised continuous sum of a Descript codec (the paper's DAC row), without its decoder."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        from transformers import DacConfig, DacModel

        self.config = config
        self.model = DacModel(
            DacConfig(
                encoder_hidden_size=config.codec_base,
                downsampling_ratios=list(config.codec_strides),
                n_codebooks=config.codec_books,
                sampling_rate=config.codec_rate_hz,
            )
        )
        if self.model.config.hidden_size != config.width:
            raise ValueError(
                f"encoder.width is {config.width}, but this codec's is "
                f"{self.model.config.hidden_size} (codec_base doubled per stride); make them equal"
            )
        self.model.register_module("decoder", None)
        # Distances to a thousand codes lie closer together than half precision tells apart.
        quantizer = self.model.quantizer
        quantizer.keeps_float32 = True  # type: ignore[assignment]  # torch's stub: tensors alone
        # How many samples are frames of speech; set by `padded` alone, and read by the hooks.
        self._valid: Tensor | None = None
        for module in self.model.encoder.modules():
            # A kernel of 1 reaches no neighbour, so that padding cannot leak through it.
            if isinstance(module, nn.Conv1d) and module.kernel_size != (1,):
                module.register_forward_pre_hook(self._silence)

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Frames:
        """As SpeechEncoder. A convolutional codec sees padding, so unequal clips go one by one."""
        waveform, lengths, whole = _prepare(waveform, lengths)
        if whole:
            frames = self._encode(waveform)
            return Frames(frames, _mask_none(frames))
        rows = [
            self._encode(row[None, :length])[0]
            for row, length in zip(waveform, lengths.tolist(), strict=True)
        ]
        counts = torch.tensor([len(row) for row in rows], device=waveform.device)
        frames = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return Frames(frames, _mask(counts, frames.shape[1]))

    def padded(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """As SpeechEncoder's: convolutions see the zeros that a clip alone is padded with."""
        sound = self._resample(waveform)
        self._length = sound.shape[-1]
        heard = _ceil_ratio(lengths, self.config.codec_rate_hz, self.config.speech_rate_hz)
        sound = sound * _mask(heard, self._length)
        self._valid = self.count(lengths) * self.model.config.hop_length
        # Set for the hooks: each convolution zeroes what lies past the speech before it reads.
        try:
            return self._quantise(sound)
        finally:
            self._valid = None

    def count(self, samples: SamplesT) -> SamplesT:
        """Number of frames of so many samples."""
        sound = _ceil_ratio(samples, self.config.codec_rate_hz, self.config.speech_rate_hz)
        return -(-sound // self.model.config.hop_length)

    def fuse(self) -> "CodecEncoder":
        """Nothing to fuse: the codec is stored without weight norm."""
        return self

    def _encode(self, waveform: Tensor) -> Tensor:
        """[B, N] at the speech rate to [B, T, width]."""
        return self._quantise(self._resample(waveform))

    def _resample(self, waveform: Tensor) -> Tensor:
        """At the codec's rate, zero-padded to whole frames."""
        sound = resample(waveform, self.config.speech_rate_hz, self.config.codec_rate_hz)
        return functional.pad(sound, (0, -sound.shape[-1] % self.model.config.hop_length))

    def _quantise(self, sound: Tensor) -> Tensor:
        dtype = next(self.model.encoder.parameters()).dtype
        encoded = self.model.encoder(sound[:, None].to(dtype))
        quantised = self.model.quantizer(encoded.to(self._quantiser_dtype))[0]
        return quantised.to(dtype).transpose(1, 2)

    def _silence(self, convolution: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        """Zero what lies past the speech in a convolution's input [B, C, L]."""
        if self._valid is None:
            return None
        length = inputs[0].shape[-1]
        # Every layer has its own rate: the speech's share of the length is the same in all.
        inside = _mask(self._valid * length // self._length, length)
        return (inputs[0] * inside[:, None],)

    @property
    def _quantiser_dtype(self) -> torch.dtype:
        return next(self.model.quantizer.parameters()).dtype


def _transformer(config: SpeechEncoderConfig) -> "HubertModel | WavLMModel":
    """A transformers HubertModel or WavLMModel in the pre-LN ("stable") form."""
    from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

    settings: dict[str, Any] = {
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "hidden_dropout": config.dropout,
        "attention_dropout": config.dropout,
        "activation_dropout": config.dropout,
        "feat_proj_dropout": config.dropout,
        "layerdrop": 0.0,
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
        "feat_extract_norm": "layer",
        "conv_bias": config.kind == "hubert",
        "do_stable_layer_norm": True,
        "apply_spec_augment": False,
    }
    log_mel = config.kind.endswith("-logmel")
    if log_mel:
        # The raw-waveform front end is built at its smallest and thrown away.
        settings |= {"conv_dim": (config.width,), "conv_stride": (5,), "conv_kernel": (10,)}
    model: HubertModel | WavLMModel
    if config.kind.startswith("wavlm"):
        model = WavLMModel(WavLMConfig(**settings))
    else:
        model = HubertModel(HubertConfig(**settings))
    if log_mel:
        model.register_module("feature_extractor", LogMelFrontEnd(config))
    return model


def _prepare(waveform: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, bool]:
    """Speech of at least MIN_SAMPLES, lengths [B], and whether all rows are equally long."""
    waveform = functional.pad(waveform, (0, max(0, MIN_SAMPLES - waveform.shape[-1])))
    size = waveform.shape[-1]
    if lengths is None:
        return waveform, torch.full(waveform.shape[:1], size, device=waveform.device), True
    lengths = lengths.to(waveform.device).clamp_min(MIN_SAMPLES)
    longest = int(lengths.max())
    if longest > size:
        raise ValueError(f"speech of {longest} samples in a batch of {size}; pad to the longest")
    return waveform * _mask(lengths, size), lengths, bool((lengths == size).all())


def _normalise(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean and unit variance over each row's first `lengths` samples, zero beyond."""
    inside = _mask(lengths, waveform.shape[-1])
    count = lengths[:, None].to(waveform.dtype)
    centred = (waveform - (waveform * inside).sum(1, keepdim=True) / count) * inside
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * torch.rsqrt(variance + 1e-5)


def _mask(counts: Tensor, size: int) -> Tensor:
    """Bool [B, size], True in the first `counts` [B]."""
    return torch.arange(size, device=counts.device) < counts[:, None]


def _mask_none(frames: Tensor) -> Tensor:
    """The mask of frames [B, T, width] that are all speech."""
    return frames.new_ones(frames.shape[:2], dtype=torch.bool)


def _ceil_ratio(samples: SamplesT, up: int, down: int) -> SamplesT:
    """samples * up / down, rounded up."""
    return -(-samples * up // down)
