"""What stage 2 is judged by while it trains: a loss at a fixed time, and sounds that it renders."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.latent_generator import LatentGenerator
from stabench.systems.networks.vae import Vae
from stabench.systems.star.flow_matching import FlowDraw
from stabench.systems.training.loop import Stage, Validation
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network

# The authors' code validates at u = 0.5, half way between noise and sound.
FIXED_TIME = 0.5


@dataclass(frozen=True)
class Renderer:
    """Renders the first sounds of the validation split, one for each name in `ids`.

    They are WAV files in `<folder of the stage>/samples/<stage>/step-000500/`. `score` gets that
    folder; what it returns is logged. The noise of a sound is the same at every step, so that
    curves move by training alone.
    """

    vae: Vae
    sampler: SamplerConfig
    latent_frames: int
    ids: Sequence[str]
    score: Callable[[Path], Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        for name in self.ids:
            if Path(name).name != name:
                raise ValueError(f"sound {name!r} cannot be the name of a file; give it another")

    def render(self, network: Stage2Network, data: Stage2Data, folder: Path, batch: int) -> None:
        """Write the sounds of `network`, `batch` at a time."""
        import soundfile

        folder.mkdir(parents=True, exist_ok=True)
        generator = LatentGenerator(network.udit, self.vae, self.sampler, self.latent_frames)
        for start in range(0, len(self.ids), batch):
            sounds = np.arange(start, min(start + batch, len(self.ids)))
            frames, mask = data.heard(sounds, np.random.default_rng(start))
            contexts = [
                network.context(row[None] if network.projection else row[None, inside])
                for row, inside in zip(frames, mask, strict=True)
            ]
            rendered = generator.generate(contexts, sounds.tolist(), lambda _: nullcontext())
            names = self.ids[start : start + batch]
            for name, waveform in zip(names, rendered, strict=True):
                path = folder / f"{name}.wav"
                soundfile.write(path, waveform.samples, waveform.rate_hz, subtype="FLOAT")


@dataclass(frozen=True)
class Stage2Validation:
    """Every `every` steps: the loss on at most `clips` sounds, by which the best weights are kept.

    Nothing is drawn anew from one validation to the next. `patience` as in Validation.
    """

    data: Stage2Data
    every: int = 1000
    clips: int = 500
    patience: int | None = None
    renderer: Renderer | None = None

    def of_stage(self, stage: Stage) -> Validation:
        """Return the loop's validation of a stage 2."""
        batch, sounds = stage.batch or 1, len(self.data.latents)
        if self.renderer and len(self.renderer.ids) > sounds:
            raise ValueError(
                f"{len(self.renderer.ids)} sounds are to be rendered, but the validation split has "
                f"{sounds}; name fewer"
            )

        def score(network: torch.nn.Module, step: int) -> float:
            assert isinstance(network, Stage2Network), "what stage 2 trains"
            if self.renderer:
                folder = stage.work.folder / "samples" / stage.name / f"step-{step:06d}"
                self.renderer.render(network, self.data, folder, batch)
                if self.renderer.score:
                    stage.log.append(step, self.renderer.score(folder))
            return self.compute_loss(network, batch)

        return Validation(self.every, score, "lower", self.patience)

    def compute_loss(self, network: Stage2Network, batch: int) -> float:
        """Return the mean loss of the sounds at the fixed time, nothing dropped."""
        count = min(self.clips, len(self.data.latents))
        total = 0.0
        for start in range(0, count, batch):
            rng = np.random.default_rng(start)
            sounds = np.arange(start, min(start + batch, count))
            latents, latent_mask = self.data.latents.batch(sounds, rng)
            frames, mask = self.data.heard(sounds, rng)
            noise = rng.standard_normal(latents.shape, dtype=np.float32)
            draw = FlowDraw(
                time=torch.full((len(sounds),), FIXED_TIME),
                noise=torch.from_numpy(noise),
                keep=torch.ones(len(sounds), dtype=torch.bool),
            )
            loss = network.loss(latents, latent_mask, frames, mask, draw)
            total += float(loss) * len(sounds)
        return total / count
