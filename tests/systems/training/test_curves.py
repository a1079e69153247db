"""The picture of a training's curves."""

import re

import pytest

from stabench.systems.training.curves import plot_curves
from stabench.systems.training.log import TrainingLog


@pytest.fixture
def log(tmp_path):
    log = TrainingLog(tmp_path / "toy.log.jsonl")
    for step in (500, 1000, 1500, 2000, 2500):
        log.append(step, {"loss": 1.0})
        log.append(step, {"fad": 900 / step, "clap": None if step == 500 else 0.4 + step / 9000})
    return log.path


def test_each_curve_has_a_panel_with_a_mark_for_each_number(log, tmp_path):
    plot_curves(log, tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    # Lines of the grid have two points; the curves, of five and four numbers, have as many.
    points = [
        len(re.findall("[ML]", path)) for path in re.findall(r'<path d="(M [^"]*)" clip', text)
    ]
    assert sorted(count for count in points if count > 2) == [4, 5]
    plot_curves(log, tmp_path / "loss.png", ("loss",))
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_that_the_log_has_not_is_refused_with_the_nearest(log, tmp_path):
    with pytest.raises(ValueError, match=r"toy\.log\.jsonl: no 'fat' in it; did you mean 'fad'"):
        plot_curves(log, tmp_path / "curves.png", ("fat",))
