"""The text of MeanAudio: CLAP's tower against plain torch, T5's padding handed on."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stabench.systems.tta.meanaudio import prompt
from tests.systems.tta import tiny_meanaudio

TINY = tiny_meanaudio
CLAP = tiny_meanaudio.tensors(tiny_meanaudio.clap())
TEXTS = ("a dog barks while rain falls", "wind")


@pytest.fixture(scope="module")
def readers(home) -> prompt.TextReaders:
    """Both encoders of the tiny checkpoint."""
    clap = home / "clap-music-speech-audioset" / "music_speech_audioset_epoch_15_esc_89.98.pt"
    return prompt.read_text(home / "flan-t5-large", clap, home / "roberta-base")


def linear(values: Tensor, name: str) -> Tensor:
    return values @ CLAP[f"{name}.weight"].T + CLAP[f"{name}.bias"]


def normed(values: Tensor, name: str) -> Tensor:
    weight, bias = CLAP[f"{name}.weight"], CLAP[f"{name}.bias"]
    return functional.layer_norm(values, weight.shape, weight, bias, eps=1e-5)


def row(ids: Tensor) -> Tensor:
    """laion_clap's encode_text and normalisation for one text [L] without padding.

    RoBERTa counts positions from 2. One head, one layer.
    """
    words = CLAP["text_branch.embeddings.word_embeddings.weight"][ids]
    words = words + CLAP["text_branch.embeddings.token_type_embeddings.weight"][0]
    words = words + CLAP["text_branch.embeddings.position_embeddings.weight"][2 : 2 + len(ids)]
    states, layer = normed(words, "text_branch.embeddings.LayerNorm"), "text_branch.encoder.layer.0"
    query, key, value = (
        linear(states, f"{layer}.attention.self.{name}") for name in ("query", "key", "value")
    )
    read = (query @ key.T / query.shape[1] ** 0.5).softmax(-1) @ value
    read = linear(read, f"{layer}.attention.output.dense")
    states = normed(states + read, f"{layer}.attention.output.LayerNorm")
    deep = functional.gelu(linear(states, f"{layer}.intermediate.dense"))
    states = normed(states + linear(deep, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    pooled = linear(states[0], "text_branch.pooler.dense").tanh()
    projected = linear(linear(pooled, "text_projection.0").relu(), "text_projection.2")
    return projected / projected.norm()


def test_the_row_is_that_of_laions_text_tower(readers, spans) -> None:
    for text in TEXTS:
        expected = row(torch.tensor(readers.tokenize(text).input_ids))
        pooled = readers(text, spans).pooled
        torch.testing.assert_close(pooled[0], expected, atol=1e-5, rtol=0)


def test_states_are_padded_to_77_and_padding_is_not_read(readers, spans) -> None:
    tokens = readers.t5.tokenize(TEXTS[0])
    with torch.inference_mode():
        alone = readers.t5.encoder(input_ids=tokens.ids).last_hidden_state
    states = readers(TEXTS[0], spans).states
    assert spans.names == ["text_encoder.t5", "text_encoder.clap"]
    assert states.shape == (1, 77, tiny_meanaudio.TEXT_WIDTH)
    torch.testing.assert_close(states[:, : alone.shape[1]], alone, atol=1e-5, rtol=0)
    # What T5 makes of the padding is handed on: it is not zero.
    assert states[:, alone.shape[1] :].std() > 0.01


def test_long_and_empty_texts_have_the_same_shape(readers, spans) -> None:
    for text in ("", "rain " * 200):
        encoded = readers(text, spans)
        assert encoded.states.shape == (1, 77, tiny_meanaudio.TEXT_WIDTH)
        assert encoded.pooled.norm() == pytest.approx(1)


def test_clap_of_another_kind_is_named(tmp_path) -> None:
    odd = CLAP | {"text_branch.odd": torch.zeros(1)}
    torch.save({"state_dict": odd}, tmp_path / "clap.pt")
    with pytest.raises(ValueError, match=r"clap\.pt: .* left over text_model\.odd"):
        prompt.read_clap_text(tmp_path / "clap.pt")
    torch.save({"state_dict": {}}, tmp_path / "clap.pt")
    with pytest.raises(ValueError, match=r"clap\.pt: 'text_model\.embeddings.* is missing"):
        prompt.read_clap_text(tmp_path / "clap.pt")


def test_a_damaged_vocabulary_is_named(home, tmp_path) -> None:
    (tmp_path / "vocab.json").write_text('{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    clap = home / "clap-music-speech-audioset" / "music_speech_audioset_epoch_15_esc_89.98.pt"
    with pytest.raises(ValueError, match=r"\d tokens, expected 50265 as in .*; fetch vocab"):
        prompt.read_text(home / "flan-t5-large", clap, tmp_path)
