"""Text for a diffusion model's guidance: T5 states of the words and of the empty text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor, nn

from stabench.checkpoints.tensors import read_json, read_tensors
from stabench.systems.contract import Spans
from stabench.systems.tta.latent_diffusion import weights

if TYPE_CHECKING:
    from transformers import T5EncoderModel

T5_BASE: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "relu",
}
FLAN_T5_LARGE: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 1024,
    "d_kv": 64,
    "d_ff": 2816,
    "num_layers": 24,
    "num_heads": 16,
    "feed_forward_proj": "gated-gelu",
}
MAX_TOKENS = 512
EOS = 1


class Tokens(NamedTuple):
    """`ids` int64 [1, L] and `mask` bool [1, L], True where there is a token; on the CPU."""

    ids: Tensor
    mask: Tensor


class Prompt(NamedTuple):
    """One text for the sampler: states [1, L, W] of the words and of the empty text, and which of
    them are to be read (bool [1, L], on the CPU)."""

    words: Tensor
    words_mask: Tensor
    empty: Tensor
    empty_mask: Tensor


class Context(NamedTuple):
    """A batch of B prompts for guidance: `states` [2 B, L, W], the empty texts first, and `mask`
    bool [2 B, L], None where all are to be read."""

    states: Tensor
    mask: Tensor | None


class TokenizerFolder:
    """The tokenizer of a folder: text to ids, at most `limit`, padded to `length` where given."""

    def __init__(self, folder: Path, limit: int = MAX_TOKENS) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{folder}: no readable tokenizer ({reason}); fetch it again"
            ) from error
        self.limit = limit

    def __call__(self, text: str, length: int | None = None) -> Tokens:
        tokens = self.tokenizer(
            [text],
            max_length=length or self.limit,
            truncation=True,
            padding="max_length" if length else "do_not_pad",
            return_tensors="pt",
        )
        return Tokens(tokens.input_ids, tokens.attention_mask.bool())


class WordTokens:
    """Stands in for a tokenizer where weights are random: one token a word, and the end.

    A caption then costs as many tokens as it has words and one; real vocabularies need some more.
    """

    def __init__(self, vocabulary: int, limit: int = MAX_TOKENS) -> None:
        self.vocabulary, self.limit = vocabulary, limit

    def __call__(self, text: str, length: int | None = None) -> Tokens:
        # 0 is padding and 1 the end: words begin at 2, at an id that their letters decide.
        first = EOS + 1
        words = [first + crc32(word.encode()) % (self.vocabulary - first) for word in text.split()]
        ids = [*words[: (length or self.limit) - 1], EOS]
        pad = [0] * ((length or 0) - len(ids))
        live = [True] * len(ids) + [False] * len(pad)
        return Tokens(torch.tensor([ids + pad]), torch.tensor([live]))


Tokenize = Callable[..., Tokens]


class T5Prompter:
    """Text to Prompt. The empty text is padded to the length of the words, or to `length` as they.

    `masked`: padding is hidden from T5 and from the sampler; otherwise both read it, as AUDIT's
    recipe does. `cached`: states of the empty text are computed once and then cost nothing: for
    each length where padding is read, or where a sampler asks for it (`by_length`).
    """

    def __init__(
        self,
        tokenize: Tokenize,
        encoder: "T5EncoderModel",
        masked: bool = True,
        length: int | None = None,
        cached: bool = False,
        by_length: bool = False,
    ) -> None:
        self.tokenize, self.encoder = tokenize, encoder
        self.masked, self.length, self.cached = masked, length, cached
        self.by_length = by_length or not masked
        self._empty: dict[int | None, tuple[Tensor, Tensor]] = {}

    @torch.inference_mode()
    def __call__(self, text: str, spans: Spans) -> Prompt:
        """Marks "text_encoder.cond", and "text_encoder.uncond" unless it was cached."""
        with spans("text_encoder.cond"):
            words, words_mask = self._states(self.tokenize(text, self.length))
        length = words.shape[1]
        if self.cached:
            return Prompt(words, words_mask, *self._encode_empty(length))
        with spans("text_encoder.uncond"):
            return Prompt(words, words_mask, *self._states(self.tokenize("", length)))

    def warm(self) -> None:
        """Compute what is cached whatever the text."""
        if self.cached and not self.by_length:
            with torch.inference_mode():
                self._encode_empty(self.length)

    def _encode_empty(self, length: int | None) -> tuple[Tensor, Tensor]:
        # Where padding is hidden, the states of the empty text do not depend on its length.
        key = length if self.by_length else self.length
        if key not in self._empty:
            self._empty[key] = self._states(self.tokenize("", key))
        return self._empty[key]

    def _states(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        device = self.encoder.device
        if not self.masked:
            tokens = Tokens(tokens.ids, torch.ones_like(tokens.mask))
        masks = {"attention_mask": tokens.mask.to(device)} if self.masked else {}
        output = self.encoder(input_ids=tokens.ids.to(device), **masks)
        return output.last_hidden_state, tokens.mask


def gather(prompts: Sequence[Prompt]) -> Context:
    """Prompts as one batch: shorter ones are padded with zeros that the mask hides."""
    states = [p.empty for p in prompts] + [p.words for p in prompts]
    masks = [p.empty_mask for p in prompts] + [p.words_mask for p in prompts]
    length = max(state.shape[1] for state in states)
    pad = nn.functional.pad
    padded = [pad(state, (0, 0, 0, length - state.shape[1])) for state in states]
    mask = torch.cat([pad(row, (0, length - row.shape[1])) for row in masks])
    # The masks are on the CPU, so that this look at them does not wait for the device.
    whole = bool(mask.all())
    return Context(torch.cat(padded), None if whole else mask.to(states[0].device))


class Reader(NamedTuple):
    """What reads a text: a tokenizer and T5."""

    tokenize: Tokenize
    encoder: "T5EncoderModel"

    def to(self, device: str, dtype: str) -> "Reader":
        """Moved and cast, in place."""
        place_t5(self.encoder, device, dtype)
        return self


def random_reader(config: dict[str, Any], seed: int, dtype: str, limit: int = MAX_TOKENS) -> Reader:
    """A T5 with random weights; its tokenizer gives one token a word."""
    return Reader(WordTokens(config["vocab_size"], limit), random_t5(config, seed, dtype))


def widened(context: Context, length: int) -> Context:
    """The context padded to `length` tokens, always with a mask; as it is if it is longer."""
    states, mask = context
    more = length - states.shape[1]
    if more < 0:
        return context
    if mask is None:
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return Context(nn.functional.pad(states, (0, 0, 0, more)), nn.functional.pad(mask, (0, more)))


def random_t5(config: dict[str, Any], seed: int, dtype: str) -> "T5EncoderModel":
    """A T5 encoder with random weights."""
    return _tie_embeddings(weights.drawn(empty_t5(config), seed, dtype))


def t5_from(config: dict[str, Any], state: dict[str, Tensor], path: Path) -> "T5EncoderModel":
    """A T5 encoder with these tensors; of the embedding one copy or two equal ones are accepted."""
    state = dict(state)
    # A file holds the one table under either name, or under both.
    copies = [k for k in ("shared.weight", "encoder.embed_tokens.weight") if k in state]
    if len(copies) == 2 and not torch.equal(state[copies[0]], state[copies[1]]):
        raise ValueError(f"{path}: {copies[0]!r} and {copies[1]!r} differ; fetch the file again")
    if copies:
        state |= dict.fromkeys(("shared.weight", "encoder.embed_tokens.weight"), state[copies[0]])
    return _tie_embeddings(weights.fill(empty_t5(config), state, path))


def read_t5(folder: Path) -> "T5EncoderModel":
    """The encoder half of a T5 in transformers' layout (model.safetensors or pytorch_model.bin).

    ValueError names a file that cannot be read, and a tensor that is missing or left over; the
    decoder's tensors are left alone.
    """
    state = read_tensors(folder)
    kept = {k: v for k, v in state.items() if k.startswith(("encoder.", "shared."))}
    return t5_from(read_json(folder / "config.json"), kept, folder)


def place_t5(encoder: nn.Module, device: str, dtype: str) -> nn.Module:
    """Move and cast; in float16 the last matrix of each layer stays float32: it overflows."""
    encoder.to(device, getattr(torch, dtype))
    if dtype == "float16":
        for name, module in encoder.named_modules():
            if name.endswith(".wo"):
                module.float()
    return encoder


def empty_t5(config: dict[str, Any]) -> "T5EncoderModel":
    """A T5 encoder on the meta device."""
    from transformers import T5Config, T5EncoderModel

    return weights.empty(lambda: T5EncoderModel(T5Config.from_dict(dict(config))))


def _tie_embeddings(encoder: "T5EncoderModel") -> "T5EncoderModel":
    # Each name was filled by itself, but both mean one table.
    encoder.encoder.embed_tokens.weight = encoder.shared.weight
    return encoder
