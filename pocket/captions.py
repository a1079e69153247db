"""Captions in the manner of AudioCaps: a phrase for each event, joined by how they relate."""

import tomllib
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from stabench.pocket.sounds.scene import Relation

Option = TypeVar("Option")


class Phrase(NamedTuple):
    """`subject finite` ("a dog barks") or `subject participle` ("a dog barking")."""

    subject: str
    finite: str
    participle: str


# Read from a table of split, event and lines "subject | finite | participle".
_PHRASES: dict[str, dict[str, tuple[Phrase, ...]]] = {
    split: {
        event: tuple(Phrase(*map(str.strip, line.split("|"))) for line in lines)
        for event, lines in events.items()
    }
    for split, events in tomllib.loads(
        Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8")
    ).items()
}
TRAIN, TEST, DEVELOPMENT = (_PHRASES[split] for split in ("train", "test", "development"))


Split = Literal["train", "validation", "development", "test"]

# {A}, {B} take finite clauses ("a dog barks"), {a}, {b} participles ("a dog barking").
_TRAIN: dict[Relation, tuple[str, ...]] = {
    "one": (
        "{A}", "{a}", "{A} nearby", "{a} nearby", "{A} in the distance", "{a} in the distance",
        "{A} loudly", "the sound of {a}", "{A} outside", "{a} repeatedly", "there is {a}",
    ),
    "and": (
        "{A} and {B}", "{a} and {b}", "{A} while {B}", "{A} as {B}",
        "{a} with {b} in the background", "{A} with {b}", "{a} while {B}",
        "both {a} and {b}", "{A} and at the same time {B}",
    ),
    "then": (
        "{A} and then {B}", "{A} then {B}", "{a} followed by {b}", "{A} followed by {b}",
        "{A} before {B}", "first {A} and after that {B}", "{a} then {b}", "{A} and afterwards {B}",
        "{A} and later {B}",
    ),
}  # fmt: skip
_TEST: dict[Relation, tuple[str, ...]] = {
    "one": ("{A} repeatedly", "{a} outside", "there is the sound of {a}", "{a} loudly nearby"),
    "and": (
        "{a} as {B}", "at the same time {A} and {B}", "the sound of {a} while {B}", "{a} with {b}",
    ),
    "then": (
        "first {a} then {b}", "{a} and after that {b}", "{a} and later {b}",
        "{A} followed then by {b}",
    ),
}  # fmt: skip
_DEVELOPMENT: dict[Relation, tuple[str, ...]] = {
    "one": (
        "there is {a} nearby", "the sound of {a} outside", "{A} repeatedly nearby", "{a} loudly",
    ),
    "and": (
        "{a} and at the same time {b}", "{A} with {b} in the background", "{a} as {b}",
        "there is {a} while {B}",
    ),
    "then": (
        "{a} and then {b}", "first {a} and later {b}", "{a} before {b}", "{A} and after that {B}",
    ),
}  # fmt: skip
_WORDING = {
    "train": (TRAIN, _TRAIN),
    "validation": (TRAIN, _TRAIN),
    "development": (DEVELOPMENT, _DEVELOPMENT),
    "test": (TEST, _TEST),
}


def caption(
    events: tuple[str, ...], relation: Relation, split: Split, rng: np.random.Generator
) -> str:
    """Return a caption in the wording of `split`.

    Test and development have phrases and templates of their own, validation has training's.
    """
    wording, templates = _WORDING[split]
    parts = [_pick(wording[event], rng) for event in events]
    template = _pick(templates[relation], rng)
    words = {}
    for key, part in zip("ab", parts, strict=False):
        words[key] = f"{part.subject} {part.participle}"
        words[key.upper()] = f"{part.subject} {part.finite}"
    return template.format(**words)


def every_word() -> tuple[str, ...]:
    """Return the words that training captions are made of, sorted."""
    texts = [t for group in _TRAIN.values() for t in group]
    texts += [" ".join(phrase) for group in TRAIN.values() for phrase in group]
    words = " ".join(texts)
    # Slots are no words: captions have the words of phrases in their place.
    for slot in ("{A}", "{B}", "{a}", "{b}"):
        words = words.replace(slot, " ")
    return tuple(sorted(set(words.split())))


def _pick(options: tuple[Option, ...], rng: np.random.Generator) -> Option:
    return options[int(rng.integers(len(options)))]
