"""The captions' language model: a back-off trigram in ARPA form, for the cascade's recogniser.

Interpolated Witten-Bell estimates: with c(h) tokens and T(h) distinct words seen after history h,

    P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)),    h' = h without its first word,

down to a uniform distribution over the vocabulary (Witten and Bell 1991; Chen and Goodman 1998,
section 2.4). Unseen words get T(h) / (c(h) + T(h)) of P(w | h'), which is a back-off weight: ARPA
represents the model exactly.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

START, END = "<s>", "</s>"
Words = tuple[str, ...]
_NEVER = -99.0  # what ARPA files write for the logarithm of zero


class LanguageModel(NamedTuple):
    """`probabilities[h + (w,)]` is P(w | h) where h w is stored; `weights[h]` scales the rest."""

    probabilities: dict[Words, float]
    weights: dict[Words, float]

    def probability(self, history: Words, word: str) -> float:
        """Return P(word | history); KeyError for a word outside the vocabulary."""
        ngram = (*history, word)
        if ngram in self.probabilities or not history:
            return self.probabilities[ngram]
        return self.weights.get(history, 1.0) * self.probability(history[1:], word)

    @property
    def vocabulary(self) -> list[str]:
        """Return every word that can follow, END included and START not."""
        return sorted(ngram[0] for ngram in self.probabilities if len(ngram) == 1)


def count(captions: Iterable[str], order: int = 3) -> Counter[Words]:
    """Count the occurrences of every sequence of 1 to `order` words; START is history only."""
    counts: Counter[Words] = Counter()
    for caption in captions:
        tokens = (START, *caption.lower().split(), END)
        for last in range(1, len(tokens)):
            for first in range(max(0, last - order + 1), last + 1):
                counts[tokens[first : last + 1]] += 1
    return counts


def estimate(counts: Counter[Words]) -> LanguageModel:
    """Estimate the Witten-Bell model of `counts`; raises ValueError where there are none."""
    if not counts:
        raise ValueError("language model: no captions to learn from")
    tokens: Counter[Words] = Counter()
    kinds: Counter[Words] = Counter()
    for ngram, times in counts.items():
        tokens[ngram[:-1]] += times
        kinds[ngram[:-1]] += 1
    probabilities: dict[Words, float] = {}
    for ngram in sorted(counts, key=lambda ngram: (len(ngram), ngram)):
        history = ngram[:-1]
        shorter = probabilities[ngram[1:]] if history else 1 / kinds[()]
        mass = counts[ngram] + kinds[history] * shorter
        probabilities[ngram] = mass / (tokens[history] + kinds[history])
    return LanguageModel(probabilities, _compute_weights(probabilities))


def prune(model: LanguageModel, counts: Counter[Words], loss: float) -> LanguageModel:
    """Drop the longest n-grams whose backing off costs the captions less than `loss` nats in all.

    The weighted difference c(h w) ln(P(w | h) / P(w | h')) of Seymore and Rosenfeld (1996); what
    stays keeps its probability, the weights make up for the rest.
    """
    order = max(map(len, model.probabilities))

    def cost(ngram: Words) -> float:
        backed_off = model.weights[ngram[:-1]] * model.probability(ngram[1:-1], ngram[-1])
        return counts[ngram] * math.log(model.probabilities[ngram] / backed_off)

    kept = {
        ngram: probability
        for ngram, probability in model.probabilities.items()
        if len(ngram) < order or abs(cost(ngram)) >= loss
    }
    return LanguageModel(kept, _compute_weights(kept))


def _compute_weights(probabilities: dict[Words, float]) -> dict[Words, float]:
    """Return what every history's unseen words are multiplied with, so that all add up to one."""
    seen: dict[Words, float] = defaultdict(float)
    shorter: dict[Words, float] = defaultdict(float)
    for ngram, probability in probabilities.items():
        if history := ngram[:-1]:
            seen[history] += probability
            shorter[history] += probabilities[ngram[1:]]
    # Where every word was seen nothing is left to share out, but for what rounding makes of zero.
    return {h: max(0.0, 1 - seen[h]) / max(1e-12, 1 - shorter[h]) for h in seen}


def to_arpa(model: LanguageModel) -> str:
    """Write the model as ARPA text: base-ten logarithms, four digits, sorted."""
    by_length: dict[int, list[Words]] = defaultdict(list)
    for ngram in {*model.probabilities, (START,)}:
        by_length[len(ngram)].append(ngram)
    lines = ["\\data\\", *(f"ngram {n}={len(by_length[n])}" for n in sorted(by_length))]
    for length in sorted(by_length):
        lines += ["", f"\\{length}-grams:"]
        for ngram in sorted(by_length[length]):
            # START is history only, so it has no probability of its own.
            row = f"{_take_log10(model.probabilities.get(ngram, 0.0)):.4f}\t{' '.join(ngram)}"
            weight = model.weights.get(ngram)
            lines.append(row if weight is None else f"{row}\t{_take_log10(weight):.4f}")
    return "\n".join([*lines, "", "\\end\\", ""])


def _take_log10(value: float) -> float:
    return math.log10(value) if value > 0 else _NEVER


def perplexity(model: LanguageModel, captions: Iterable[str], order: int = 3) -> float:
    """Return the perplexity per word and end of caption; every word has to be in the vocabulary."""
    total, nats = 0, 0.0
    for caption in captions:
        tokens = (START, *caption.lower().split(), END)
        for last in range(1, len(tokens)):
            history = tokens[max(0, last - order + 1) : last]
            nats -= math.log(model.probability(history, tokens[last]))
            total += 1
    return math.exp(nats / total)
