"""Verdicts of single changes, and of the pair over quality and latency."""

import pytest

from stabench.harness.compare.paired import Change
from stabench.harness.compare.verdict import Bounds, Line, call, judge_pareto


def changed(value: float, low: float, high: float, least_p: float = 1e-4) -> Change:
    return Change(1.0, 1.0, value, low, high, 144, 0.5, least_p, None)


@pytest.mark.parametrize(
    ("ends", "p", "bounds", "word"),
    [
        ((0.5, 0.2, 0.8), 0.01, Bounds(), "regressed"),
        ((-0.5, -0.8, -0.2), 0.01, Bounds(), "improved"),
        ((0.5, 0.2, 0.8), 0.06, Bounds(), "inconclusive"),
        ((0.5, 0.2, 0.8), 0.01, Bounds(0.6, 0.6), "inconclusive"),
        ((0.5, 0.2, 0.59), 0.01, Bounds(0.6, 0.6), "same"),
        ((0.1, -0.2, 0.3), 0.7, Bounds(0.0, 0.3), "same"),
        ((0.1, -0.2, 0.31), 0.7, Bounds(0.0, 0.3), "inconclusive"),
        ((0.0, 0.0, 0.0), 1.0, Bounds(), "same"),
    ],
)
def test_words(ends: tuple[float, ...], p: float, bounds: Bounds, word: str) -> None:
    assert call(changed(*ends), p, "lower", bounds, relative=False).word == word
    mirror = changed(-ends[0], -ends[2], -ends[1])
    assert call(mirror, p, "higher", bounds, relative=False).word == word


def test_ratios_are_judged_as_shares_either_way() -> None:
    five = Bounds(0.05, 0.05)
    assert call(changed(1.06, 1.01, 1.1), 0.01, "lower", five, relative=True).word == "regressed"
    assert call(changed(1 / 1.06, 0.9, 0.99), 0.01, "lower", five, relative=True).word == "improved"
    assert call(changed(1.0501, 1.01, 1.1), 0.01, "lower", five, relative=True).word == "regressed"
    assert call(changed(1.04, 1.01, 1.049), 0.01, "lower", five, relative=True).word == "same"
    small = call(changed(1.04, 1.01, 1.06), 0.01, "lower", five, relative=True)
    assert (small.word, "below the least" in small.reason) == ("inconclusive", True)


def test_so_few_clips_that_nothing_could_be_found() -> None:
    few = call(changed(5.0, 4.0, 6.0, least_p=0.25), 0.25, "lower", Bounds(), relative=False)
    assert few == ("inconclusive", "so few clips give no p below 0.25")


def line(word: str, block: str = "quality", ends: tuple[float, ...] = (0.1, -1, 1)) -> Line:
    fine = word in ("improved", "same")
    change = changed(*ends) if word == "inconclusive" else None
    return Line("k", "K", block, "", 2, "lower", Bounds(0, 0.5), change, 0.5, word, no_worse=fine)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("improved", "same"), "dominates"),
        (("improved", "inconclusive"), "inconclusive"),
        (("regressed", "same"), "dominated"),
        (("regressed", "improved"), "trade-off"),
        (("regressed", "inconclusive"), "inconclusive"),
        (("same", "same"), "same"),
        (("improved", "not measured"), "dominates"),
        (("not measured",), "not measured"),
    ],
)
def test_pareto(words: tuple[str, ...], expected: str) -> None:
    assert judge_pareto([line(word) for word in words]) == expected


def test_stages_take_no_part_and_failures_alone_are_no_measurement() -> None:
    assert judge_pareto([line("same"), line("improved", "stage")]) == "same"
    assert judge_pareto([line("same", "failures"), line("not measured")]) == "not measured"
    assert judge_pareto([line("regressed", "failures"), line("improved")]) == "trade-off"


@pytest.mark.parametrize(("low", "expected"), [(0.96, "dominated"), (0.93, "inconclusive")])
def test_a_time_that_could_be_shorter_by_more_than_its_margin(low: float, expected: str) -> None:
    """Of 5 %: by a twentieth of 1.05 at most, so a ratio of 0.952."""
    time = line("inconclusive", "latency", (1.01, low, 1.1))._replace(bounds=Bounds(0.05, 0.05))
    assert judge_pareto([line("regressed"), time]) == expected


def test_no_better_within_the_margin_is_enough_to_be_dominated() -> None:
    """The interval reaches 0.4 below: better by less than the margin of 0.5 at most."""
    assert (
        judge_pareto([line("regressed"), line("inconclusive", ends=(0.3, -0.4, 1.0))])
        == "dominated"
    )
