"""Back-off language models in ARPA form, read strictly: a damaged file is an error, not a guess.

P(w | h) is the entry of h w where there is one, else the back-off weight of h times P(w | h'), with
h' = h without its first word (Katz 1987). The file holds base-ten logarithms.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple

START, END = "<s>", "</s>"
Words = tuple[str, ...]
_COUNT = re.compile(r"ngram (\d+)\s*=\s*(\d+)")


class BackOffModel(NamedTuple):
    """Natural logarithms of n-gram probabilities and of the back-off weights of histories."""

    order: int
    probabilities: dict[Words, float]
    weights: dict[Words, float]

    def log_probability(self, history: Words, word: str) -> float:
        """ln P(word | the last order - 1 words of `history`); KeyError for an unknown word.

        The logarithm of zero is what the file writes for it (as a rule -99 to base ten), which
        stays finite: a weight of zero times it is zero.
        """
        # The model knows no longer histories; at order 1 nothing is left of any.
        history = history[max(0, len(history) - self.order + 1) :]
        backed_off = 0.0
        while history and (*history, word) not in self.probabilities:
            # A history without a weight of its own has one of 1, whose logarithm is 0.
            backed_off += self.weights.get(history, 0.0)
            history = history[1:]
        return backed_off + self.probabilities[*history, word]

    @property
    def vocabulary(self) -> frozenset[str]:
        """Every word of the model, START and END included."""
        return frozenset(ngram[0] for ngram in self.probabilities if len(ngram) == 1)


class _Lines:
    """The lines of a file that say something, with their numbers for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.number = path, 0
        # Not splitlines: a word may hold a separator of its kind, such as U+0085.
        self._lines = enumerate(text.split("\n"), start=1)

    def next(self) -> str:
        """Return the next line that is not blank, stripped; ValueError at the end of the file."""
        for number, line in self._lines:
            if line.strip():
                self.number = number
                return line.strip()
        raise ValueError(
            f"{self.path}: ends without '\\end\\'; the file is cut off, write it again"
        )

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.path}:{self.number}: {what}; write the file again as ARPA")


def read_arpa(path: str | Path) -> BackOffModel:
    """Read a model of any order.

    FileNotFoundError: no file. ValueError with file and line: another format, a count that the
    header does not name, a repeated n-gram, a logarithm that is none, no START or END.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such language model; train it again, or leave it out")
    lines = _Lines(path, _read_text(path))
    if (first := lines.next()) != "\\data\\":
        raise lines.error(f"begins with {first[:40]!r}, expected is '\\data\\'")
    counts, line = _read_counts(lines)
    model = BackOffModel(len(counts), {}, {})
    for length, count in enumerate(counts, start=1):
        if line != f"\\{length}-grams:":
            raise lines.error(f"has {line[:40]!r}, expected is '\\{length}-grams:'")
        entries = 0
        while not (line := lines.next()).startswith("\\"):
            _add_entry(model, lines, line, length)
            entries += 1
        if entries != count:
            raise lines.error(f"{entries} {length}-grams end here, the header says {count}")
    if line != "\\end\\":
        raise lines.error(f"has {line[:40]!r}, expected is '\\end\\'")
    for mark in (START, END):
        if (mark,) not in model.probabilities:
            raise ValueError(f"{path}: has no {mark!r}; train it on sentences with both ends")
    return model


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text ({error}); give a language model as ARPA") from error


def _read_counts(lines: _Lines) -> tuple[list[int], str]:
    """Return the header's counts for lengths 1, 2, ... and the line after them."""
    counts: list[int] = []
    while match := _COUNT.fullmatch(line := lines.next()):
        if int(match[1]) != len(counts) + 1:
            raise lines.error(f"has {line!r}, expected is 'ngram {len(counts) + 1}=...'")
        counts.append(int(match[2]))
    if not counts:
        raise lines.error(f"has {line[:40]!r}, expected is 'ngram 1=...'")
    return counts, line


def _add_entry(model: BackOffModel, lines: _Lines, line: str, length: int) -> None:
    """Add 'log10 P <tab> words [<tab> log10 back-off]' to the model."""
    fields = line.split()
    ngram, rest = tuple(fields[1 : length + 1]), fields[length + 1 :]
    # n-grams of the highest order are nobody's history, so that they have no back-off weight.
    if len(ngram) < length or len(rest) > (length < model.order):
        raise lines.error(f"{line[:60]!r} is no entry of {length} words")
    if ngram in model.probabilities:
        raise lines.error(f"{' '.join(ngram)!r} is there twice")
    for word in ngram:
        # Backing off ends at the 1-gram: without one, log_probability would meet a KeyError.
        if length > 1 and (word,) not in model.probabilities:
            raise lines.error(f"{word!r} is not among the 1-grams")
    model.probabilities[ngram] = _natural(lines, fields[0], 0.0)
    if rest:
        model.weights[ngram] = _natural(lines, rest[0], math.inf)


def _natural(lines: _Lines, text: str, largest: float) -> float:
    """Return a base-ten logarithm, finite and at most `largest`, as a natural one."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value <= largest):
        raise lines.error(f"{text!r} is no logarithm of a probability or back-off weight")
    return value * math.log(10)
