"""The shipped timeline hears what comes when in recordings; its thresholds are of one tagger."""

import json
import shutil
from typing import NamedTuple

import numpy as np
import pytest

from stabench.metrics.embedders import weights as store
from stabench.metrics.order import event_order, event_overlap
from stabench.pocket import embedders, timeline
from stabench.pocket.configs import WEIGHTS
from stabench.pocket.dataset import MANIFEST, steps
from stabench.pocket.scenes import items
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import Scene, render

UNSEEN = slice(400, 472)
"""Validation scenes on which no threshold was set: 24 of each relation."""


class Heard(NamedTuple):
    """Logits of the recordings of some scenes, and the scenes' steps by number of the label."""

    logits: list[np.ndarray]
    steps: list[tuple[tuple[int, ...], ...]]


@pytest.fixture(scope="module")
def network():
    network = embedders.events()
    network.load("cpu")
    return network


@pytest.fixture(scope="module")
def scenes():
    listed = [item.scene for item in items("validation", UNSEEN.stop)][UNSEEN]
    return {kind: [s for s in listed if s.relation == kind] for kind in ("and", "then")}


@pytest.fixture(scope="module")
def recordings(network, scenes):
    return {kind: hear(network, some, some) for kind, some in scenes.items()}


def hear(network, played: list[Scene], asked: list[Scene]) -> Heard:
    """What the network makes of `played`, to be held against what was `asked`."""
    sounds = [render(scene).astype(np.float32) for scene in played]
    logits = [features.embeddings for features in network.embed(sounds)]
    numbers = [
        tuple(tuple(LABELS.index(label) for label in step) for step in steps(relation, events))
        for events, relation, _ in asked
    ]
    return Heard(logits, numbers)


def test_recordings_are_in_order_and_swapped_scenes_are_not(network, scenes, recordings):
    asked = scenes["then"]
    swapped = hear(network, [s._replace(events=s.events[::-1]) for s in asked], asked)
    right, wrong = (
        event_order(heard.logits, network.thresholds, heard.steps).mean()
        for heard in (recordings["then"], swapped)
    )
    assert right >= 0.95
    assert wrong <= 0.05


def test_events_together_overlap_and_events_in_turn_do_not(network, scenes, recordings):
    apart = Heard(recordings["then"].logits, hear_steps(scenes["then"]))
    together, in_turn = (
        event_overlap(heard.logits, network.thresholds, heard.steps).mean()
        for heard in (recordings["and"], apart)
    )
    assert together >= 0.7
    assert in_turn <= 0.05


def hear_steps(scenes: list[Scene]) -> list[tuple[tuple[int, ...], ...]]:
    """The steps of the scenes as if their events sounded together."""
    return [(tuple(LABELS.index(event) for event in scene.events),) for scene in scenes]


def test_absent_events_are_seldom_heard(network, scenes, recordings):
    """2 % of the clips on the scenes of the thresholds; with few others up to 5 %."""
    peaks = np.stack([clip.max(axis=0) for kind in recordings.values() for clip in kind.logits])
    listed = [scene for some in scenes.values() for scene in some]
    absent = np.array([[label not in scene.events for label in LABELS] for scene in listed])
    assert ((peaks >= network.thresholds) & absent).sum() / absent.sum() <= 0.05


def test_windows_of_a_clip(network):
    [features] = network.embed([np.zeros(64_000, np.float32)])
    assert features.embeddings.shape == (22, 20)
    assert (features.embeddings.max(axis=0) < network.thresholds).all()


def test_thresholds_of_another_tagger_are_refused(tmp_path):
    shutil.copytree(WEIGHTS / "tagger", tmp_path / "tagger")
    shutil.copytree(WEIGHTS / "timeline", tmp_path / "timeline")
    assert timeline.timeline(tmp_path).thresholds.shape == (20,)
    model = tmp_path / "tagger" / store.MODEL
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match=r"run python -m stabench\.pocket\.timeline"):
        timeline.timeline(tmp_path)


def test_thresholds_let_two_in_a_hundred_clips_pass(tmp_path):
    """Measured for the tagger in the folder, and written with its sha256."""
    shutil.copytree(WEIGHTS / "tagger", tmp_path / "tagger")
    listed = [item.scene for item in items("validation", 12)]
    sounds = [render(scene).astype(np.float32) for scene in listed]
    labels = np.array([[label in scene.events for label in LABELS] for scene in listed])
    path = timeline.ship_timeline(tmp_path, iter(sounds), labels)
    assert json.loads(path.read_text())["tagger"] == store.sha256(tmp_path / "tagger")
    network = timeline.timeline(tmp_path)
    network.load("cpu")
    peaks = np.stack([clip.embeddings.max(axis=0) for clip in network.embed(sounds)])
    for column, limit in enumerate(network.thresholds):
        absent = peaks[~labels[:, column], column]
        # A quantile of so few clips lies between the two highest.
        assert np.sort(absent)[-2] - 1e-3 <= limit <= absent.max() + 1e-3


def test_steps_of_the_test_set_are_the_relations_of_the_manifest():
    assert steps("one", ["dog"]) == (("dog",),)
    assert steps("and", ["dog", "rain"]) == (("dog", "rain"),)
    assert steps("then", ["dog", "rain"]) == (("dog",), ("rain",))
    rows = json.loads(MANIFEST.read_text())["clips"]
    counts = [len(steps(row["relation"], row["labels"])) for row in rows]
    assert [counts.count(n) for n in (1, 2)] == [96, 48]
