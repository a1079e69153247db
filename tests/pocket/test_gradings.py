"""The pocket's graded sounds are what they say, and its shipped judges have passed on them."""

import numpy as np
import pytest

from harness import protocols
from harness.examination import read, shipped_at
from harness.features import hear
from harness.judge_statistics import spread
from harness.judges import Candidate, accuracy_of, known_sets
from harness.scoring import ON_CPU, network_of
from pocket import scenes
from pocket.gradings import FEW, TEST, THRESHOLDS, TRAIN, drop, parts, pocket, swap
from pocket.sounds.events import LABELS
from pocket.sounds.scene import render

RULES = protocols.load("pocket").networks
ROUNDING = 1e-6
"""Layers are kept in float32: their sums differ from the float64 sum by so much at most."""


@pytest.fixture(scope="module")
def graded():
    return pocket(train=4, test=30)


@pytest.fixture(scope="module")
def held_out():
    return [item.scene for item in scenes.items("validation", 34)[4:]]


def test_an_undamaged_sound_is_the_scene_as_it_is_rendered(graded, held_out):
    for known, scene in zip(graded.test[:6], held_out, strict=False):
        samples, rate_hz = known.audio()
        assert rate_hz == 16_000
        assert samples.dtype == np.float32
        assert np.abs(samples - render(scene)).max() < ROUNDING
        assert known.labels == scene.events


def test_a_dropped_event_is_gone_and_nothing_else_is(held_out):
    """What is missing is the event's own layer, at the scene's own level."""
    scene = next(scene for scene in held_out if scene.relation == "then")
    gone = drop(scene).samples - drop(scene, frozenset({1})).samples
    start, length = parts(scene).spans[1]
    assert np.abs(gone - parts(scene).scale * parts(scene).events[1]).max() < ROUNDING
    assert np.abs(gone[:start]).max() < ROUNDING
    assert np.abs(gone[start : start + length]).max() > 0.01
    silent = drop(scene, frozenset({0, 1})).samples
    assert np.sqrt(np.mean(silent**2)) < 0.01


def test_a_swapped_event_is_another_in_the_same_place(held_out):
    scene = next(scene for scene in held_out if scene.relation == "then")
    swapped = swap(scene, frozenset({1})).samples
    start, _ = parts(scene).spans[1]
    assert np.abs(swapped).max() < 0.9501
    scale = swapped[:start] @ drop(scene).samples[:start] / np.sum(drop(scene).samples[:start] ** 2)
    assert np.abs(swapped[:start] - scale * drop(scene).samples[:start]).max() < 1e-5
    assert np.abs(swapped[start:] - scale * drop(scene).samples[start:]).max() > 0.05
    assert {*FEW} <= {*LABELS}


@pytest.mark.parametrize("kind", ["dropped events", "swapped events"])
def test_each_level_changes_the_clips_of_the_one_before_and_more(graded, kind):
    damage = next(damage for damage in graded.damages if damage.kind == kind)
    counts = []
    before: set[str] = set()
    for level in damage.levels:
        changed = {
            known.id
            for known in graded.test
            if not np.array_equal(damage.apply(known, level).samples, known.audio().samples)
        }
        assert before <= changed
        counts.append(len(changed))
        before = changed
    assert counts == sorted({*counts})
    assert counts[-1] > 0.85 * len(graded.test)


def test_steps_are_those_of_the_scene(graded, held_out):
    for known, scene in zip(graded.test, held_out, strict=True):
        wanted = {"one": 1, "and": 1, "then": 2}[scene.relation]
        assert len(known.steps) == wanted
        assert tuple(event for step in known.steps for event in step) == scene.events


def test_training_and_held_out_sounds_are_of_different_scenes():
    graded = pocket()
    assert (len(graded.train), len(graded.test)) == (TRAIN, TEST)
    assert not {known.id for known in graded.train} & {known.id for known in graded.test}
    assert len(graded.labels) == 20


@pytest.mark.parametrize("role", RULES)
def test_every_shipped_judge_has_passed_with_the_weights_that_are_there(role):
    """After judges are trained anew: python -m pocket.training.examine."""
    network = network_of(role, RULES[role], ON_CPU, kept=False)
    record = read(shipped_at(network.embedder.examinations, role))
    assert record is not None
    assert record.identity == network.identity
    assert record.thresholds == THRESHOLDS
    assert record.faults == ()
    assert record.sounds == pocket().title


def test_the_record_of_the_judge_of_fad_is_what_it_hears():
    """Accuracy and dimensions measured anew; another processor may differ in the last digits."""
    network = network_of("fad", RULES["fad"], ON_CPU, kept=False)
    candidate = Candidate(network, pocket())
    for one in known_sets(candidate.gradings):
        if one.name in ("train", "plain"):
            sounds = {known.id: known.audio for known in one.sounds}
            candidate.heard[one.name] = hear(one.name, sounds, {"fad": network}, lambda *_: None)
    figures = read(shipped_at(network.embedder.examinations, "fad")).figures
    assert accuracy_of(candidate) == ("probe", pytest.approx(figures.accuracy, abs=0.01))
    rows = np.concatenate(candidate.embeddings("plain"))
    assert spread(rows).dimensions == pytest.approx(figures.dimensions, rel=0.01)
    assert spread(rows).dimensions > 10
