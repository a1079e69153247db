"""The word tokenizer: stable numbers, one mask, no row without a word."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stabench.systems.tta.word_tokenizer import WordTokenizer, split


def test_numbers_follow_the_vocabulary() -> None:
    words = WordTokenizer(["a", "dog", "barks"])
    ids, mask = words.encode(["A dog, barks!", "a cat"], max_length=4)
    assert ids.tolist() == [[2, 3, 4, 0], [2, 1, 0, 0]]
    assert mask.tolist() == [[True, True, True, False], [True, True, False, False]]
    assert ids.dtype == torch.int64
    assert len(words) == 5


def test_too_long_loses_its_end_and_empty_is_one_unknown() -> None:
    words = WordTokenizer(["a", "b"])
    ids, mask = words.encode(["a b a b", "", "?!"], max_length=2)
    assert ids.tolist() == [[2, 3], [1, 0], [1, 0]]
    assert mask.any(dim=1).all()


def test_survives_a_file(tmp_path) -> None:
    words = WordTokenizer(["a", "bark", "dog", "dog's", "falls", "rain"])
    words.write(tmp_path / "words.txt")
    again = WordTokenizer.read(tmp_path / "words.txt")
    assert again.vocabulary == words.vocabulary
    assert again.vocabulary == ("[PAD]", "[UNK]", "a", "bark", "dog", "dog's", "falls", "rain")


@pytest.mark.parametrize("vocabulary", [["Dog"], ["a b"], [""], ["[UNK]"]])
def test_odd_words_are_refused(vocabulary: list[str]) -> None:
    with pytest.raises(ValueError, match="is no lower-case word"):
        WordTokenizer(vocabulary)


def test_a_word_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="stands in it twice"):
        WordTokenizer(["a", "dog", "a"])


@given(st.lists(st.text(), max_size=5), st.integers(1, 6))
def test_any_text_is_words(texts: list[str], length: int) -> None:
    words = WordTokenizer(sorted({word for text in texts for word in split(text)}))
    ids, mask = words.encode(texts, length)
    assert ids.shape == mask.shape == (len(texts), length)
    assert ((ids > 0) == mask).all()
    for row, text in zip(ids.tolist(), texts, strict=True):
        assert [words.vocabulary[i] for i in row if i > 1] == split(text)[:length]
