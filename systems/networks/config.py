"""The sizes of networks: frozen, checked, to plain values."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar

Config = TypeVar("Config")

# How pydantic reads a config: no unknown keys, and no text or truth for a number.
STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class UDiTConfig:
    """The velocity field (paper section 3.3): `depth` counts in- and out-blocks, one mid block is
    added. `patch_size` latent frames make one token (STAR: 1)."""

    __pydantic_config__ = STRICT
    in_channels: int = 128
    width: int = 1024
    heads: int = 16
    depth: int = 24
    mlp_ratio: int = 4
    lora_rank: int = 32
    lora_alpha: int = 32
    context_width: int = 1024
    patch_size: int = 1

    def __post_init__(self) -> None:
        check_divides("udit.width", self.width, "udit.heads", self.heads)
        check_divides("udit.depth", self.depth, "2 (in- and out-blocks)", 2)
        if self.width // self.heads % 2:
            raise ValueError(
                f"udit head width {self.width // self.heads} is odd, rotary positions need an even "
                "one; change udit.width or udit.heads"
            )


@dataclass(frozen=True)
class VaeConfig:
    """The autoencoder. `waveform` is EzAudio's Oobleck; `spectrogram` is the same network over
    log-magnitude STFT frames (`n_fft`, `hop`), phase by Griffin-Lim: a declared deviation for
    small models. `log_centre` and `log_spread` bring log-magnitudes to about zero mean and unit
    variance; its sound is turned down to a peak of `full_scale`."""

    __pydantic_config__ = STRICT
    kind: Literal["waveform", "spectrogram"] = "waveform"
    sample_rate_hz: int = 24_000
    latent_channels: int = 128
    ratios: tuple[int, ...] = (2, 4, 6, 10)
    multiples: tuple[int, ...] = (1, 2, 4, 8)
    base: int = 128
    n_fft: int = 512
    hop: int = 160
    griffin_lim_iterations: int = 32
    momentum: float = 0.9
    softening: float = 0.0
    log_centre: float = -3.0
    log_spread: float = 3.0
    full_scale: float = 1.0

    def __post_init__(self) -> None:
        check_one_of("vae.kind", self.kind, ("waveform", "spectrogram"))
        if len(self.ratios) != len(self.multiples):
            raise ValueError(
                f"vae.ratios {self.ratios} and vae.multiples {self.multiples} differ in length; "
                "give one channel multiple per ratio"
            )
        if any(ratio % 2 for ratio in self.ratios):
            raise ValueError(
                f"vae.ratios {self.ratios} holds an odd ratio, whose output is a sample short; "
                "use even ratios"
            )


@dataclass(frozen=True)
class SamplerConfig:
    """Euler steps from t = 1 (noise) to 0 (data), sway coefficient, guidance weight (1: none).

    `integer_time` floors 1000 t as the reference inference does. `reference_nfe_quirk` spends the
    reference's 21st, zero-length evaluation: same latents, 5 % more work.
    """

    __pydantic_config__ = STRICT
    steps: int = 20
    guidance: float = 5.0
    sway: float = -1.0
    integer_time: bool = True
    reference_nfe_quirk: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"sampler.steps is {self.steps}, allowed are 1 and more")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain JSON types (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def check_divides(name: str, value: int, by_name: str, by: int) -> None:
    if by < 1 or value % by:
        raise ValueError(f"{name} is {value}, which {by_name} = {by} does not divide")


def check_equal(name: str, value: int, other_name: str, other: int) -> None:
    if value != other:
        raise ValueError(f"{name} is {value}, but {other_name} is {other}; make them equal")


def check_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, allowed are {', '.join(allowed)}")


DTYPES = ("float32", "bfloat16", "float16")


def parse_strict(config: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Return the config, a dataclass of defaults, that a table of values describes.

    Raises ValueError that begins with `where` and names the key: an unknown one with the nearest,
    a value of another type, values that do not go together.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        # As JSON, whose lists are tuples and whose whole numbers are floats where one is asked for.
        return TypeAdapter(config).validate_json(json.dumps(values, default=repr))
    except ValidationError as error:
        raise ValueError(_explain(error.errors()[0], where, to_dict(config()))) from error


def _explain(error: Mapping[str, Any], where: str, known: dict[str, Any]) -> str:
    path = [where, *map(str, error["loc"])]
    if error["type"] == "value_error":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    if error["type"] != "unexpected_keyword_argument":
        return f"{'.'.join(path)}: {error['msg']} (got {error['input']!r})"
    for key in path[1:-1]:
        known = known[key]
    near = get_close_matches(path[-1], known, n=1)
    advice = f"did you mean {near[0]!r}" if near else f"allowed are {', '.join(known)}"
    return f"{'.'.join(path[:-1])}: unknown key {path[-1]!r}; {advice}"
