"""Stage 2: the DiT learns to follow speech, by flow matching; full size and pocket alike.

Frozen are the speech encoder and the Q-Former, whose states are read from `Frames`, and the VAE,
whose latents are read from `Latents`. Trained are the DiT and the bridge's output layer (the
authors' code; the paper says that the bridge is frozen). Sources: arXiv 2509.17164 section 3.3, and
the training tree of zeyuxie29/STAR for what the paper leaves open.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stabench.systems.networks.checkpoint import load_part, part_file, save_part, write_config
from stabench.systems.networks.config import STRICT, UDiTConfig, check_one_of
from stabench.systems.networks.ezaudio_weights import read_udit, recognise
from stabench.systems.networks.udit import UDiT
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.config import StarConfig
from stabench.systems.star.flow_matching import (
    TimeSampler,
    draw_flow,
    logit_normal,
    toward_noise,
    uniform,
)
from stabench.systems.star.parts import NAMES, RANDOM, Weights, read_part
from stabench.systems.training.compute import Compute
from stabench.systems.training.data import Frames, TensorFrames
from stabench.systems.training.loop import Recipe, Records, Stage, StepGenerator, fit
from stabench.systems.training.schedules import Constant, Trapezoid
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network
from stabench.systems.training.stage2_validation import Stage2Validation
from stabench.systems.training.workplace import Workplace

T_SAMPLERS: dict[str, Callable[[], TimeSampler]] = {
    "logit-normal": logit_normal,
    "uniform": uniform,
    "toward-noise": toward_noise,
}
# "1 x 5^-5", as the paper prints it.
PAPER_RATE = 5.0**-5
READ_AT_ONCE = 64


@dataclass(frozen=True)
class Stage2Config:
    """How stage 2 trains; the defaults are those of the authors' code at full size.

    `paper_rate` takes the rate that the paper prints (3.2e-4) instead of `rate`. The rate stays
    after `warmup` steps, or with `decay` falls to 0 over that last share of them. `steps` replaces
    `epochs`. In the order "passes" every sound comes once an epoch, in an order drawn from seed and
    epoch; in the order "draws" batches are drawn with replacement. The DiT's tensors whose name
    holds `frozen` stay as they are.
    """

    __pydantic_config__ = STRICT
    rate: float = 2.5e-5
    paper_rate: bool = False
    warmup: int = 1000
    decay: float | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    ema: float | None = None
    epochs: int = 100
    steps: int | None = None
    batch: int = 16
    drop: float = 0.2
    t_sampling: Literal["logit-normal", "uniform", "toward-noise"] = "logit-normal"
    train_projection: bool = True
    frozen: str | None = None
    order: Literal["passes", "draws"] = "passes"
    seed: int = 42

    def __post_init__(self) -> None:
        check_one_of("stage2.t_sampling", self.t_sampling, tuple(T_SAMPLERS))
        check_one_of("stage2.order", self.order, ("passes", "draws"))
        for name in ("rate", "epochs", "steps", "batch", "clip"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"stage2.{name} is {value}, allowed is more than 0")
        if not 0 <= self.drop < 1:
            raise ValueError(f"stage2.drop is {self.drop}, allowed are 0 to under 1")

    def recipe(self, sounds: int) -> Recipe:
        """Return the loop's recipe for a split of so many sounds."""
        decay = self.decay
        return Recipe(
            # The last batch of an epoch takes the first sounds of the next: no batch is small.
            steps=self.steps or -(-self.epochs * sounds // self.batch),
            rate=PAPER_RATE if self.paper_rate else self.rate,
            schedule=Trapezoid(self.warmup, decay) if decay else Constant(self.warmup),
            weight_decay=self.weight_decay,
            betas=self.betas,
            clip=self.clip,
            ema=self.ema,
        )


def train_stage2(
    name: str,
    config: Stage2Config,
    data: Stage2Data,
    network: Stage2Network,
    work: Workplace,
    compute: Compute | None = None,
    validation: Stage2Validation | None = None,
    records: Records | None = None,
) -> None:
    """Train `network` in place, as `fit` does."""
    sounds = len(data.latents)
    stage = Stage(
        name,
        network,
        config.recipe(sounds),
        work,
        compute or Compute(),
        about={"sounds": sounds, **{f"stage2.{key}": each for key, each in vars(config).items()}},
        batch=config.batch,
        records=records or Records(),
    )
    for key, parameter in network.named_parameters():
        parameter.requires_grad = (
            config.train_projection
            if key.startswith("projection.")
            else config.frozen is None or config.frozen not in key
        )
    objective = stage.compute.wrap(network.to(work.device))
    t_sampler = T_SAMPLERS[config.t_sampling]()

    def loss(rng: StepGenerator) -> Tensor:
        if config.order == "passes":
            index = draw_pass(sounds, config.batch, work.seeded(config.seed), rng.step)
        else:
            index = rng.integers(sounds, size=config.batch)
        heard = data.heard(index, rng)
        latents = data.latents.batch(index, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        draw = draw_flow(latents[0].shape, generator, t_sampler, config.drop)
        # All processes draw the whole batch alike; here each takes its rows.
        whole = (*latents, *heard, *draw)
        return objective(*(None if each is None else stage.compute.share(each) for each in whole))

    fit(stage, loss, config.seed, validation.of_stage(stage) if validation else None)


def draw_pass(count: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Return the numbers [batch] of step `step` of endless passes over `count` things."""
    place = np.arange(step * batch, (step + 1) * batch)
    orders = {epoch: _order(count, seed, epoch) for epoch in np.unique(place // count).tolist()}
    return np.array([orders[spot // count][spot % count] for spot in place.tolist()])


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


@torch.inference_mode()
def read_states(bridge: Bridge, frames: Frames) -> TensorFrames:
    """Return states of the frozen Q-Former before its output layer, float16 [utterances x Q, D].

    They lie where the bridge does; training reads them instead of running it at every step.
    """
    rows = []
    projection = bridge.eval().projection
    bridge.add_module("projection", nn.Identity())
    for start in range(0, len(frames), READ_AT_ONCE):
        index = np.arange(start, min(start + READ_AT_ONCE, len(frames)))
        rows.append(bridge(*frames.batch(index)).flatten(0, 1).half())
    bridge.projection = projection
    queries = bridge.config.queries
    return TensorFrames(torch.cat(rows), np.arange(len(frames) + 1) * queries)


def start_udit(config: UDiTConfig, start: str | Path, seed: int) -> UDiT:
    """Return the DiT that training starts from, float32 on the CPU.

    `start` is "random", a file of EzAudio's DiT (folded to STAR's shape) or one of ours. Raises
    FileNotFoundError, and ValueError that names the file if it is of another shape.
    """
    if start == RANDOM:
        torch.manual_seed(seed)
        return UDiT(config)
    path = Path(start)
    if recognise(path) == "udit":
        udit = read_udit(path)
        if udit.config != config:
            raise ValueError(
                f"{path}: EzAudio's DiT is a {udit.config}, but the system's udit is a {config}; "
                "make them equal, or start from 'random'"
            )
        return udit
    with torch.device("meta"):
        udit = UDiT(config)
    udit = udit.to_empty(device="cpu")
    load_part(path, udit)
    return udit


def write_star(
    folder: Path,
    config: StarConfig,
    frozen: Weights,
    network: Stage2Network,
    bridge: Bridge | None,
    dtype: str = "float16",
) -> None:
    """Write a folder that `Star(weights=folder)` loads by itself: config.json and every part.

    Speech encoder and VAE are read anew from `frozen`, as Star takes its weights: once loaded for
    inference their gains are multiplied out, and no file is made of that. `bridge` has the
    network's projection; None is "w/o BridgeNet". Raises as `read_part`.
    """
    trained = {"udit": network.udit, "bridge": bridge}
    for name in NAMES:
        part = trained[name] if name in trained else read_part(config, name, frozen, seed=0)
        if part is not None:
            save_part(part_file(folder, name), part, dtype)
    # Last: a folder without it is none yet.
    write_config(folder, config)
