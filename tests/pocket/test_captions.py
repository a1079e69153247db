"""Captions and splits: the test says nothing that training said."""

from collections import Counter

import numpy as np
import pytest

from stabench.pocket import captions, speech
from stabench.pocket.captions import Phrase, caption, every_word
from stabench.pocket.scenes import items
from stabench.pocket.sounds.events import LABELS


def said(split: str, count: int = 4000) -> set[str]:
    return {text for item in items(split, count, 2) for text in item.captions}


def clauses(listed: tuple[Phrase, ...]) -> set[tuple[str, str]]:
    return {(phrase.subject, verb) for phrase in listed for verb in phrase[1:]}


def test_every_event_has_phrases():
    for wording, fewest in ((captions.TRAIN, 6), (captions.TEST, 3), (captions.DEVELOPMENT, 3)):
        assert set(wording) == set(LABELS)
        assert all(len(wording[label]) >= fewest for label in LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_training_test_and_development_share_no_phrase(label):
    train, test, development = (
        clauses(wording[label]) for wording in (captions.TRAIN, captions.TEST, captions.DEVELOPMENT)
    )
    assert not train & test
    assert not train & development
    assert not test & development


def test_training_test_and_development_share_no_caption():
    assert not said("test", 300) & said("train")
    assert not said("development", 300) & (said("train") | said("test"))


def test_validation_speaks_as_training_does_about_other_clips():
    train, validation = items("train", 300), items("validation", 300)
    assert not {item.scene.seed for item in train} & {item.scene.seed for item in validation}
    words = set(every_word())
    assert all(set(text.split()) <= words for text in said("validation", 300))


def test_test_words_are_nearly_all_known():
    words = Counter(word for item in items("test", 144) for word in item.captions[0].split())
    unknown = sum(count for word, count in words.items() if word not in every_word())
    assert unknown / sum(words.values()) < 0.02


def test_speakers_of_the_test_are_new():
    assert not set(speech.TEST_VOICES) & set(speech.TRAIN_VOICES)
    assert not set(speech.DEVELOPMENT_VOICES) & {*speech.TRAIN_VOICES, *speech.TEST_VOICES}


def test_items_are_balanced_and_do_not_depend_on_their_number():
    listed = items("test", 144)
    assert listed[:30] == items("test", 30)
    assert Counter(item.scene.relation for item in listed) == {"one": 48, "and": 48, "then": 48}
    heard = Counter(event for item in listed for event in item.scene.events)
    assert set(heard.values()) == {12}
    assert all(len(set(item.scene.events)) == len(item.scene.events) for item in listed)


def test_caption_names_both_events_in_order():
    rng = np.random.default_rng(0)
    text = caption(("dog", "rain"), "then", "test", rng)
    assert text.index(text.split()[-1]) > 0
    first = min(text.find(w) for w in ("dog", "hound") if w in text)
    second = min(text.find(w) for w in ("rain", "raindrops") if w in text)
    assert 0 <= first < second
