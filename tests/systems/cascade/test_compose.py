"""Cascades composed of registered parts by their names."""

import re
from typing import Any

import pytest

from stabench.harness.registry import BUILT_IN
from stabench.systems.cascade import compose
from stabench.systems.cascade.cascade import Cascade, UntrainedCascade
from stabench.systems.cascade.compose import cascade, find_part


@pytest.mark.parametrize(
    ("half", "name", "size"),
    [
        ("asr", "whisper", None),
        ("asr", "whisper-large-v3", "large-v3"),
        ("asr", "faster-whisper", None),
        ("asr", "faster-whisper-tiny.en", "tiny.en"),
        ("asr", "caption", None),
        ("asr", "pocketsphinx", None),
        ("asr", "pocket-pocketsphinx", None),
        ("tta", "audioldm2-large", "large"),
        ("tta", "tango2", None),
        ("tta", "stable-audio-open", None),
        ("tta", "tangoflux", None),
        ("tta", "pocket", None),
    ],
)
def test_a_part_is_the_longest_registered_name_that_begins_it(
    half: str, name: str, size: str | None
) -> None:
    assert find_part(half, name).size == size


@pytest.mark.parametrize("name", ["wisper", "whisperbase", "", "-base", "tango2"])
def test_an_unknown_part_is_named_with_all_that_are_known(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"asr: unknown part '{name}'")) as caught:
        find_part("asr", name)
    assert "pocketsphinx, whisper" in str(caught.value)


def test_any_recogniser_goes_before_any_generator() -> None:
    made = cascade("whisper-small", "audioldm2-large")
    assert type(made) is Cascade
    assert (made.asr.model, made.tta.size) == ("small", "large")
    oracle = cascade("caption", "tango2")
    assert oracle.reads_caption
    mixed = cascade("pocket-ctc", {"use": "ezaudio", "steps": 7})
    assert type(mixed.asr).__name__ == "CtcRecogniser"
    assert mixed.sample_rate == mixed.tta.sample_rate


def test_weights_are_for_both_halves_unless_a_table_has_its_own() -> None:
    made = cascade("whisper-tiny", "tango2", weights="random")
    assert type(made) is UntrainedCascade
    assert (made.asr.weights, made.tta.weights) == ("random", "random")
    half = cascade({"use": "whisper-tiny", "weights": "published"}, "tango2", weights="random")
    assert type(half) is Cascade
    assert (half.asr.weights, half.tta.weights) == ("published", "random")


def test_the_harness_lists_the_parts_that_are_built_in() -> None:
    kinds = {"asr": "recognisers", "tta": "generators"}
    assert {half: BUILT_IN[kind] for half, kind in kinds.items()} == compose.PARTS
    for half, kind in kinds.items():
        assert compose.GROUPS[half] == f"stabench.{kind}"


def test_built_in_parts_need_no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another interpreter, where this copy of stabench is no installed distribution."""
    monkeypatch.setattr(compose, "entry_points", lambda group: [])
    assert cascade("whisper-tiny", "tango2").asr.model == "tiny"
    with pytest.raises(ValueError, match="unknown part 'pocket-ctc'"):
        find_part("asr", "pocket-ctc")


def test_a_folder_of_weights_holds_each_part_under_its_name(tmp_path: Any) -> None:
    (tmp_path / "whisper-tiny").mkdir()
    (tmp_path / "tango2").mkdir()
    for asr in ("whisper-tiny", {"use": "whisper", "model": "tiny"}):
        made = cascade(asr, "tango2", weights=str(tmp_path))
        assert made.asr.weights == str(tmp_path / "whisper-tiny")
        # A generator looks into the folder itself.
        assert made.tta.weights == str(tmp_path)


@pytest.mark.parametrize(
    ("asr", "tta", "line"),
    [
        (
            "caption-large",
            "tango2",
            "asr: 'caption' has no sizes; leave 'large' out",
        ),
        ({"model": "tiny"}, "tango2", "without a name; give it one: use = ..."),
        (
            {"use": "whisper", "modle": "x"},
            "tango2",
            "unknown option 'modle'; did you mean 'model'?",
        ),
        ("whisper", "tango", "tta: unknown part 'tango'; did you mean 'tango2'?"),
    ],
)
def test_what_is_wrong_with_a_half_is_said(asr: Any, tta: Any, line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        cascade(asr, tta)


def test_parts_of_other_packages_are_found_by_their_entry_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Point:
        name, value = "mine", "stabench.systems.asr.caption:CaptionAsr"

    monkeypatch.setattr(compose, "entry_points", lambda group: [Point])
    assert find_part("asr", "mine").target == Point.value
