"""How each event is said, read from `phrases.toml`: three sets that share no phrase."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class Phrase(NamedTuple):
    """`subject finite` ("a dog barks") or `subject participle` ("a dog barking")."""

    subject: str
    finite: str
    participle: str


def _read() -> dict[str, dict[str, tuple[Phrase, ...]]]:
    text = Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8")
    return {
        split: {event: tuple(map(_phrase, lines)) for event, lines in events.items()}
        for split, events in tomllib.loads(text).items()
    }


def _phrase(line: str) -> Phrase:
    return Phrase(*(part.strip() for part in line.split("|")))


_PHRASES = _read()
TRAIN, TEST, DEVELOPMENT = (_PHRASES[split] for split in ("train", "test", "development"))
