"""STAR as a system under test: speech encoder and bridge, then flow matching and VAE decoder."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from systems.contract import Representation, Spans, Utterance, Waveform
from systems.star.config import StarConfig, from_dict, read_config, to_dict
from systems.weights import sha256

RANDOM = "random"
Files = str | Path | Sequence[str | Path]
"""One file of tensors, or several of which the later ones overrule the earlier."""
DTYPES = ("float32", "bfloat16", "float16")


class Parts(NamedTuple):
    """The loaded networks; `bridge` is None for "w/o BridgeNet"."""

    speech_encoder: Any
    bridge: Any
    udit: Any
    vae: Any


class Star:
    """Speech in, sound out, no text between (arXiv 2509.17164).

    `config`: a StarConfig, a (partial) table, a JSON file, or None: the config.json beside the
    weights, or the full-size paper system. `weights`: a folder of `<part>.safetensors`, a table of
    part to file (or files, merged in order), or "random" (seeded, valid for latency only). The
    remaining options overrule the config.
    """

    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = False

    def __init__(
        self,
        config: StarConfig | Mapping[str, Any] | str | Path | None = None,
        weights: str | Path | Mapping[str, Files] = RANDOM,
        without_bridge: bool = False,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ) -> None:
        self.weights = weights
        self.seed = seed
        self.config = _overruled(_config(config, weights), without_bridge, steps, guidance)
        self.sample_rate = self.config.vae.sample_rate_hz
        self.parts: Parts | None = None

    def load(self, device: str, dtype: str) -> None:
        """Build the networks, fill them and move them; see systems.contract.System."""
        import torch

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        parts = build_parts(self.config, self.seed)
        if self.weights != RANDOM:
            _fill(parts, self.weights)
        parts.speech_encoder.fuse()
        parts.vae.fuse()
        kind = getattr(torch, dtype)
        self.parts = Parts(
            *(None if part is None else part.eval().to(device, kind) for part in parts)
        )
        self.device, self.dtype = device, kind

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """16 kHz speech to context tokens [1, S, W] on the device."""
        import torch

        if speech.rate_hz != self.speech_rate_hz:
            raise ValueError(
                f"clip {speech.clip_id!r}: speech is {speech.rate_hz} Hz, expected "
                f"{self.speech_rate_hz} Hz; resample it before"
            )
        parts = self._loaded()
        with torch.inference_mode():
            with spans("speech_encoder"):
                samples = np.ascontiguousarray(speech.samples, dtype=np.float32)
                waveform = torch.from_numpy(samples).to(self.device)[None]
                tokens = parts.speech_encoder(waveform).frames
            if parts.bridge is not None:
                with spans("bridge"):
                    tokens = parts.bridge(tokens)
        return Representation(tokens.to(self.dtype))

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """One waveform a clip, float32, of latent_frames at the VAE's rate."""
        from systems.star.latent_generator import LatentGenerator

        parts, config = self._loaded(), self.config
        generator = LatentGenerator(parts.udit, parts.vae, config.sampler, config.latent_frames)
        return generator.generate([clip.payload for clip in representations], seeds, spans)

    def provenance(self) -> dict[str, Any]:
        """The config, and where each part's weights come from (sha256, or "random")."""
        return {"config": to_dict(self.config), "weights": _digests(self.weights)}

    def _loaded(self) -> Parts:
        if self.parts is None:
            raise RuntimeError("STAR is not loaded; call load(device, dtype) first")
        return self.parts


def _config(config: StarConfig | Mapping[str, Any] | str | Path | None, weights: Any) -> StarConfig:
    """The StarConfig that the options mean."""
    if isinstance(config, StarConfig):
        return config
    if isinstance(config, Mapping):
        return from_dict(StarConfig, dict(config), "star config")
    if config is not None:
        return read_config(Path(config))
    if weights == RANDOM:
        return StarConfig()
    if isinstance(weights, Mapping):
        raise ValueError("weights is a table of files, so config must be given; add config = ...")
    return read_config(Path(weights) / "config.json")


def _overruled(
    config: StarConfig, without_bridge: bool, steps: int | None, guidance: float | None
) -> StarConfig:
    changes = {"steps": steps, "guidance": guidance}
    given = {name: value for name, value in changes.items() if value is not None}
    config = dataclasses.replace(config, sampler=dataclasses.replace(config.sampler, **given))
    return dataclasses.replace(config, bridge=None) if without_bridge else config


def build_parts(config: StarConfig, seed: int) -> Parts:
    """The networks on the CPU, initialised from `seed`: the same weights on every device."""
    import torch

    from systems.star.bridge import Bridge
    from systems.star.speech_encoder import build_speech_encoder
    from systems.star.udit import UDiT
    from systems.star.vae import build_vae

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bridge = None if config.bridge is None else Bridge(config.bridge)
        encoder = build_speech_encoder(config.encoder)
        return Parts(encoder, bridge, UDiT(config.udit), build_vae(config.vae))


def _fill(parts: Parts, weights: str | Path | Mapping[str, Files]) -> None:
    """Read every part from its file, or files."""
    from systems.star.checkpoint import load_part, part_file

    for name, part in parts._asdict().items():
        if part is None:
            continue
        if not isinstance(weights, Mapping):
            path = part_file(Path(weights), name)
        elif name in weights:
            path = _paths(weights[name])
        else:
            raise ValueError(f"weights names no file for {name!r}; add {name} = ... to the table")
        load_part(path, part)


def _paths(files: Files) -> Path | list[Path]:
    return Path(files) if isinstance(files, str | Path) else [Path(each) for each in files]


def _digests(weights: str | Path | Mapping[str, Files]) -> str | dict[str, str]:
    """sha256 of every weights file, by part."""
    if weights == RANDOM:
        return RANDOM
    if isinstance(weights, Mapping):
        return {part: sha256(_paths(files)) for part, files in weights.items()}
    files = sorted(Path(weights).glob("*.safetensors"))
    return {path.stem: sha256(path) for path in files}
