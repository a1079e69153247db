"""The captions' language model: hand-computed values, sums of one, and its ARPA file read back."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.pocket import language_model as lm
from stabench.pocket.training import language

CAPTIONS = [
    "a dog barks",
    "a dog barks and rain falls",
    "a dog yaps",
    "rain falls",
    "rain falls and a dog barks",
    "a bird sings while rain falls",
]
SHIPPED = Path(lm.__file__).parent / "weights" / "asr" / "caption.arpa"


class Arpa:
    """A reader of ARPA files written from the format's definition alone."""

    def __init__(self, text: str) -> None:
        self.log10: dict[tuple[str, ...], float] = {}
        self.back_off: dict[tuple[str, ...], float] = {}
        head, *sections = re.split(r"^\\(\d)-grams:$", text, flags=re.MULTILINE)
        self.counts = {int(n): int(c) for n, c in re.findall(r"^ngram (\d)=(\d+)$", head, re.M)}
        for length, body in zip(sections[::2], sections[1::2], strict=True):
            for row in body.split("\\end\\")[0].strip().splitlines():
                fields = row.split()
                words = tuple(fields[1 : 1 + int(length)])
                self.log10[words] = float(fields[0])
                if len(fields) > 1 + int(length):
                    self.back_off[words] = float(fields[-1])

    def score(self, history: tuple[str, ...], word: str) -> float:
        if (*history, word) in self.log10:
            return self.log10[(*history, word)]
        return self.back_off.get(history, 0.0) + self.score(history[1:], word)


def _histories(model: lm.LanguageModel) -> list[tuple[str, ...]]:
    known = {ngram[:-1] for ngram in model.probabilities}
    return sorted(known | {("nowhere",), ("barks", "barks"), ("dog", "nowhere")})


def _total(model: lm.LanguageModel, history: tuple[str, ...]) -> float:
    return sum(model.probability(history, word) for word in model.vocabulary)


def test_values_computed_by_hand() -> None:
    # "a b", "a c": c(a) = 2, b and c once, </s> twice: 6 tokens of 4 kinds.
    model = lm.estimate(lm.count(["a b", "a c"]))
    assert model.probability((), "b") == pytest.approx((1 + 4 / 4) / 10)
    assert model.probability((), "a") == pytest.approx((2 + 4 / 4) / 10)
    # After "a": 2 tokens of 2 kinds; P(b) = 0.2, P(</s>) = 0.3.
    assert model.probability(("a",), "b") == pytest.approx((1 + 2 * 0.2) / 4)
    assert model.probability(("a",), lm.END) == pytest.approx(2 / 4 * 0.3)
    # After "<s> a": the same counts on top of P(b | a) = 0.35.
    assert model.probability((lm.START, "a"), "b") == pytest.approx((1 + 2 * 0.35) / 4)


@pytest.mark.parametrize("loss", [0.0, 0.5, 2.0, math.inf])
def test_every_history_sums_to_one(loss: float) -> None:
    counts = lm.count(CAPTIONS)
    model = lm.prune(lm.estimate(counts), counts, loss)
    for history in _histories(model):
        assert _total(model, history) == pytest.approx(1.0, abs=1e-9), history


@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=5).map(" ".join), min_size=1, max_size=6)
)
@settings(max_examples=60, deadline=None)
def test_any_captions_give_a_distribution(captions: list[str]) -> None:
    model = lm.estimate(lm.count(captions))
    assert all(0 < p <= 1 for p in model.probabilities.values())
    for history in {ngram[:-1] for ngram in model.probabilities}:
        assert _total(model, history) == pytest.approx(1.0, abs=1e-9)


def test_arpa_says_what_the_model_says() -> None:
    model = lm.estimate(lm.count(CAPTIONS))
    arpa = Arpa(lm.to_arpa(model))
    for history in _histories(model):
        for word in model.vocabulary:
            # Four digits, summed over at most three numbers.
            expected = math.log10(model.probability(history, word))
            assert arpa.score(history, word) == pytest.approx(expected, abs=2e-4)
    assert arpa.log10[(lm.START,)] == -99
    lengths = [len(ngram) for ngram in arpa.log10]
    assert arpa.counts == {n: lengths.count(n) for n in (1, 2, 3)}


def test_text_of_the_domain_is_likelier_than_shuffled_text() -> None:
    model = lm.estimate(lm.count(CAPTIONS))
    held_out = ["a dog yaps and rain falls", "a bird sings and a dog barks"]
    shuffled = ["falls and yaps dog rain a", "barks a sings dog and bird a"]
    assert lm.perplexity(model, held_out) < 0.3 * lm.perplexity(model, shuffled)


def test_pruning_drops_only_longest_and_costs_little() -> None:
    counts = lm.count(CAPTIONS)
    full = lm.estimate(counts)
    small = lm.prune(full, counts, 1.25)
    dropped = full.probabilities.keys() - small.probabilities.keys()
    assert {len(ngram) for ngram in dropped} == {3}
    assert len(dropped) < len([ngram for ngram in counts if len(ngram) == 3])
    # A caption's share of the loss: less than 1.25 nats for every trigram dropped.
    words = sum(len(caption.split()) + 1 for caption in CAPTIONS)
    allowed = math.exp(1.25 * len(dropped) / words)
    assert lm.perplexity(small, CAPTIONS) <= lm.perplexity(full, CAPTIONS) * allowed


def test_no_captions_is_an_error() -> None:
    with pytest.raises(ValueError, match="no captions to learn from"):
        lm.estimate(lm.count([]))


def test_training_twice_writes_the_same_bytes_and_they_are_the_shipped_ones(tmp_path: Path) -> None:
    language.ship(tmp_path)
    assert (tmp_path / "caption.arpa").read_bytes() == SHIPPED.read_bytes()
    assert SHIPPED.stat().st_size < 1_000_000


def test_the_shipped_model_sums_to_one() -> None:
    arpa = Arpa(SHIPPED.read_text(encoding="utf-8"))
    words = [ngram[0] for ngram in arpa.log10 if len(ngram) == 1 and ngram != (lm.START,)]
    for history in [(), ("a",), ("a", "dog"), (lm.START, "the"), ("and", "then")]:
        total = sum(10 ** arpa.score(history, word) for word in words)
        assert total == pytest.approx(1.0, abs=2e-3), history
