"""Pronunciations: looked up where the dictionary has the word, by rule where not."""

from pathlib import Path

import pytest

from stabench.pocket import language_model, pronunciations

SHIPPED = Path(pronunciations.__file__).parent / "weights" / "asr"


@pytest.fixture(scope="module")
def known() -> dict:
    return pronunciations.read(pronunciations.shipped())


def test_reads_variants_as_one_word(known: dict) -> None:
    assert known["a"] == (("AH",), ("EY",))
    assert known["dog"] == (("D", "AO", "G"),)
    assert not [word for word in known if "(" in word]


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("dogs", "D AO G Z"),
        ("cats", "K AE T S"),
        ("whooshes", "W UW SH IH Z"),
        ("barking", "B AA R K IH NG"),
        ("raindrop", "R EY N D R AA P"),
        ("xyz", "K S IY Z"),
    ],
)
def test_guesses_by_rule(word: str, phones: str) -> None:
    known = {
        "dog": (("D", "AO", "G"),),
        "cat": (("K", "AE", "T"),),
        "whoosh": (("W", "UW", "SH"),),
        "bark": (("B", "AA", "R", "K"),),
        "rain": (("R", "EY", "N"),),
        "drop": (("D", "R", "AA", "P"),),
    }
    assert pronunciations.guess(word, known) == tuple(phones.split())


def test_guesses_agree_with_the_dictionary(known: dict) -> None:
    """Hide words that it has; the rules find the very phones that phoneticians wrote."""
    for word in ("barks", "dogs", "rings", "clocks", "barking", "ringing", "knocking", "birdsong"):
        hidden = {other: phones for other, phones in known.items() if other != word}
        assert pronunciations.guess(word, hidden) in known[word], word


def test_no_letters_is_an_error(known: dict) -> None:
    with pytest.raises(ValueError, match="'123' has no letter"):
        pronunciations.guess("123", {})


@pytest.mark.parametrize(
    ("american", "british"),
    [
        ("D AO R", "D AO"),
        ("HH AE M ER", "HH AA M AH"),
        ("R EY N", None),
        ("W EH R EH V ER", "W EH R EH V AH"),
        ("K L AA K", "K L AO K"),
    ],
)
def test_british_variants(american: str, british: str | None) -> None:
    variants = pronunciations.with_british((tuple(american.split()),))
    assert variants[0] == tuple(american.split())
    assert len(set(variants)) == len(variants)
    if british is None:
        assert len(variants) == 1
    else:
        assert tuple(british.split()) in variants


def test_says_which_words_are_guesses() -> None:
    spoken = pronunciations.pronounce(["dog", "dogs"], {"dog": (("D", "AO", "G"),)})
    assert spoken.guessed == ("dogs",)
    assert spoken.to_text() == "dog D AO G\ndogs D AO G Z\n"


def test_variants_are_numbered_as_pocketsphinx_wants() -> None:
    spoken = pronunciations.Pronunciations({"a": (("AH",), ("EY",))}, ())
    assert spoken.to_text() == "a AH\na(2) EY\n"


def test_shipped_files_fit_together(known: dict) -> None:
    spoken = pronunciations.read(SHIPPED / "words.dict")
    text = (SHIPPED / "caption.arpa").read_text(encoding="utf-8")
    unigrams = text.split("\\1-grams:")[1].split("\\2-grams:")[0].split("\n")
    words = {row.split()[1] for row in unigrams if row.strip()}
    assert words - {language_model.START, language_model.END} == set(spoken)
    phones = {phone for variants in known.values() for v in variants for phone in v}
    assert {phone for variants in spoken.values() for v in variants for phone in v} <= phones
