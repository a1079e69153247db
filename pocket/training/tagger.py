"""Training of the judges: the CNN14-shaped tagger and the VGGish-shaped embedder."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.metrics.embedders.cnn14 import Cnn14, Cnn14Config
from stabench.metrics.embedders.vggish import Vggish, VggishConfig
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.training.corpus import Corpus
from stabench.pocket.training.degrade import degrade, negatives
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.workplace import Workplace

TAGGER = Cnn14Config(channels=(16, 32, 64, 128, 128), embedding=256, classes=len(LABELS))
VGGISH = VggishConfig(channels=(16, 32, 64, 128), hidden=256, embedding=128)

FALSE_ALARMS = 0.02
BATCH, NEGATIVES = 21, 3


class VggishClassifier(nn.Module):
    """The embedder with a head for training: frames' logits averaged over the clip."""

    def __init__(self) -> None:
        super().__init__()
        self.vggish = Vggish(VGGISH)
        self.head = nn.Linear(VGGISH.embedding, len(LABELS))

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turn [B, N] into logits [B, C]."""
        examples = self.vggish.examples(waveforms, torch.float32)
        rows = self.vggish(examples.flatten(0, 1))
        # AudioSet's network ends in this ReLU; FAD takes the rows before it.
        return self.head(functional.relu(rows)).unflatten(0, examples.shape[:2]).mean(1)


def train_tagger(data: Corpus, work: Workplace, steps: int = 800) -> Cnn14:
    torch.manual_seed(work.seeded(10))
    network = Cnn14(TAGGER)
    recipe = Recipe(steps, 2e-3, ema=0.995)

    def loss(rng: np.random.Generator) -> Tensor:
        waveforms, labels = _draw_batch(data, rng)
        return functional.binary_cross_entropy_with_logits(network(waveforms).logits, labels)

    fit(Stage("tagger", network, recipe, work), loss, seed=1)
    return network


def refine_tagger(network: Cnn14, data: Corpus, work: Workplace, steps: int = 600) -> Cnn14:
    """Train more steps, with two thirds of the clips undamaged."""
    recipe = Recipe(steps, 1e-3, Trapezoid(decay=0.8), ema=0.995)

    def loss(rng: np.random.Generator) -> Tensor:
        waveforms, labels = _draw_batch(data, rng, clean=0.67)
        return functional.binary_cross_entropy_with_logits(network(waveforms).logits, labels)

    fit(Stage("tagger-refined", network, recipe, work), loss, seed=11)
    return network


def train_vggish(data: Corpus, work: Workplace, steps: int = 1000) -> Vggish:
    torch.manual_seed(work.seeded(20))
    network = VggishClassifier()
    _start_at_unit_scale(network)
    recipe = Recipe(steps, 1e-3, ema=0.995)

    def loss(rng: np.random.Generator) -> Tensor:
        waveforms, labels = _draw_batch(data, rng)
        return functional.binary_cross_entropy_with_logits(network(waveforms), labels)

    fit(Stage("vggish", network, recipe, work), loss, seed=2)
    return network.vggish


def _start_at_unit_scale(network: nn.Module) -> None:
    """Initialise by Kaiming's rule (He et al. 2015), which keeps a signal's scale through ReLUs."""
    # With PyTorch's default a network of this depth without batch normalisation lets the signal
    # fade: after training 99.8 % of its embedding's variance lay in two axes, and FAD measured
    # those two.
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.inference_mode()
def logits(network: Cnn14, waveforms: Tensor) -> np.ndarray:
    """Return tagger logits [N, C] of waveforms [N, T] that lie where the network does."""
    batches = waveforms.split(32)
    return torch.cat([network(batch).logits for batch in batches]).cpu().numpy()


def thresholds(network: Cnn14, data: Corpus) -> np.ndarray:
    """Return logits [C] above which 2 % of the validation clips without the event lie."""
    scores = logits(network, data.clips(np.arange(len(data.audio))))
    absent = data.labels.cpu().numpy() == 0
    columns = [scores[absent[:, c], c] for c in range(scores.shape[1])]
    return np.array([np.quantile(column, 1 - FALSE_ALARMS) for column in columns])


def recall(scores: np.ndarray, limits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clips of the share of their events that are heard."""
    heard = (scores > limits) & (labels > 0)
    return float((heard.sum(1) / labels.sum(1)).mean())


def _draw_batch(
    data: Corpus, rng: np.random.Generator, clean: float = 0.0
) -> tuple[Tensor, Tensor]:
    index = rng.integers(len(data.audio), size=BATCH)
    heard = degrade(data.clips(index), rng, clean)
    waveforms = torch.cat([heard, send(negatives(NEGATIVES, rng), data.device)])
    labels = data.labelled(index)
    return waveforms, torch.cat([labels, labels.new_zeros(NEGATIVES, len(LABELS))])
