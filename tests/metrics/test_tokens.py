"""Tokenizers of CLAP's text branch."""

import json

import pytest

from stabench.metrics.embedders.tokens import LENGTH, RobertaTokens, StandInTokens


def test_a_tokenizer_that_is_not_there_is_named(tmp_path):
    """Offline, transformers makes a tokenizer of five entries out of nothing."""
    for ask in (lambda tokens: tokens(["a dog"]), lambda tokens: tokens.identity):
        with pytest.raises(FileNotFoundError, match=r"vocab\.json is missing; fetch vocab\.json"):
            ask(RobertaTokens(tmp_path))


def test_a_tokenizer_that_is_not_whole_is_refused(tmp_path):
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "<mask>": 5}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokens = RobertaTokens(tmp_path)
    with pytest.raises(ValueError, match="6 tokens, expected 50265"):
        tokens(["a dog"])
    before = tokens.identity
    (tmp_path / "merges.txt").write_text("#version: 0.2\na a\n")
    assert RobertaTokens(tmp_path).identity != before


def test_stand_in_tokens_are_of_words_and_of_fixed_length():
    one, other, long = StandInTokens()(["A dog barks", "a  dog barks", "word " * 100]).ids
    assert (one == other).all()
    assert one[:6].tolist() == [0, 31170, 5371, 27188, 2, 1]
    assert len(set(long[1 : LENGTH - 1])) == 1
    assert long[LENGTH - 1] == 2
    ids, mask = StandInTokens()([""])
    assert (ids[0, :3].tolist(), mask.sum()) == ([0, 2, 1], 2)
