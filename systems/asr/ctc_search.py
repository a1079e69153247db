"""Prefix beam search over CTC posteriors whose symbols are whole words, with a language model.

Hannun et al. (arXiv 1408.2873): a prefix is a row of words, and its probability is the sum over all
alignments that collapse to it. It is kept in two parts, alignments that end in blank and those that
end in the prefix's last word, because only after a blank does the same word count again. Here

    score(prefix) = ln P(prefix | speech) + lm_weight ln P(prefix) + word_bonus words

in the log domain, and ln P(prefix) includes the end of the sentence once the speech is over.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stabench.systems.asr.arpa import END, START, BackOffModel, Words
from stabench.systems.asr.ctc_config import SearchConfig

# The head's first output, ahead of the words.
BLANK = 0
_IMPOSSIBLE = (-math.inf, -math.inf)


class Hypothesis(NamedTuple):
    """What may have been said: `acoustic` is ln P(words | speech), `language` the weighted rest."""

    words: Words
    acoustic: float
    language: float

    @property
    def score(self) -> float:
        return self.acoustic + self.language


class _Frame(NamedTuple):
    """What is possible in one frame: ln P of blank, and (word, ln P) of the candidates."""

    blank: float
    words: list[tuple[str, float]]


def search_prefixes(
    log_posteriors: np.ndarray,
    words: Sequence[str],
    config: SearchConfig,
    language: BackOffModel | None = None,
) -> list[Hypothesis]:
    """Return the surviving prefixes, best first.

    `log_posteriors` [T, V + 1] are natural logarithms, blank first, then the V `words`; `language`
    has to know every word. The result is exact where the beam is as wide as there are prefixes and
    `min_probability` is 0. Raises ValueError for another shape and for NaN.
    """
    if log_posteriors.shape[1:] != (len(words) + 1,) or np.isnan(log_posteriors).any():
        raise ValueError(
            f"posteriors are {list(log_posteriors.shape)}, expected is [T, {len(words) + 1}] "
            "without NaN; check the head, or run it in float32"
        )
    # The start mark is there for the language model and is dropped from the result.
    root: Words = (START,)
    rest: dict[Words, float] = {root: 0.0}

    def weigh(prefix: Words) -> float:
        """Return the weighted language model and the bonus, each prefix's computed once."""
        if prefix not in rest:
            heard = 0.0 if language is None else language.log_probability(prefix[:-1], prefix[-1])
            rest[prefix] = weigh(prefix[:-1]) + config.lm_weight * heard + config.word_bonus
        return rest[prefix]

    beams: dict[Words, tuple[float, float]] = {root: (0.0, -math.inf)}
    for frame in _read_frames(log_posteriors, words, config):
        if frame.words:
            beams = _advance(beams, frame)
        else:
            # Only blank goes on: no prefix grows, and both endings become "in blank".
            beams = {
                prefix: (_add(*ends) + frame.blank, -math.inf) for prefix, ends in beams.items()
            }
        if len(beams) > config.beam:
            # The prefix itself decides between equal scores, so that the result has one order.
            ranked = ((_add(*ends) + weigh(prefix), prefix) for prefix, ends in beams.items())
            beams = {prefix: beams[prefix] for _, prefix in heapq.nlargest(config.beam, ranked)}
    hypotheses = []
    for prefix, ends in beams.items():
        end = 0.0 if language is None else config.lm_weight * language.log_probability(prefix, END)
        hypotheses.append(Hypothesis(prefix[1:], _add(*ends), weigh(prefix) + end))
    return sorted(hypotheses, key=lambda hypothesis: (-hypothesis.score, hypothesis.words))


def _read_frames(
    log_posteriors: np.ndarray, words: Sequence[str], config: SearchConfig
) -> list[_Frame]:
    """Return the frames of [T, V + 1], those in a row that offer no word as one."""
    floor = math.log(config.min_probability) if config.min_probability else -math.inf
    likely = log_posteriors >= floor
    likely[:, BLANK] = False
    # Most frames offer few words: only those with too many are sorted.
    for place in np.flatnonzero(likely.sum(1) > config.candidates).tolist():
        row = np.where(likely[place], log_posteriors[place], -np.inf)
        likely[place] = False
        likely[place, np.argsort(-row, kind="stable")[: config.candidates]] = True
    offers: list[list[tuple[str, float]]] = [[] for _ in log_posteriors]
    places, symbols = (index.tolist() for index in np.nonzero(likely))
    chances = log_posteriors[likely].tolist()
    for place, symbol, chance in zip(places, symbols, chances, strict=True):
        offers[place].append((words[symbol - 1], chance))
    frames: list[_Frame] = []
    for blank, pairs in zip(log_posteriors[:, BLANK].tolist(), offers, strict=True):
        # Blanks in a row multiply to one: pauses then cost the search a single step.
        if frames and not pairs and not frames[-1].words:
            frames[-1] = _Frame(frames[-1].blank + blank, [])
        else:
            frames.append(_Frame(blank, pairs))
    return frames


def _advance(
    beams: dict[Words, tuple[float, float]], frame: _Frame
) -> dict[Words, tuple[float, float]]:
    """Return ln P of every prefix after one more frame, ending in (blank, its last word)."""
    after: dict[Words, tuple[float, float]] = {}
    for prefix, (in_blank, in_word) in beams.items():
        either = _add(in_blank, in_word)
        last, repeated = prefix[-1], -math.inf
        for word, chance in frame.words:
            extended = either + chance
            if word == last:
                # Without a blank between, the same word goes on; only after one is it a new word.
                repeated, extended = in_word + chance, in_blank + chance
            if extended > -math.inf:
                longer = (*prefix, word)
                before = after.get(longer, _IMPOSSIBLE)
                after[longer] = (before[0], _add(before[1], extended))
        before = after.get(prefix, _IMPOSSIBLE)
        after[prefix] = (either + frame.blank, _add(before[1], repeated))
    return after


def _add(a: float, b: float) -> float:
    """Return ln(exp a + exp b)."""
    # The larger one outside: exp(b - a) is at most 1 and cannot overflow.
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
