"""The sizes of networks: frozen, checked, from and to plain values."""

import dataclasses
import difflib
import json
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class UDiTConfig:
    """The velocity field (paper section 3.3): `depth` counts in- and out-blocks, one mid block is
    added. `patch_size` latent frames make one token (STAR: 1)."""

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

    steps: int = 20
    guidance: float = 5.0
    sway: float = -1.0
    integer_time: bool = True
    reference_nfe_quirk: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"sampler.steps is {self.steps}, allowed are 1 and more")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON types (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(kind: type[T], values: dict[str, Any], where: str = "config") -> T:
    """Build a config of class `kind`; an unknown key is a ValueError that names the nearest one."""
    hints = typing.get_type_hints(kind)
    known = [entry.name for entry in dataclasses.fields(kind)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"did you mean {near[0]!r}" if near else f"allowed are {', '.join(known)}"
            raise ValueError(f"{where}: unknown key {key!r}; {advice}")
    return kind(
        **{key: _value(hints[key], given, f"{where}.{key}") for key, given in values.items()}
    )


def _value(hint: Any, given: Any, where: str) -> Any:
    """`given` as the annotated type: nested configs, tuples, and a float written as an int."""
    if isinstance(hint, types.UnionType):
        if given is None:
            return None
        hint = next(part for part in hint.__args__ if part is not type(None))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(given, dict):
            raise ValueError(f"{where}: {given!r} is not a table of keys")
        return from_dict(hint, given, where)
    if typing.get_origin(hint) is tuple:
        return tuple(given)
    if hint is float and type(given) is int:
        return float(given)
    if isinstance(hint, type) and type(given) is not hint:
        raise ValueError(f"{where}: {given!r} is a {type(given).__name__}, not a {hint.__name__}")
    return given


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
