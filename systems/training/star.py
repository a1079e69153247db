"""STAR trained from prepared data: stage 1, stage 2, and the folder that `Star` loads by itself.

`stabench train` calls this with the tables `[stage1]` and `[stage2]` of a recipe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch

from stabench.systems.networks.config import (
    STRICT,
    SamplerConfig,
    UDiTConfig,
    check_one_of,
    parse_strict,
)
from stabench.systems.networks.ezaudio_weights import udit_file
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.config import StarConfig
from stabench.systems.star.parts import RANDOM, Files, Weights, find_place, read_part
from stabench.systems.training.clip_table import open_labels, read_clips
from stabench.systems.training.compute import Accelerated, Compute
from stabench.systems.training.device import choose
from stabench.systems.training.extract import SpeechFrames, VaeLatents
from stabench.systems.training.feature_store import open_frames, open_latents
from stabench.systems.training.loop import Records
from stabench.systems.training.stage1 import (
    Chosen,
    Labelled,
    Measure,
    Stage1Config,
    read_bridge,
    read_recipe,
    train_bridge,
)
from stabench.systems.training.stage2 import (
    Stage2Config,
    read_states,
    start_udit,
    train_stage2,
    write_star,
)
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network
from stabench.systems.training.stage2_validation import Renderer, Stage2Validation
from stabench.systems.training.workplace import Workplace

BRIDGE, GENERATOR, SYSTEM = "bridge", "generator", "star"
Dtype = Literal["float32", "float16", "bfloat16"]
Kind = Literal["hubert", "wavlm", "dac"]


class SplitFiles(NamedTuple):
    """Where `stabench prepare` left a split: its table of clips, and stores with their digests."""

    clips: Path
    frames: tuple[Path, str]
    latents: tuple[Path, str] | None


@dataclass(frozen=True)
class ValidationConfig:
    """How often stage 2 is validated, on how many clips, and how many of them are rendered."""

    __pydantic_config__ = STRICT
    every: int = 1000
    clips: int = 500
    patience: int | None = None
    samples: int = 0


@dataclass(frozen=True)
class Stage2Recipe:
    """The table `[stage2]`: the training, the system that it makes, and what it starts from.

    `start` is EzAudio's transformer, folded (its name in the catalogue or its file), a file of
    ours, or "random". `dtype` is that of the trained system's files. Its encoder, bridge and VAE
    are those of features, stage 1 and latents.
    """

    __pydantic_config__ = STRICT
    start: str = "ezaudio-l"
    without_bridge: bool = False
    dtype: Dtype = "float16"
    training: Stage2Config = field(default_factory=Stage2Config)
    udit: UDiTConfig = field(default_factory=UDiTConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    latent_frames: int = 500
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        check_one_of("stage2.dtype", self.dtype, get_args(Dtype))


class StarTraining:
    """Both stages of one recipe in the folder `out`; begun again, each goes on where it was.

    `stage1` and `stage2` are the recipe's tables, `encoder` and `vae` what features and latents
    were made with: options of the registered networks. Raises ValueError in one line for whatever
    is wrong in a table.
    """

    def __init__(
        self,
        stage1: Mapping[str, Any],
        stage2: Mapping[str, Any],
        kind: str,
        encoder: Mapping[str, Any],
        vae: Mapping[str, Any],
        splits: Mapping[str, SplitFiles],
        out: Path,
    ) -> None:
        check_one_of("data.speech_encoder.use", kind, get_args(Kind))
        self.stage1: Stage1Config = read_recipe("qformer", stage1, "stage1")
        self.stage2 = parse_strict(Stage2Recipe, stage2, "stage2")
        # As `stabench prepare` calls them: the names are the registry's.
        names = {"hubert": "hubert-large-ll60k", "wavlm": "wavlm-large", "dac": "dac-24khz"}
        self._encoder = SpeechFrames(**{"kind": kind, "weights": names[kind], **encoder})
        self._vae = VaeLatents(**vae)
        self.splits, self.out = dict(splits), out

    @property
    def log(self) -> Path:
        """The curves of stage 2."""
        return Workplace(self.out, torch.device("cpu")).folder / f"{GENERATOR}.log.jsonl"

    def train_bridge(self, device: str | None, measure: Measure) -> float:
        """Train stage 1; return what `measure` (mAP) gives on the validation split."""
        work = Workplace(self.out, choose(device))
        splits = {name: self._open_labelled(name, work) for name in ("train", "validation")}
        return train_bridge(self.stage1, splits, work, BRIDGE, measure)

    def train_generator(
        self,
        device: str | None,
        precision: str | None = None,
        score: Callable[[Path], Mapping[str, float]] | None = None,
    ) -> Path:
        """Train stage 2; return the folder of the trained system.

        `precision` asks for accelerate, whose environment says how many processes there are.
        `score` gets each folder of rendered sounds. Raises FileNotFoundError before stage 1 is
        finished.
        """
        compute = Accelerated(precision, device) if precision else Compute()
        where = compute.device if isinstance(compute, Accelerated) else choose(device)
        work = Workplace(self.out, where)
        bridge = None if self.stage2.without_bridge else self._read_bridge(work)
        config = self._describe_system(bridge)
        pairs = {name: self._open_pairs(name, bridge, work) for name in ("train", "validation")}
        start = self.stage2.start
        if start != RANDOM:
            start = str(udit_file(find_place(start)))
        udit = start_udit(config.udit, start, self.stage2.training.seed)
        network = Stage2Network(udit, bridge.projection if bridge else None)
        vae = read_part(config, "vae", self._frozen, seed=0)
        validation = self._plan_validation(config, vae, pairs["validation"], score, where)
        train_stage2(
            GENERATOR,
            self.stage2.training,
            pairs["train"],
            network,
            work,
            compute,
            validation,
            # A state is some 10 GB at full size.
            Records(save_every=self.stage2.validation.every, keep=2, tensorboard=True),
        )
        folder = self.out / SYSTEM
        if compute.first:
            write_star(folder, config, self._frozen, network, bridge, self.stage2.dtype)
        compute.wait()
        return folder

    def list_samples(self) -> dict[str, tuple[str, Path]]:
        """Return caption and recording of each sound that validation renders, by clip."""
        table = read_clips(self._find_split("validation").clips, "id", "caption", "recording")
        rows = zip(table["id"], table["caption"], map(Path, table["recording"]), strict=True)
        return {clip: (caption, path) for clip, caption, path in list(rows)[: self._samples]}

    @property
    def _frozen(self) -> Weights:
        """The weights of speech encoder and VAE, as Star takes them."""
        weights: dict[str, Files] = {
            "speech_encoder": self._encoder.weights,
            "vae": self._vae.weights,
        }
        if RANDOM not in weights.values():
            return weights
        if set(weights.values()) != {RANDOM}:
            raise ValueError(
                f"speech encoder '{self._encoder.weights}' and VAE '{self._vae.weights}': one of "
                "them is random; both or none can be, to see what training costs"
            )
        return RANDOM

    @property
    def _samples(self) -> int:
        return self.stage2.validation.samples

    def _open_labelled(self, name: str, work: Workplace) -> Labelled:
        files = self._find_split(name)
        labels = open_labels(files.clips, work.device)
        frames = open_frames(files.frames[0], work.device, files.frames[1])
        targets = labels.targets.cpu().numpy() > 0
        return Labelled(Chosen(frames, labels.clips), targets[labels.clips])

    def _open_pairs(self, name: str, bridge: Bridge | None, work: Workplace) -> Stage2Data:
        files = self._find_split(name)
        if files.latents is None:
            raise ValueError(
                f"split '{name}' has no latents; add recordings and vae to [data] and run "
                "stabench prepare"
            )
        frames = open_frames(files.frames[0], work.device, files.frames[1])
        latents = open_latents(files.latents[0], work.device, files.latents[1])
        return Stage2Data(read_states(bridge, frames) if bridge else frames, latents)

    def _find_split(self, name: str) -> SplitFiles:
        if name not in self.splits:
            raise ValueError(f"split '{name}' is not prepared; give csv.{name} and prepare it")
        return self.splits[name]

    def _read_bridge(self, work: Workplace) -> Bridge:
        path = work.folder / f"{BRIDGE}.pt"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: stage 1 is not finished; train it first: --stage 1")
        return read_bridge(self.stage1, self._encoder.read_config().width, path).to(work.device)

    def _describe_system(self, bridge: Bridge | None) -> StarConfig:
        return StarConfig(
            encoder=self._encoder.read_config(),
            bridge=bridge.config if bridge else None,
            udit=self.stage2.udit,
            vae=self._vae.config,
            sampler=self.stage2.sampler,
            latent_frames=self.stage2.latent_frames,
        )

    def _plan_validation(
        self,
        config: StarConfig,
        vae: Any,
        pairs: Stage2Data,
        score: Callable[[Path], Mapping[str, float]] | None,
        device: torch.device,
    ) -> Stage2Validation:
        settings = self.stage2.validation
        renderer = None
        if self._samples:
            renderer = Renderer(
                vae.to(device),
                config.sampler,
                config.latent_frames,
                tuple(self.list_samples()),
                score,
            )
        return Stage2Validation(pairs, settings.every, settings.clips, settings.patience, renderer)
