"""Stage 1 of STAR: a bridge and a classifier learn from frozen frames what events a caption names.

The paper's Table 1 is the mean average precision of such classifiers (arXiv 2509.17164, sections
3.2 and 4); the settings are those of the authors' code (docs/deviations.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.checkpoints.tensors import fill_network
from stabench.systems.networks.config import STRICT, parse_strict, to_dict
from stabench.systems.star.bridge import Bridge, BridgeClassifier
from stabench.systems.star.config import BridgeConfig
from stabench.systems.star.probe import DEPTHS, MlpConfig, MlpProbe, mean_frames
from stabench.systems.training.data import Frames, TensorFrames
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, StepGenerator, Validation, fit
from stabench.systems.training.schedules import Linear
from stabench.systems.training.states import read
from stabench.systems.training.workplace import Workplace

Kind = Literal["mlp", "qformer"]
# Clips of a forward pass without gradients.
READ = 256


@dataclass(frozen=True)
class Stage1Config:
    """Stage 1; the defaults are the authors' for the Q-Former, `MLP` has those for the MLP.

    `rate` rises over `warmup_epochs` and falls to 0 at `horizon_epochs`. Training ends after
    `epochs`, or `patience` epochs without a better mAP on the validation split; the best weights
    are kept. Of the MLPs with `depths` hidden layers the best on validation is taken. The widths of
    encoder and classes come from the data.
    """

    __pydantic_config__ = STRICT
    rate: float = 3.2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    batch: int = 512
    warmup_epochs: int = 5
    horizon_epochs: int = 500
    epochs: int = 500
    patience: int = 20
    seed: int = 0
    depths: tuple[int, ...] = DEPTHS
    mlp: MlpConfig = field(default_factory=MlpConfig)
    qformer: BridgeConfig = field(default_factory=BridgeConfig)

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "patience", "horizon_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, allowed is 1 or more")
        if not self.depths:
            raise ValueError("depths is empty; give 1, 2 or both")


QFORMER, MLP = Stage1Config(), Stage1Config(batch=1024)


class Classifier(nn.ModuleList):
    """A bridge with stage 1's head: frames [B, T, W] and their mask [B, T] to logits [B, C]."""

    def __init__(self, bridge: Bridge, head: BridgeClassifier) -> None:
        super().__init__([bridge, head])

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return class logits [B, classes]."""
        bridge, head = self
        return head(bridge(frames, mask))


class Draw(Protocol):
    """Which clips [B] a step is trained on, from the step's own generator."""

    def __call__(self, rng: StepGenerator) -> np.ndarray: ...


class Labelled(NamedTuple):
    """A split: frames of its clips, and their labels bool [N, C]."""

    frames: Frames
    labels: np.ndarray


@dataclass(frozen=True)
class Chosen:
    """Some clips of a split: `rows` are their numbers in `frames`."""

    frames: Frames
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return frames float32 [B, T, W] and their mask [B, T]."""
        return self.frames.batch(self.rows[index])


def train_classifier(
    stage: Stage,
    frames: Frames,
    draw: Draw,
    criterion: Callable[[Tensor, np.ndarray], Tensor],
    seed: int,
    validation: Validation | None = None,
) -> nn.Module:
    """Train the stage's network on frozen frames; `criterion` takes logits [B, C] and the clips."""

    def loss(rng: StepGenerator) -> Tensor:
        index = draw(rng)
        return criterion(stage.network(*frames.batch(index)), index)

    return fit(stage, loss, seed, validation)


class Epochs:
    """Batches of whole passes over `clips`, each in an order drawn from (seed, epoch).

    The last batch of an epoch may be smaller; one clip alone, which batch normalisation cannot
    take, is left for another epoch.
    """

    def __init__(self, clips: int, batch: int, seed: int) -> None:
        self.clips, self.batch, self.seed = clips, min(batch, clips), seed
        self.steps = -(-clips // self.batch)
        if self.steps > 1 and clips % self.batch == 1:
            self.steps -= 1

    def at(self, step: int) -> np.ndarray:
        """Return the clips of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.clips)
        return order[place * self.batch : (place + 1) * self.batch]

    def __call__(self, rng: StepGenerator) -> np.ndarray:
        """Return the clips of the step that the generator is of."""
        return self.at(rng.step)


class Probe(NamedTuple):
    """A trained classifier: logits float32 [N, C] of the test split, and how it came about.

    `validation` is its mAP there, `layers` the hidden ones of an MLP (None: a Q-Former), `others`
    what other depths reached on validation.
    """

    logits: np.ndarray
    validation: float
    parameters: int
    layers: int | None
    others: dict[int, float]


# Takes scores [N, C] and labels bool [N, C], returns mAP.
Measure = Callable[[np.ndarray, np.ndarray], float]


def read_recipe(kind: Kind, values: Mapping[str, Any], where: str = "") -> Stage1Config:
    """Return stage 1's settings with `values` in place of the authors'.

    Raises ValueError in one line for an unknown key, with the nearest, or a value not allowed.
    """
    settings = to_dict(MLP if kind == "mlp" else QFORMER)
    for key, value in values.items():
        table = settings.get(key)
        # Of a table [recipe.qformer.qformer] the keys that are not there stay as they are.
        if isinstance(table, dict) and isinstance(value, Mapping):
            settings[key] = {**table, **value}
        else:
            settings[key] = value
    return parse_strict(Stage1Config, settings, where or f"recipe.{kind}")


def train_probe(
    kind: Kind,
    config: Stage1Config,
    splits: Mapping[str, Labelled],
    work: Workplace,
    name: str,
    measure: Measure,
) -> Probe:
    """Train a classifier on split "train", choose it on "validation", read "test" once.

    Raises ValueError for a split without clips.
    """
    for split in ("train", "validation", "test"):
        if not len(splits[split].frames):
            raise ValueError(f"split '{split}' has no clips; prepare some")
    width = splits["train"].frames.batch(np.arange(1))[0].shape[-1]
    classes = splits["train"].labels.shape[1]
    if kind == "mlp" and not config.mlp.mean_over_padding:
        # The mean over time comes first: taken once, it need not be taken in every epoch.
        splits = {split: Labelled(pool(part.frames), part.labels) for split, part in splits.items()}
    networks: dict[int | None, tuple[nn.Module, float]] = {}
    for layers in config.depths if kind == "mlp" else (None,):
        torch.manual_seed(config.seed)
        network = _build(config, layers, width, classes)
        label = name if layers is None else f"{name}-{layers}"
        network = _train_events(config, network, splits, work, label, measure)
        logits = read_logits(network, splits["validation"].frames)
        networks[layers] = network, measure(logits, splits["validation"].labels)
    # The first of equals: the smaller one.
    best = max(networks, key=lambda layers: networks[layers][1])
    network, validation = networks[best]
    return Probe(
        read_logits(network, splits["test"].frames),
        validation,
        sum(parameter.numel() for parameter in network.parameters()),
        best,
        {layers: value for layers, (_, value) in networks.items() if layers not in (None, best)},
    )


def train_bridge(
    config: Stage1Config,
    splits: Mapping[str, Labelled],
    work: Workplace,
    name: str,
    measure: Measure,
) -> float:
    """Train the bridge of STAR with a classifier, for stage 2; return its mAP on "validation".

    Its weights are in the stage's file, which `read_bridge` reads.
    """
    frames, labels = splits["train"]
    torch.manual_seed(config.seed)
    width = frames.batch(np.arange(1))[0].shape[-1]
    network = _build(config, None, width, labels.shape[1])
    network = _train_events(config, network, splits, work, name, measure)
    return measure(read_logits(network, splits["validation"].frames), splits["validation"].labels)


def read_bridge(config: Stage1Config, width: int, path: Path) -> Bridge:
    """Return the bridge in the file of a finished stage 1, for encoder frames `width` wide.

    Raises ValueError that names the file, for another one.
    """
    bridge = Bridge(replace(config.qformer, encoder_width=width))
    # A Classifier's parts are numbered: the bridge is the first.
    state = {key[2:]: value for key, value in read(path).items() if key.startswith("0.")}
    fill_network(bridge, state, path)
    return bridge.eval()


def _build(config: Stage1Config, layers: int | None, width: int, classes: int) -> nn.Module:
    if layers is not None:
        mlp = replace(config.mlp, encoder_width=width, classes=classes, layers=layers)
        return MlpProbe(mlp)
    bridge = replace(config.qformer, encoder_width=width)
    return Classifier(Bridge(bridge), BridgeClassifier(bridge.output_width, classes))


def _train_events(
    config: Stage1Config,
    network: nn.Module,
    splits: Mapping[str, Labelled],
    work: Workplace,
    name: str,
    measure: Measure,
) -> nn.Module:
    """Train by binary cross-entropy on the events, with early stopping on validation mAP."""
    frames, labels = splits["train"]
    epochs = Epochs(len(frames), config.batch, config.seed)
    truth, heard = torch.from_numpy(labels.astype(np.float32)), splits["validation"]

    def criterion(logits: Tensor, index: np.ndarray) -> Tensor:
        target = send(truth[torch.from_numpy(index)], logits.device)
        return functional.binary_cross_entropy_with_logits(logits, target)

    recipe = Recipe(
        steps=config.epochs * epochs.steps,
        rate=config.rate,
        schedule=Linear(config.warmup_epochs * epochs.steps, config.horizon_epochs * epochs.steps),
        betas=config.betas,
        weight_decay=config.weight_decay,
        clip=None,
    )
    validation = Validation(
        every=epochs.steps,
        score=lambda network, step: measure(read_logits(network, heard.frames), heard.labels),
        better="higher",
        patience=config.patience,
    )
    stage = Stage(name, network, recipe, work)
    return train_classifier(stage, frames, epochs, criterion, config.seed, validation)


@torch.inference_mode()
def read_logits(network: nn.Module, frames: Frames) -> np.ndarray:
    """Return logits float32 [N, C] of every clip by a network in eval mode."""
    index = np.arange(len(frames))
    batches = [frames.batch(index[start : start + READ]) for start in range(0, len(index), READ)]
    return torch.cat([network(*batch).float().cpu() for batch in batches]).numpy()


def pool(frames: Frames) -> TensorFrames:
    """Return the mean of each clip's true frames as its only frame."""
    index = np.arange(len(frames))
    means = []
    for start in range(0, len(index), READ):
        states, mask = frames.batch(index[start : start + READ])
        means.append(mean_frames(states, mask))
    return TensorFrames(torch.cat(means), np.arange(len(index) + 1))
