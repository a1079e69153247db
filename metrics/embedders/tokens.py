"""Captions to token ids, for the text branch of CLAP."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np

# The size of roberta-base's vocabulary, and how many tokens laion_clap cuts or pads captions to.
ROBERTA_TOKENS, LENGTH = 50265, 77
# Numbers of <s>, <pad> and </s> in it; 3 is <unk>, and words follow.
BEGIN, PAD, END, FIRST_WORD = 0, 1, 2, 4
FILES = ("vocab.json", "merges.txt")


class Tokens(NamedTuple):
    """`ids` and `mask` int64 [N, L]; `mask` is 0 at padding, which follows the words."""

    ids: np.ndarray
    mask: np.ndarray


class Tokenizer(Protocol):
    """`identity` names everything that decides the ids, such as a digest of the word list."""

    @property
    def identity(self) -> str: ...

    def __call__(self, captions: list[str]) -> Tokens: ...


class RobertaTokens:
    """The tokenizer of the published checkpoints, from `vocab.json` and `merges.txt` of a folder.

    They are read at the first caption. Raises FileNotFoundError, or ValueError when the tokenizer
    is not whole: offline, transformers returns one of five tokens without an error, and every
    caption becomes the same.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def identity(self) -> str:
        digest = hashlib.sha256()
        for name in FILES:
            digest.update(self._require(name).read_bytes())
        return f"roberta {LENGTH} {digest.hexdigest()}"

    def __call__(self, captions: list[str]) -> Tokens:
        encoded = self._tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=LENGTH,
            return_tensors="np",
        )
        return Tokens(encoded["input_ids"], encoded["attention_mask"])

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import RobertaTokenizer

        for name in FILES:
            self._require(name)
        tokenizer = RobertaTokenizer.from_pretrained(str(self.folder), local_files_only=True)
        if len(tokenizer) != ROBERTA_TOKENS:
            raise ValueError(
                f"tokenizer {self.folder}: {len(tokenizer)} tokens, expected {ROBERTA_TOKENS}; "
                "fetch vocab.json and merges.txt of roberta-base"
            )
        return tokenizer

    def _require(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"tokenizer file {path} is missing; fetch {' and '.join(FILES)} of roberta-base"
            )
        return path


class StandInTokens:
    """A number for each word, for random weights: as long as English in RoBERTa, no vocabulary."""

    identity = f"stand-in crc32 {ROBERTA_TOKENS} {LENGTH}"

    def __call__(self, captions: list[str]) -> Tokens:
        ids = np.full((len(captions), LENGTH), PAD, dtype=np.int64)
        for row, caption in zip(ids, captions, strict=True):
            # Any number will do, as long as a word always has the same.
            hashes = [crc32(word.lower().encode()) for word in caption.split()[: LENGTH - 2]]
            words = [FIRST_WORD + number % (ROBERTA_TOKENS - FIRST_WORD) for number in hashes]
            row[: len(words) + 2] = [BEGIN, *words, END]
        return Tokens(ids, (ids != PAD).astype(np.int64))
