"""The rule: when a figure counts as reproduced, and how far off it is otherwise."""

import numpy as np
import pytest

from stabench.harness.reproduce.figures import NO_INTERVAL, judge, make_published
from stabench.harness.stats.estimate import Estimate


@pytest.mark.parametrize(
    ("published", "outcome", "sigmas"),
    [
        (2.23, "reproduced", None),
        (2.00, "reproduced", None),
        (1.995, "reproduced", None),  # printed as 2.00 or 1.99: it may have been 2.00
        (3.005, "reproduced", None),
        (1.50, "off", 1.96 * (2.2 - 1.505) / 0.2),
        (4.00, "off", 1.96 * (3.995 - 2.2) / 0.8),
    ],
)
def test_a_figure_is_judged_by_the_run_s_interval_and_the_rounding_of_the_paper(
    published, outcome, sigmas
):
    judgement = judge(make_published(published, 2), Estimate(2.2, 2.0, 3.0, 975))
    assert judgement[0] == outcome
    assert judgement[1] == (None if sigmas is None else pytest.approx(sigmas))
    assert sigmas is None or sigmas > 1.96


def test_what_has_no_interval_or_no_value_is_not_judged():
    assert judge(make_published(1.0, 2), Estimate.missing("not scored")) == (
        "not run",
        None,
        ("not scored",),
    )
    assert judge(make_published(1.0, 2), Estimate(1.0, None, None, 1))[0] == "not comparable"
    flat = judge(make_published(2.0, 2), Estimate(1.0, 1.0, 1.0, 5))
    assert (flat[0], flat[2]) == ("not comparable", (NO_INTERVAL,))
    with pytest.raises(ValueError, match="no published figure"):
        judge(make_published(None, 2), Estimate(1.0, 0.9, 1.1, 5))


def test_a_true_figure_is_reproduced_in_95_of_100_runs():
    rng, reproduced = np.random.default_rng(0), 0
    for mean in rng.normal(10.0, 1.0, 2_000):
        run = Estimate(mean, mean - 1.96, mean + 1.96, 100)
        reproduced += judge(make_published(10.0, 6), run)[0] == "reproduced"
    assert 0.935 < reproduced / 2_000 < 0.965
