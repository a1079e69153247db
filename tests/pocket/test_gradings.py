"""The pocket's graded sounds are what they say, and its shipped judges have passed on them."""

from functools import partial

import numpy as np
import pytest

from stabench.harness.judges.gradings import louder, white_noise
from stabench.harness.judges.judges import Candidate, accuracy_of, known_sets
from stabench.harness.judges.statistics import spread
from stabench.harness.scoring.examination import FOREIGN, read, shipped_at
from stabench.harness.scoring.features import hear
from stabench.harness.scoring.score import ON_CPU, network_of
from stabench.harness.suites import protocols
from stabench.metrics.clap import clap_score
from stabench.metrics.embedders.vggish import Vggish, VggishEmbedder
from stabench.metrics.embedders.weight_sources import Seeded
from stabench.metrics.frechet import frechet_distance
from stabench.metrics.kl import kl_divergence
from stabench.pocket import scenes
from stabench.pocket.gradings import FEW, TEST, THRESHOLDS, TRAIN, drop, parts, pocket, swap
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import render

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


def test_random_weights_fill_too_few_axes_to_judge():
    """A linear probe on them may be good: random VGGish of full size reaches 0.91."""
    network = network_of("fad", RULES["fad"], ON_CPU, kept=False)
    config = network.embedder.config
    network.embedder = VggishEmbedder(Seeded(lambda: Vggish(config)), config)
    sounds = {known.id: known.audio for known in pocket(4, 60).test}
    heard = hear("sounds", sounds, {"fad": network}, lambda *_: None)
    rows = np.concatenate([one.embeddings for one in heard.features("fad", list(sounds))])
    assert spread(rows).dimensions < FOREIGN.dimensions < THRESHOLDS.dimensions


@pytest.mark.slow
def test_loudness_moves_fad_and_leaves_fd_kl_and_clap_nearly_where_they_are():
    """12 dB quieter and louder, in units of white noise; docs/judges.md says what it comes to."""
    known = pocket(4, 30).test
    networks = {role: network_of(role, RULES[role], ON_CPU, kept=False) for role in RULES}
    del networks["timeline"]
    sets = {"plain": lambda one: one.audio(), "noise": white_noise}
    sets |= {gain: partial(louder, level=gain) for gain in (-12, 12)}
    found = {
        name: hear("sounds", {one.id: partial(make, one) for one in known}, networks, lambda *_: 0)
        for name, make in sets.items()
    }
    clips = [one.id for one in known]

    def rows(name, role):
        return np.concatenate([one.embeddings for one in found[name].features(role, clips)])

    def logits(name):
        return np.stack([one.logits for one in found[name].features("tagger", clips)])

    texts = networks["clap"].text({one.caption for one in known})
    captions = np.stack([texts[one.caption] for one in known])
    clap = {name: clap_score(captions, rows(name, "clap")).mean() for name in sets}
    for gain in (-12, 12):
        for role, most in (("fad", 0.1), ("tagger", 0.02)):
            distances = [
                frechet_distance(rows(name, role), rows("plain", role)) for name in (gain, "noise")
            ]
            assert 0 < distances[0] < most * distances[1]
        assert 0 < kl_divergence(logits(gain), logits("plain")).mean() < 0.15
        assert abs(clap[gain] - clap["plain"]) < 0.03
        assert clap["plain"] - clap["noise"] > 0.5


@pytest.mark.parametrize("role", RULES)
def test_every_shipped_judge_has_passed_with_the_weights_that_are_there(role):
    """After judges are trained anew: python -m stabench.pocket.training.examine."""
    network = network_of(role, RULES[role], ON_CPU, kept=False)
    record = read(shipped_at(network.embedder.examinations, role))
    assert record is not None
    assert record.identity == network.identity
    assert record.thresholds == THRESHOLDS
    assert record.faults == ()
    assert record.sounds == pocket().title


@pytest.mark.slow
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
