"""Event order and overlap by hand, and against another way to compute them."""

import numpy as np
import pytest

from stabench.metrics.order import event_order, event_overlap

LIMITS = np.array([1.0, -0.5, 0.0])
LOW = -8.0


def sound(*windows: str) -> np.ndarray:
    """Logits [T, 3] of windows in each of which the named events (of "abc") are heard."""
    return np.array([[3.0 if event in window else LOW for event in "abc"] for window in windows])


def test_order_is_of_all_steps_and_all_their_events():
    steps = [[0], [1, 2]]
    sounds = {
        "right": sound("a", "a", "bc", "bc"),
        "one of two too early": sound("ab", "a", "ac", "c"),
        "swapped": sound("bc", "bc", "a"),
        "one missing": sound("a", "a", "b"),
        "nothing": sound("", "", ""),
    }
    values = event_order(list(sounds.values()), LIMITS, [steps] * len(sounds))
    assert values.tolist() == [1, 0, 0, 0, 0]
    three = [[0], [1], [2]]
    values = event_order([sound("a", "b", "c"), sound("a", "c", "b")], LIMITS, [three] * 2)
    assert values.tolist() == [1, 0]


def test_order_of_events_that_start_together_is_that_of_their_centres():
    """Equal centres are in no order; a window counts as the network is sure of it."""
    assert event_order([sound("ab", "ab")], LIMITS, [[[0], [1]]]).tolist() == [0]
    assert event_order([sound("ab", "ab", "b")], LIMITS, [[[0], [1]]]).tolist() == [1]
    surer = np.array([[9.0, -0.4, 0], [9.0, 9.0, 0]])
    assert event_order([surer, surer], LIMITS, [[[0], [1]], [[1], [0]]]).tolist() == [1, 0]


def test_a_logit_at_its_threshold_is_heard_and_one_below_is_not():
    for logit, value in ((-0.5, 1), (np.nextafter(-0.5, -1), 0)):
        clip = np.array([[1.0, LOW, LOW], [LOW, logit, LOW]])
        assert event_order([clip], LIMITS, [[[0], [1]]]).tolist() == [value]


def test_overlap_needs_half_of_the_windows_of_the_shorter_event():
    """One event after the other shares the windows across the change: no overlap."""
    together = [[0, 1]]
    clips = {
        1: [sound("ab", "ab", "a"), sound("a", "ab", "a"), sound("ab", "ab", "b", "a", "a", "b")],
        0: [sound("a", "a", "ab", "b", "b"), sound("a", "a", "a"), sound("", "", "")],
    }
    for value, sounds in clips.items():
        steps = [together] * len(sounds)
        assert event_overlap(sounds, LIMITS, steps).tolist() == [value] * len(sounds)
    all_three = [sound("abc", "abc"), sound("ab", "bc", "ac")]
    assert event_overlap(all_three, LIMITS, [[[0, 1, 2]]] * 2).tolist() == [1, 0]
    assert event_overlap([sound("ab", "c"), sound("a", "b", "c")], LIMITS, [[[0, 1], [2]]] * 2)[
        0
    ] == pytest.approx(1)


def test_order_is_that_of_another_implementation():
    """Sums window by window, in plain Python, of random sounds of several lengths."""
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, 3, (rng.integers(1, 12), 3)) for _ in range(300)]
    steps = [[[int(a)], [int(b)]] for a, b in (rng.permutation(3)[:2] for _ in sounds)]
    values = event_order(sounds, LIMITS, steps)
    for clip, ((a,), (b,)), value in zip(sounds, steps, values, strict=True):
        places = []
        for event in (a, b):
            sure = [
                (1 / (1 + float(np.exp(-row[event]))), window)
                for window, row in enumerate(clip)
                if row[event] >= LIMITS[event]
            ]
            total = sum(weight for weight, _ in sure)
            places.append(sum(w * t for w, t in sure) / total if sure else None)
        assert value == (None not in places and places[0] < places[1])
    assert 0.2 < values.mean() < 0.5


def test_order_by_chance_is_half_of_what_is_heard():
    """Both events all along, in noise: 0.5 within three standard errors of 2,000 clips."""
    rng = np.random.default_rng(1)
    sounds = [rng.normal(4, 1, (8, 3)) for _ in range(2000)]
    values = event_order(sounds, LIMITS, [[[0], [1]]] * 2000)
    assert values.mean() == pytest.approx(0.5, abs=3 * 0.5 / 2000**0.5)


@pytest.mark.parametrize(
    ("function", "steps", "message"),
    [
        (event_order, [[0]], "steps: 1, expected 2 or more"),
        (event_order, [[0], [1], [0]], "name an event twice"),
        (event_overlap, [[0], [1]], "no two events together"),
    ],
)
def test_refusals(function, steps, message):
    with pytest.raises(ValueError, match=message):
        function([sound("a", "b")], LIMITS, [steps])


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 columns and thresholds 2"):
        event_order([sound("a", "b")], LIMITS[:2], [[[0], [1]]])
    with pytest.raises(ValueError, match="hold NaN"):
        event_overlap([sound("a") * np.nan], LIMITS, [[[0, 1]]])
