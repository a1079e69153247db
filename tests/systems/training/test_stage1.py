"""Stage 1: its settings, its epochs, and that it learns events from frames and keeps the best."""

import numpy as np
import pytest
import torch

from stabench.systems.star.bridge import Bridge, BridgeClassifier
from stabench.systems.star.config import BridgeConfig
from stabench.systems.training.data import TensorFrames
from stabench.systems.training.loop import StepGenerator
from stabench.systems.training.stage1 import (
    MLP,
    QFORMER,
    Classifier,
    Epochs,
    Labelled,
    pool,
    read_logits,
    read_recipe,
    train_probe,
)
from stabench.systems.training.workplace import Workplace

SMALL = {"width": 16, "heads": 2, "ffn": 32, "queries": 4, "output_width": 16}
QUICK = {"rate": 1e-2, "batch": 16, "epochs": 12, "warmup_epochs": 1, "horizon_epochs": 12}


def make_split(clips: int, seed: int) -> Labelled:
    """Frames in which each event of a clip is one direction, somewhere in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.random((clips, 4)) < 0.4
    counts = rng.integers(4, 9, clips)
    rows = []
    for clip, count in enumerate(counts):
        frames = 0.3 * rng.standard_normal((count, 6))
        for event in np.flatnonzero(labels[clip]):
            frames[rng.integers(count), event] += 6
        rows.append(frames)
    tensor = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    return Labelled(TensorFrames(tensor, np.cumsum([0, *counts])), labels)


def measure(scores: np.ndarray, truth: np.ndarray) -> float:
    """Stands for mAP: how often a present event is above an absent one."""
    return float(np.mean(scores[truth][:, None] > scores[~truth]))


@pytest.fixture
def splits():
    sizes = {"train": 120, "validation": 40, "test": 50}
    return {name: make_split(size, seed) for seed, (name, size) in enumerate(sizes.items())}


def work(folder) -> Workplace:
    return Workplace(folder, torch.device("cpu"))


def test_the_defaults_are_the_authors():
    assert (QFORMER.rate, QFORMER.betas, QFORMER.weight_decay) == (3.2e-3, (0.9, 0.999), 1e-2)
    assert (QFORMER.batch, MLP.batch) == (512, 1024)
    assert (QFORMER.warmup_epochs, QFORMER.horizon_epochs, QFORMER.epochs) == (5, 500, 500)
    assert (QFORMER.patience, QFORMER.seed) == (20, 0)
    assert QFORMER.qformer == BridgeConfig()
    assert read_recipe("mlp", {}) == MLP
    assert read_recipe("qformer", {}) == QFORMER


def test_the_classifier_at_full_size_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        network = Classifier(Bridge(QFORMER.qformer), BridgeClassifier())
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 17_746_432 + 540_175


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"patiense": 3}, r"recipe\.mlp: unknown key 'patiense'; did you mean 'patience'"),
        ({"mlp": {"hiden": 3}}, r"recipe\.mlp\.mlp: unknown key 'hiden'; did you mean 'hidden'"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": "many"}, r"recipe\.mlp\.batch"),
        ({"depths": []}, "depths is empty"),
    ],
)
def test_a_wrong_setting_is_one_line(values, line):
    with pytest.raises(ValueError, match=line):
        read_recipe("mlp", values)


def test_a_table_of_a_bridge_changes_only_its_keys():
    config = read_recipe("qformer", {"qformer": {"queries": 4}})
    assert config.qformer.queries == 4
    assert config.qformer.width == QFORMER.qformer.width


@pytest.mark.parametrize(("clips", "batch", "steps"), [(10, 4, 3), (9, 4, 2), (7, 8, 1), (8, 4, 2)])
def test_an_epoch_is_a_pass_over_all_clips_in_an_order_of_its_own(clips, batch, steps):
    epochs = Epochs(clips, batch, seed=0)
    assert epochs.steps == steps
    passes = [
        np.concatenate([epochs.at(epoch * steps + place) for place in range(steps)])
        for epoch in range(3)
    ]
    for order in passes:
        assert len(set(order)) == len(order) == clips - (clips == 9)
    assert not np.array_equal(passes[0], passes[1])
    assert np.array_equal(epochs.at(steps), Epochs(clips, batch, seed=0).at(steps))
    rng = StepGenerator(seed=0, step=2)
    rng.random(100)
    assert np.array_equal(epochs(rng), epochs.at(2))


@pytest.mark.parametrize(("kind", "epochs"), [("mlp", 12), ("qformer", 8)])
def test_a_probe_reads_events(kind, epochs, splits, tmp_path):
    sizes = {"mlp": {"hidden": 16}, "qformer": SMALL, "depths": [1]}
    config = read_recipe(kind, {**QUICK, **sizes, "epochs": epochs})
    probe = train_probe(kind, config, splits, work(tmp_path), "probe", measure)
    assert probe.logits.shape == (50, 4)
    assert measure(probe.logits, splits["test"].labels) > 0.75
    assert probe.layers == (1 if kind == "mlp" else None)


def test_a_probe_is_the_same_again(splits, tmp_path):
    config = read_recipe("mlp", {**QUICK, "mlp": {"hidden": 16}, "depths": [1], "epochs": 3})
    first, again = (
        train_probe("mlp", config, splits, work(tmp_path / name), "probe", measure).logits
        for name in ("first", "again")
    )
    np.testing.assert_array_equal(first, again)


def test_the_depth_of_an_mlp_is_chosen_on_validation(splits, tmp_path):
    config = read_recipe("mlp", {**QUICK, "mlp": {"hidden": 16}})
    probe = train_probe("mlp", config, splits, work(tmp_path), "probe", measure)
    assert {probe.layers, *probe.others} == {1, 2}
    assert all(value <= probe.validation for value in probe.others.values())


def test_the_best_weights_are_kept_and_training_ends_when_none_is_better(splits, tmp_path):
    """Validation is best after the first epoch and worse after: the first one's are returned."""
    scores, seen = iter([0.9, 0.5, 0.4, 0.3]), []

    def fall(logits: np.ndarray, _truth: np.ndarray) -> float:
        seen.append(logits)
        return next(scores, 0.9)

    config = read_recipe("mlp", {**QUICK, "depths": [1], "mlp": {"hidden": 16}, "patience": 2})
    probe = train_probe("mlp", config, splits, work(tmp_path), "probe", fall)
    # Epochs 1 to 3, then the best once more.
    assert len(seen) == 4
    np.testing.assert_array_equal(seen[3], seen[0])
    assert not np.array_equal(seen[3], seen[2])
    assert probe.logits.shape == (50, 4)


def test_pooled_frames_give_the_logits_of_all_frames(splits):
    config = read_recipe("mlp", {})
    torch.manual_seed(0)
    from stabench.systems.star.probe import MlpConfig, MlpProbe

    network = MlpProbe(MlpConfig(encoder_width=6, hidden=8, classes=4)).eval()
    frames = splits["test"].frames
    np.testing.assert_allclose(
        read_logits(network, pool(frames)), read_logits(network, frames), rtol=0, atol=1e-6
    )
    assert config.mlp.mean_over_padding is False


def test_a_split_without_clips_is_refused(splits, tmp_path):
    empty = Labelled(TensorFrames(torch.zeros(0, 6), np.zeros(1, int)), np.zeros((0, 4), bool))
    with pytest.raises(ValueError, match="split 'validation' has no clips"):
        train_probe("mlp", MLP, {**splits, "validation": empty}, work(tmp_path), "probe", measure)
