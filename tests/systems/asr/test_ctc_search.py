"""Prefix beam search against a sum over every alignment, against torch's CTC loss, and by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from stabench.pocket import language_model as lm
from stabench.systems.asr.arpa import END, START, BackOffModel, read_arpa
from stabench.systems.asr.ctc_config import SearchConfig
from stabench.systems.asr.ctc_search import search_prefixes

WORDS = ("rain", "falls", "again")
EXACT = SearchConfig(beam=10**6, candidates=10**6, min_probability=0.0)
FLAT = BackOffModel(1, {(word,): -1.0 for word in (*WORDS, START, END)}, {})


def draw(seed: int, frames: int, words: int = len(WORDS), sharpness: float = 1.0) -> np.ndarray:
    """Random log posteriors [T, V + 1]."""
    logits = sharpness * np.random.default_rng(seed).normal(size=(frames, words + 1))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def collapse(path: tuple[int, ...]) -> tuple[str, ...]:
    """Repetitions of a frame's symbol count once, blanks not at all."""
    return tuple(WORDS[symbol - 1] for symbol, _ in itertools.groupby(path) if symbol)


def sum_alignments(posteriors: np.ndarray) -> dict[tuple[str, ...], float]:
    """P(words) as the sum over all (V + 1)^T paths."""
    sums: dict[tuple[str, ...], float] = {}
    for path in itertools.product(range(posteriors.shape[1]), repeat=len(posteriors)):
        chance = math.prod(posteriors[frame, symbol] for frame, symbol in enumerate(path))
        if chance:
            sums[collapse(path)] = sums.get(collapse(path), 0.0) + chance
    return sums


@pytest.fixture(scope="module")
def language(tmp_path_factory) -> tuple[lm.LanguageModel, BackOffModel]:
    """A trigram of four texts, and what reads back from its file."""
    model = lm.estimate(lm.count(["rain falls", "rain falls again", "again rain", "again again"]))
    path = tmp_path_factory.mktemp("lm") / "rain.arpa"
    path.write_text(lm.to_arpa(model))
    return model, read_arpa(path)


@pytest.mark.parametrize("frames", [1, 2, 4, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wide_beam_sums_over_every_alignment(frames: int, seed: int) -> None:
    log_posteriors = draw(seed, frames)
    expected = sum_alignments(np.exp(log_posteriors))
    hypotheses = search_prefixes(log_posteriors, WORDS, EXACT)
    assert {hypothesis.words for hypothesis in hypotheses} == set(expected)
    for hypothesis in hypotheses:
        # Sums in another order and domain: rounding only.
        assert math.exp(hypothesis.score) == pytest.approx(expected[hypothesis.words], rel=1e-9)
    assert hypotheses[0].words == max(expected, key=expected.get)
    assert sum(math.exp(each.acoustic) for each in hypotheses) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [3, 4])
def test_scores_add_the_language_model_and_the_bonus(language, seed: int) -> None:
    written, model = language
    config = SearchConfig(10**6, lm_weight=0.7, word_bonus=0.3, candidates=9, min_probability=0.0)
    log_posteriors = draw(seed, 4)
    expected = sum_alignments(np.exp(log_posteriors))
    hypotheses = search_prefixes(log_posteriors, WORDS, config, model)
    assert len(hypotheses) == len(expected)
    for words, acoustic, rest in hypotheses:
        tokens = (START, *words, END)
        nats = sum(
            math.log(written.probability(tokens[max(0, n - 2) : n], tokens[n]))
            for n in range(1, len(tokens))
        )
        assert math.exp(acoustic) == pytest.approx(expected[words], rel=1e-9)
        # The file keeps four digits of each base-ten logarithm.
        assert rest == pytest.approx(0.7 * nats + 0.3 * len(words), abs=0.7 * 3.5e-4 * len(tokens))
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("candidates", "floor"), [(9, 0.15), (1, 0.0), (2, 0.1)])
def test_what_a_frame_does_not_offer_counts_as_impossible(candidates: int, floor: float) -> None:
    log_posteriors = draw(5, 5)
    posteriors = np.exp(log_posteriors)
    for row in posteriors:
        likely = 1 + np.argsort(-row[1:])[:candidates]
        keep = [symbol for symbol in likely if row[symbol] >= floor]
        row[[symbol for symbol in range(1, len(row)) if symbol not in keep]] = 0.0
    expected = sum_alignments(posteriors)
    config = SearchConfig(10**6, candidates=candidates, min_probability=floor)
    sums = {
        each.words: math.exp(each.score) for each in search_prefixes(log_posteriors, WORDS, config)
    }
    assert sums == pytest.approx(expected, rel=1e-9)
    assert len(sums) < len(sum_alignments(np.exp(log_posteriors)))


def test_blank_frames_are_taken_together_and_cost_their_blank() -> None:
    silence = np.log(np.array([[0.9997, 0.0001, 0.0001, 0.0001]] * 7))
    spoken = draw(6, 4, sharpness=3.0)
    config = SearchConfig(beam=10**6, candidates=9)
    alone = {each.words: each.score for each in search_prefixes(spoken, WORDS, config)}
    framed = np.concatenate([silence, spoken, silence])
    padded = {each.words: each.score for each in search_prefixes(framed, WORDS, config)}
    assert padded == pytest.approx({k: v + 14 * math.log(0.9997) for k, v in alone.items()})


def test_the_same_word_counts_again_only_after_a_blank() -> None:
    rain, blank = [0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]
    config = SearchConfig(beam=4)
    once = search_prefixes(np.log([rain, rain, rain]), WORDS, config)
    again = search_prefixes(np.log([rain, blank, rain]), WORDS, config)
    assert once[0].words == ("rain",)
    assert again[0].words == ("rain", "rain")


@pytest.mark.parametrize("seed", range(20))
def test_beam_one_is_greedy_where_posteriors_are_sharp(seed: int) -> None:
    """Where each frame's best has at least 0.8, both take the same decisions (by induction)."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, len(WORDS) + 1, 30)
    best = rng.uniform(0.8, 0.999, 30)
    posteriors = np.repeat((1 - best[:, None]) / len(WORDS), len(WORDS) + 1, axis=1)
    posteriors[np.arange(30), symbols] = best
    (greedy,) = search_prefixes(np.log(posteriors), WORDS, SearchConfig(beam=1))
    assert greedy.words == collapse(tuple(symbols.tolist()))


def test_long_utterances_agree_with_the_loss_of_torch() -> None:
    """A narrow beam drops alignments only, so it is below the exact sum, and hardly."""
    rng = np.random.default_rng(8)
    words = tuple(f"w{n}" for n in range(50))
    logits = rng.normal(size=(90, 51))
    logits[:, 0] += 9
    for place in range(4, 88, 12):
        logits[place : place + 2, rng.integers(1, 51, 2)] += 12
    log_posteriors = torch.tensor(logits).log_softmax(-1)
    config = SearchConfig(beam=32, candidates=50, min_probability=1e-4)
    best = search_prefixes(log_posteriors.numpy(), words, config)[0]
    target = torch.tensor([[1 + words.index(word) for word in best.words]])
    loss = torch.nn.functional.ctc_loss(
        log_posteriors[:, None], target, torch.tensor([90]), torch.tensor([target.shape[1]])
    )
    exact = -float(loss) * target.shape[1]  # torch divides by the length
    assert len(best.words) >= 7
    assert exact - 0.1 <= best.acoustic <= exact + 1e-9


def test_the_language_model_decides_between_what_sounds_alike(language) -> None:
    _, model = language
    posteriors = np.log(
        [[0.02, 0.94, 0.02, 0.02], [0.94, 0.02, 0.02, 0.02], [0.1, 0.1, 0.38, 0.42]]
    )
    config = SearchConfig(beam=4)
    assert search_prefixes(posteriors, WORDS, config)[0].words == ("rain", "again")
    assert search_prefixes(posteriors, WORDS, config, model)[0].words == ("rain", "falls")


def test_the_end_of_the_sentence_counts() -> None:
    never = {(START,): -9.0, (END,): -1.0, ("rain",): -1.0, ("falls",): -1.0, ("again",): -1.0}
    model = BackOffModel(2, {**never, ("rain", END): -30.0}, {})
    posteriors = np.log([[0.01, 0.5, 0.39, 0.1]])
    assert search_prefixes(posteriors, WORDS, EXACT)[0].words == ("rain",)
    assert search_prefixes(posteriors, WORDS, EXACT, model)[0].words == ("falls",)


def test_a_bonus_lengthens_and_a_penalty_shortens() -> None:
    log_posteriors = draw(9, 12)
    lengths = [
        len(search_prefixes(log_posteriors, WORDS, SearchConfig(word_bonus=bonus))[0].words)
        for bonus in (-5.0, 0.0, 5.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[1] < lengths[2]


def test_the_beam_limits_and_the_result_repeats() -> None:
    log_posteriors = draw(10, 40)
    for beam in (1, 3, 8):
        first = search_prefixes(log_posteriors, WORDS, SearchConfig(beam=beam), FLAT)
        assert len(first) == beam
        assert search_prefixes(log_posteriors, WORDS, SearchConfig(beam=beam), FLAT) == first


def test_no_frame_is_no_word() -> None:
    (nothing,) = search_prefixes(np.zeros((0, 4)), WORDS, SearchConfig())
    assert nothing.words == ()
    assert nothing.score == 0.0


@pytest.mark.parametrize("posteriors", [np.zeros((3, 3)), np.zeros(4), np.full((3, 4), np.nan)])
def test_posteriors_that_are_none(posteriors: np.ndarray) -> None:
    with pytest.raises(
        ValueError, match=r"posteriors are \[.+\], expected is \[T, 4\] without NaN"
    ):
        search_prefixes(posteriors, WORDS, SearchConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 0}, "search.beam is 0, allowed are 1 and more"),
        ({"candidates": -1}, "search.candidates is -1, allowed are 1 and more"),
        ({"lm_weight": -0.5}, "search.lm_weight is -0.5, allowed are 0 and more"),
        ({"lm_weight": math.inf}, "search.lm_weight is inf"),
        ({"word_bonus": math.nan}, "search.word_bonus is nan, allowed are finite numbers"),
        ({"min_probability": 1.0}, "search.min_probability is 1.0, allowed are 0 to below 1"),
    ],
)
def test_settings_that_mean_nothing(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchConfig(**settings)
