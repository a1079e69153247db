"""STAR as a system under test: speech encoder and bridge, then flow matching and VAE decoder."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stabench.systems.contract import Representation, Spans, Utterance, Waveform
from stabench.systems.networks.config import DTYPES, to_dict
from stabench.systems.star.config import SpeechEncoderConfig, StarConfig, parse_config, read_config

RANDOM = "random"
VARIANTS = ("eager", "folded", "graph", "compiled")
UNCAPTURED = ("eager", "folded")


class Star:
    """Speech in, sound out, no text between (arXiv 2509.17164).

    `config`: a StarConfig, a (partial) table, a JSON file, or None: the config.json beside the
    weights, or the full-size paper system. `weights`: a folder of `<part>.safetensors`, a table of
    part to file (or files, merged in order), or "random" (seeded, valid for latency only; sampler
    and decoder are then built by the first `generate`, so that `represent` alone stays small). In a
    table, `speech_encoder` may be a folder of transformers (HuBERT, WavLM, DAC) and `vae` EzAudio's
    `1m.pt`, or the folder that it is in; or names of the catalogue ("hubert-large-ll60k",
    "wavlm-large", "dac-24khz", "ezaudio-vae").

    `variant`: "eager" launches operation by operation; "graph" replays CUDA graphs, captured
    beforehand (for the generator: for the batch sizes `graph_batches`); "compiled" also fuses
    the operations of sampler and decoder with torch.compile. On a CPU "graph" only keeps the
    buffers of graphs; "folded" is what helps a small model there (FoldedGenerator), and is "eager"
    elsewhere. The remaining options overrule the config.
    """

    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = False
    default: ClassVar[StarConfig] = StarConfig()

    def __init__(
        self,
        config: StarConfig | Mapping[str, Any] | str | Path | None = None,
        weights: str | Path | Mapping[str, Any] = RANDOM,
        without_bridge: bool = False,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        variant: str = "eager",
        graph_batches: Sequence[int] = (1,),
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant!r}, allowed are {', '.join(VARIANTS)}")
        self.weights, self.seed = weights, seed
        self.variant, self.graph_batches = variant, tuple(graph_batches)
        base = _config(config, weights, self.default)
        options: dict[str, Any] = {"steps": steps, "guidance": guidance}
        overrides = {name: value for name, value in options.items() if value is not None}
        self.config = dataclasses.replace(
            base, sampler=dataclasses.replace(base.sampler, **overrides)
        )
        if without_bridge or self.default.bridge is None:
            self.config = dataclasses.replace(self.config, bridge=None)
        # The DAC ablation's name promises its encoder, and a config may ask for another one.
        kind = self.config.encoder.kind
        if self.default.encoder.kind == "dac" != kind:
            raise ValueError(
                f"encoder.kind is {kind!r}, but this ablation is 'dac'; set it in config"
            )
        self.sample_rate = self.config.vae.sample_rate_hz
        self._reader: Any = None
        self._generator: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Build the networks, fill them and move them; see systems.contract.System."""
        import torch

        from stabench.systems.networks.cuda_graph import new_pool
        from stabench.systems.star.speech_reader import GraphedSpeechReader, SpeechReader

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        self.device, self.dtype = device, getattr(torch, dtype)
        # One pool for all graphs of the system: no two of them ever run at the same time.
        self._pool = None if self.variant in UNCAPTURED else new_pool(torch.device(device))
        self._generator = None
        encoder, bridge = self._part("speech_encoder"), self._part("bridge")
        if self.variant in UNCAPTURED:
            self._reader = SpeechReader(encoder, bridge)
        else:
            self._reader = GraphedSpeechReader(encoder, bridge, self._pool)
        # Files are read now, so that a damaged one is told before anything is timed.
        if self.weights != RANDOM:
            self._generator = self._new_generator()

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """16 kHz speech to context tokens [1, S, W] on the device."""
        if speech.rate_hz != self.speech_rate_hz:
            raise ValueError(
                f"clip {speech.clip_id!r}: speech is {speech.rate_hz} Hz, expected "
                f"{self.speech_rate_hz} Hz; resample it before"
            )
        self._check_loaded()
        samples = np.ascontiguousarray(speech.samples, dtype=np.float32)
        return Representation(self._reader.read(samples, spans))

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """One waveform a clip, float32, of latent_frames at the VAE's rate."""
        contexts = [clip.payload for clip in representations]
        return self.generator.generate(contexts, seeds, spans)

    def load_generator(self) -> None:
        """Build sampler and decoder now, with random weights, instead of at the first clip."""
        self._check_loaded()
        if self._generator is None:
            self._generator = self._new_generator()

    def eager(self) -> AbstractContextManager[None]:
        """No CUDA graph is replayed inside; see systems.contract.Eager."""
        from stabench.systems.networks.cuda_graph import without_graphs

        return without_graphs()

    def provenance(self) -> dict[str, Any]:
        """The config, the variant, and where each part's weights come from (sha256, "random")."""
        from stabench.systems.star.parts import digests

        return {
            "config": to_dict(self.config),
            "variant": self.variant,
            "weights": digests(self.weights),
        }

    @property
    def generator(self) -> Any:
        """The second phase, a LatentGenerator; built now if nobody has asked before."""
        self.load_generator()
        return self._generator

    @property
    def parts(self) -> Any:
        """All networks, as systems.star.parts.Parts."""
        from stabench.systems.star.parts import Parts

        generator, reader = self.generator, self._reader
        return Parts(reader.encoder, reader.bridge, generator.udit, generator.vae)

    def _new_generator(self) -> Any:
        from stabench.systems.networks.graphed_generator import Contexts, GraphedGenerator
        from stabench.systems.networks.latent_generator import FoldedGenerator, LatentGenerator

        config = self.config
        parts = (self._part("udit"), self._part("vae"), config.sampler, config.latent_frames)
        if self.variant == "eager":
            return LatentGenerator(*parts)
        if self.variant == "folded":
            return FoldedGenerator(*parts)
        # A bridge makes as many tokens of every clip; without one their number is the speech's.
        tokens = config.bridge.queries if config.bridge else None
        contexts = Contexts(config.udit.context_width, tokens)
        return GraphedGenerator(*parts, contexts, self.graph_batches, self._pool)

    def _part(self, name: str) -> Any:
        from stabench.systems.star.parts import CompilesBlocks, load

        part = load(self.config, name, self.weights, self.seed, self.device, self.dtype)
        if self.variant == "compiled" and isinstance(part, CompilesBlocks):
            part.compile_blocks()
        return part

    def _check_loaded(self) -> None:
        if self._reader is None:
            raise RuntimeError("STAR is not loaded; call load(device, dtype) first")


class StarWithoutBridge(Star):
    """The ablation "w/o BridgeNet": speech frames go straight into the DiT's context."""

    default = StarConfig(bridge=None)


class StarDac(Star):
    """The ablation with a codec's encoder (DAC, 24 kHz) in place of the speech encoder."""

    default = StarConfig(encoder=SpeechEncoderConfig(kind="dac"))


def _config(
    config: StarConfig | Mapping[str, Any] | str | Path | None, weights: Any, default: StarConfig
) -> StarConfig:
    """The StarConfig that the options mean."""
    if isinstance(config, StarConfig):
        return config
    if isinstance(config, Mapping):
        return parse_config(config, "star config")
    if config is not None:
        return read_config(Path(config))
    if weights == RANDOM:
        return default
    if isinstance(weights, Mapping):
        raise ValueError("weights is a table of files, so config must be given; add config = ...")
    if weights == "published":
        raise FileNotFoundError(
            "weights 'published': no file of STAR's bridge and DiT is known here; whether the "
            "checkpoint of the authors' demo Space (wsntxxn/STAR) may be downloaded was not "
            "checked; set weights to a folder of trained ones, or to 'random' for latency"
        )
    return read_config(Path(weights) / "config.json")
