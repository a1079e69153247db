"""A transcript set against its caption, word by word, as the word error rate counts it."""

from collections.abc import Iterable
from typing import NamedTuple

from harness.transcripts import normalise


class Piece(NamedTuple):
    """Words in a row of one `kind`: equal, substitute, delete or insert.

    A deleted piece has nothing `heard`, an inserted one nothing `said`.
    """

    kind: str
    said: str
    heard: str


class Alignment(NamedTuple):
    """The pieces in order, and errors over words of the caption."""

    pieces: tuple[Piece, ...]
    errors: int
    words: int


def align(caption: str, transcript: str) -> Alignment:
    """The normalised texts aligned by jiwer, the counts those of `transcripts.word_errors`."""
    said, heard = normalise(caption).split(), normalise(transcript).split()
    if not said or not heard:
        kind, text = ("delete", said) if said else ("insert", heard)
        piece = Piece(kind, " ".join(said), " ".join(heard))
        return Alignment((piece,) if text else (), len(text), len(said))
    import jiwer

    found = jiwer.process_words(" ".join(said), " ".join(heard))
    errors = found.substitutions + found.deletions + found.insertions
    return Alignment(tuple(_pieces(found.alignments[0], said, heard)), errors, len(said))


def _pieces(chunks: Iterable, said: list[str], heard: list[str]) -> Iterable[Piece]:
    for chunk in chunks:
        yield Piece(
            chunk.type,
            " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
