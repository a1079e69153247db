"""AudioLDM 2's text side: CLAP and FLAN-T5 read the text, GPT-2 continues what they project."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.tta.audioldm2.folder import AudioLdm2Parts


class Prompt(NamedTuple):
    """What the UNet needs of one text, on the device.

    `tokens` [1, L, W] are FLAN-T5's states, `mask` int64 [1, L] marks the live ones, `generated`
    [1, G, V] are GPT-2's; `clap` [1, D] is the L2-normalised embedding that candidates are ranked
    by.
    """

    tokens: Tensor
    mask: Tensor
    generated: Tensor
    clap: Tensor


class PromptStack(NamedTuple):
    """The text side of the pipeline, one text at a time (arXiv 2308.05734, section 3).

    Attention masks are made on the host from the tokenizers' and then moved: given the masks
    themselves, transformers asks the device at every call whether they hide anything.
    """

    parts: AudioLdm2Parts
    device: str

    def encode(self, text: str, length: int | None = None, clap: Tensor | None = None) -> Prompt:
        """One text; `length` pads FLAN-T5's tokens, which moves GPT-2's positions.

        The unconditional half is therefore "" at the length of the text that it goes with. `clap`
        is the text's embedding where it is known.
        """
        clap = self.clap(text) if clap is None else clap
        tokens, mask = self._encode_t5(text, length)
        projected = self.parts.projection_model(
            hidden_states=clap[:, None],
            hidden_states_1=tokens,
            # CLAP's half is a single token, which is always live.
            attention_mask=mask.new_ones((1, 1)),
            attention_mask_1=mask,
        )
        generated = self._continue(projected.hidden_states, projected.attention_mask)
        return Prompt(tokens, mask.to(self.device), generated, clap)

    def clap(self, text: str) -> Tensor:
        """[1, D]; the text is padded to the tokenizer's longest, as the pipeline does."""
        model, tokenizer = self.parts.text_encoder, self.parts.tokenizer
        tokens = _tokenize(tokenizer, text, tokenizer.model_max_length)
        mask = _make_two_way_mask(model.text_model.config, tokens.attention_mask, model.dtype)
        return model.get_text_features(
            tokens.input_ids.to(self.device), attention_mask=_move(mask, self.device)
        ).pooler_output

    def _encode_t5(self, text: str, length: int | None) -> tuple[Tensor, Tensor]:
        """States [1, L, W], and the tokenizer's mask [1, L] on the host."""
        model = self.parts.text_encoder_2
        tokens = _tokenize(self.parts.tokenizer_2, text, length)
        mask = _make_two_way_mask(model.config, tokens.attention_mask, model.dtype)
        states = model(
            tokens.input_ids.to(self.device), attention_mask=_move(mask, self.device)
        ).last_hidden_state
        return states.to(model.dtype), tokens.attention_mask

    def _continue(self, embeddings: Tensor, seen: Tensor) -> Tensor:
        """GPT-2's next hidden states [1, G, V], each fed back as the next input embedding.

        `seen` [1, S] on the host hides padding. The network under the head is run: the head's
        token scores go nowhere.
        """
        model, steps = self.parts.language_model.transformer, self._new_states
        prefix = embeddings.shape[1]
        mask = _move(_make_causal_mask(model.config, seen, steps, model.dtype), self.device)
        fed, past, states = embeddings, None, []
        for end in range(prefix, prefix + steps):
            # The rows of what is fed now, over all that the cache then holds.
            rows = None if mask is None else mask[..., end - fed.shape[1] : end, :end]
            output = model(inputs_embeds=fed, attention_mask=rows, past_key_values=past)
            fed, past = output.last_hidden_state[:, -1:], output.past_key_values
            states.append(fed)
        return torch.cat(states, dim=1)

    @property
    def _new_states(self) -> int:
        """How many states GPT-2 adds: 8 in the published models."""
        return self.parts.language_model.config.max_new_tokens


def _make_two_way_mask(config: Any, mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """What attention in both directions adds or selects, [1, 1, L, L]; None: nothing is hidden."""
    from transformers.masking_utils import create_bidirectional_mask

    prepared = create_bidirectional_mask(
        config=config, inputs_embeds=_fake_embeddings(mask, dtype), attention_mask=mask
    )
    assert prepared is None or isinstance(prepared, Tensor), "flex attention is not used"
    return prepared


def _make_causal_mask(config: Any, mask: Tensor, more: int, dtype: torch.dtype) -> Tensor | None:
    """The same for attention backwards, for `more` positions after the mask, all live."""
    from transformers.masking_utils import create_causal_mask

    mask = torch.cat([mask, mask.new_ones((1, more))], dim=1)
    prepared = create_causal_mask(
        config=config,
        inputs_embeds=_fake_embeddings(mask, dtype),
        attention_mask=mask,
        past_key_values=None,
    )
    assert prepared is None or isinstance(prepared, Tensor), "flex attention is not used"
    return prepared


def _fake_embeddings(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Stands for embeddings of which transformers looks at length, type and device."""
    return torch.empty((*mask.shape, 1), dtype=dtype)


def _move(mask: Tensor | None, device: str) -> Tensor | None:
    return None if mask is None else mask.to(device)


def _tokenize(tokenizer: Any, text: str, length: int | None) -> Any:
    """Token ids and mask [1, L], cut at the longest that the tokenizer allows."""
    return tokenizer(
        [text],
        padding="longest" if length is None else "max_length",
        max_length=tokenizer.model_max_length if length is None else length,
        truncation=True,
        return_tensors="pt",
    )
