"""The floor: the scenes of the test set rendered with other seeds, as a perfect generator would."""

import json

import numpy as np
import pytest
import soundfile

from stabench.harness.errors import MissingError
from stabench.harness.suites.suite import load
from stabench.pocket import floor, scenes
from stabench.pocket.dataset import MANIFEST
from stabench.pocket.sounds.scene import Scene, render, to_pcm16

ROWS = json.loads(MANIFEST.read_text())["clips"]


def test_a_clip_is_rendered_from_its_own_events_and_relation_with_a_seed_of_its_own():
    for index in (1, 2, 3):
        row, sound = ROWS[index], floor.regenerated(ROWS[index]["id"])
        scene = Scene(tuple(row["labels"]), row["relation"], floor.SEED + index)
        assert (sound.rate_hz, sound.samples.dtype, sound.samples.shape) == (
            16_000,
            "f4",
            (64_000,),
        )
        assert np.array_equal(sound.samples * 2**15, to_pcm16(render(scene)))


def test_no_seed_is_one_of_a_recording_or_of_training():
    assert all(abs(first - floor.SEED) >= 1_000_000_000 for first in scenes._SEED.values())


def test_it_is_no_recording(pocket_clips):
    for clip in pocket_clips[:3]:
        recording, _ = soundfile.read(clip.reference, dtype="float32")
        sound = floor.regenerated(clip.id).samples
        assert sound.shape == recording.shape
        assert abs(np.corrcoef(sound, recording)[0, 1]) < 0.5


def test_the_suite_has_it_in_the_place_of_half_and_half():
    metrics = load("pocket").metrics
    assert metrics.floor == "pocket.floor:regenerated"
    assert "other-half" not in metrics.sanity


def test_a_clip_of_another_dataset_is_refused_in_one_line():
    with pytest.raises(MissingError, match="clip 'Y_1' is none of the 144 clips of the pocket"):
        floor.regenerated("Y_1")
