"""Text to word numbers: the tokenizer of a small text encoder with a closed vocabulary."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

PAD, UNK = "[PAD]", "[UNK]"
_WORD = re.compile(r"[a-z0-9']+")


class WordBatch(NamedTuple):
    """`ids` int64 [B, L], padded with 0; `mask` bool [B, L], true where there is a word."""

    ids: torch.Tensor
    mask: torch.Tensor


class WordTokenizer:
    """Lower-case words without punctuation; [PAD] is 0, [UNK] is 1, the vocabulary follows.

    The order of `vocabulary` is the order of the embedding's rows: keep it with the weights.
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        words = list(vocabulary)
        if words[:2] == [PAD, UNK]:
            words = words[2:]
        odd = [word for word in words if not _WORD.fullmatch(word)]
        if odd:
            raise ValueError(f"vocabulary: {odd[0]!r} is no lower-case word (a-z, 0-9, ')")
        self.vocabulary = (PAD, UNK, *words)
        self._ids = {word: number for number, word in enumerate(self.vocabulary)}
        if len(self._ids) != len(self.vocabulary):
            raise ValueError("vocabulary: a word stands in it twice; every word needs one row")

    def __len__(self) -> int:
        """Rows of the embedding, [PAD] and [UNK] included."""
        return len(self.vocabulary)

    @classmethod
    def read(cls, path: Path) -> "WordTokenizer":
        """One word a line, as `write` leaves it."""
        return cls(path.read_text(encoding="utf-8").split())

    def write(self, path: Path) -> None:
        path.write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8")

    def encode(self, texts: list[str], max_length: int) -> WordBatch:
        """`L` is always `max_length`: longer texts lose their end.

        An empty text becomes one [UNK], so that no row of a batch attends to nothing.
        """
        ids = torch.zeros(len(texts), max_length, dtype=torch.int64)
        for row, text in enumerate(texts):
            numbers = self.numbers(text)[:max_length]
            ids[row, : len(numbers)] = torch.tensor(numbers)
        # 0 is [PAD], which no word has.
        return WordBatch(ids, ids != 0)

    def find_unknown_words(self, texts: Iterable[str]) -> set[str]:
        """Return the words of some texts that all become one [UNK].

        >>> WordTokenizer(["dog", "barks"]).find_unknown_words(["A dog barks!", "a cat"]) == {
        ...     "a",
        ...     "cat",
        ... }
        True
        """
        return {word for text in texts for word in split(text)} - self._ids.keys()

    def numbers(self, text: str) -> list[int]:
        """Word numbers of one text, at least one."""
        return [self._ids.get(word, 1) for word in split(text)] or [1]


def split(text: str) -> list[str]:
    """The words of a text: lower case, digits and apostrophes kept, punctuation dropped."""
    return _WORD.findall(text.lower())
