"""The shape of a STAR system: frozen, torch-free, read from and written to strict JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stabench.checkpoints.tensors import read_json
from stabench.systems.networks.config import (
    STRICT,
    SamplerConfig,
    UDiTConfig,
    VaeConfig,
    check_divides,
    check_equal,
    check_one_of,
    parse_strict,
)


@dataclass(frozen=True)
class BridgeConfig:
    """The Q-Former bridge (paper section 3.2): `queries` learned tokens read the speech frames."""

    __pydantic_config__ = STRICT
    layers: int = 2
    queries: int = 32
    width: int = 768
    heads: int = 12
    ffn: int = 3072
    encoder_width: int = 1024
    output_width: int = 1024
    cross_attention_frequency: int = 2

    def __post_init__(self) -> None:
        check_divides("bridge.width", self.width, "bridge.heads", self.heads)


@dataclass(frozen=True)
class SpeechEncoderConfig:
    """The speech encoder. Defaults are HuBERT-Large ll60k.

    `hubert-logmel` and `wavlm-logmel` are the same transformers behind `mel_bins` log-mel bands and
    strided convolutions (`mel_strides`, 10 ms each): a declared deviation for small models. The
    `codec_*` fields hold the DAC of kind `dac`, `speech_rate_hz` is what every kind is fed with.
    """

    __pydantic_config__ = STRICT
    kind: Literal["hubert", "hubert-logmel", "wavlm", "wavlm-logmel", "dac"] = "hubert"
    width: int = 1024
    layers: int = 24
    heads: int = 16
    ffn: int = 4096
    dropout: float = 0.1
    position_kernel: int = 128
    position_groups: int = 16
    normalize_waveform: bool = False
    speech_rate_hz: int = 16_000
    mel_bins: int = 80
    mel_window: int = 400
    mel_hop: int = 160
    mel_strides: tuple[int, ...] = (2, 1)
    codec_rate_hz: int = 24_000
    codec_strides: tuple[int, ...] = (2, 4, 5, 8)
    codec_base: int = 64
    codec_books: int = 32

    def __post_init__(self) -> None:
        check_divides("encoder.width", self.width, "encoder.heads", self.heads)
        kinds = ("hubert", "hubert-logmel", "wavlm", "wavlm-logmel", "dac")
        check_one_of("encoder.kind", self.kind, kinds)


@dataclass(frozen=True)
class StarConfig:
    """A whole system; `StarConfig()` is the paper's. `bridge=None` is "w/o BridgeNet": speech
    frames go straight into the UDiT's context. `latent_frames` fixes the output length."""

    __pydantic_config__ = STRICT
    encoder: SpeechEncoderConfig = field(default_factory=SpeechEncoderConfig)
    bridge: BridgeConfig | None = field(default_factory=BridgeConfig)
    udit: UDiTConfig = field(default_factory=UDiTConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    latent_frames: int = 500

    def __post_init__(self) -> None:
        # Without a bridge the encoder's frames themselves are the context.
        context = self.bridge.output_width if self.bridge else self.encoder.width
        check_equal(
            "udit.context_width", self.udit.context_width, "the width that feeds it", context
        )
        check_equal(
            "udit.in_channels",
            self.udit.in_channels,
            "vae.latent_channels",
            self.vae.latent_channels,
        )
        check_divides("latent_frames", self.latent_frames, "udit.patch_size", self.udit.patch_size)
        if self.bridge:
            check_equal(
                "bridge.encoder_width",
                self.bridge.encoder_width,
                "encoder.width",
                self.encoder.width,
            )


def read_config(path: Path) -> StarConfig:
    """Return the StarConfig in a JSON file; FileNotFoundError or ValueError name the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a STAR folder needs its config.json")
    return parse_config(read_json(path), str(path))


def parse_config(values: Mapping[str, Any], where: str = "config") -> StarConfig:
    """Return the StarConfig of a table; keys that are not there take the paper's values.

    Raises ValueError that begins with `where` and names the key: an unknown one with the nearest,
    a value of another type, sizes that do not go together.
    """
    return parse_strict(StarConfig, values, where)
