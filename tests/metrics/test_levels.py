"""Sounds beyond full scale or flattened by a clipper are counted and named."""

import numpy as np
import pytest

from stabench.metrics.levels import Level, describe_levels, measure_level

TIME = np.arange(1600) / 16_000
SINE = np.sin(2 * np.pi * 440 * TIME).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "sentences"),
    [
        (0.9 * SINE, []),
        (SINE * 0, []),
        (SINE[:0], []),
        # Of a sine that just reaches full scale one sample in 40 is there.
        (SINE, ["are saturated"]),
        (0.5 * np.stack([SINE, SINE], 1), []),
        (np.stack([0.1 * SINE, 1.5 * SINE], 1), ["beyond full scale, up to 1.5", "saturated"]),
        (np.sign(SINE), ["up to 100 % of their samples"]),
        (32767 * SINE, ["beyond full scale, up to 3.277e+04", "saturated"]),
        (np.clip(0.9 * SINE, -0.5, 0.5), []),
        (np.array([0.1, -1.01] + [0.0] * 500), ["beyond full scale, up to 1.01"]),
    ],
)
def test_faults_of_level_are_named(samples: np.ndarray, sentences: list[str]) -> None:
    notes = list(describe_levels("star", [measure_level(samples)]))
    assert len(notes) == len(sentences)
    assert all(part in note for part, note in zip(sentences, notes, strict=True))


def test_clips_are_counted() -> None:
    levels = [Level(0.5, 0.0), Level(1.2, 0.0), Level(2.0, 0.3)]
    first, second = describe_levels("star", levels)
    assert first.startswith("star: 2 of 3 clips go beyond full scale, up to 2;")
    assert second.startswith("star: 1 of 3 clips are saturated, with up to 30 %")
