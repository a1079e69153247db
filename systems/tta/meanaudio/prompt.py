"""Text for MeanAudio: FLAN-T5's state of every token, and CLAP's one row of the whole text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from stabench.checkpoints.tensors import fill_network, read_tensors
from stabench.systems.contract import Spans
from stabench.systems.tta.latent_diffusion.prompt import (
    Reader,
    TokenizerFolder,
    place_t5,
    read_t5,
)
from stabench.systems.tta.meanaudio.decoder import shape_of

if TYPE_CHECKING:
    from transformers import ClapTextModelWithProjection

# Both tokenizers pad and cut to it (meanaudio/model/utils/features_utils.py; laion_clap).
TOKENS = 77
# RoBERTa-base under a projection to 512, as laion_clap builds it; the rest are the defaults.
CLAP_TEXT: dict[str, Any] = {"layer_norm_eps": 1e-5}
HEAD_WIDTH = 64
# Of laion_clap's names to those of transformers; all others are of the audio tower.
RENAMED = {
    "text_branch.": "text_model.",
    "text_projection.0.": "text_projection.linear1.",
    "text_projection.2.": "text_projection.linear2.",
}
# Index tensors that only some files hold; the network computes them itself.
DERIVED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")


class Prompt(NamedTuple):
    """One text on the device: T5's `states` [1, 77, 1024], padding included, and CLAP's L2-normed
    `pooled` [1, 512]."""

    states: Tensor
    pooled: Tensor


class TextReaders(NamedTuple):
    """Both encoders with their tokenizers; `tokenize`, CLAP's, is called as transformers' are."""

    t5: Reader
    tokenize: Any
    clap: "ClapTextModelWithProjection"

    def to(self, device: str, dtype: str) -> "TextReaders":
        """Move and cast, in place; T5's last matrices stay float32 in float16."""
        place_t5(self.t5.encoder, device, dtype)
        # A ModelMixin's `to` is typed for single arguments; Module's takes both.
        torch.nn.Module.to(self.clap, device, getattr(torch, dtype))
        return self

    @torch.inference_mode()
    def __call__(self, text: str, spans: Spans) -> Prompt:
        """Encode one text; marks "text_encoder.t5" and "text_encoder.clap".

        T5 does not read the padding, but its states there are handed on: the transformer was
        trained to read all 77.
        """
        device = self.t5.encoder.device
        with spans("text_encoder.t5"):
            ids, mask = self.t5.tokenize(text, TOKENS)
            states = self.t5.encoder(ids.to(device), attention_mask=mask.to(device))
        with spans("text_encoder.clap"):
            words = self.tokenize(
                [text],
                padding="max_length",
                max_length=TOKENS,
                truncation=True,
                return_tensors="pt",
            )
            mask = words.attention_mask.to(device)
            row = self.clap(words.input_ids.to(device), attention_mask=mask).text_embeds
        return Prompt(states.last_hidden_state, torch.nn.functional.normalize(row, dim=-1))


def gather(prompts: Sequence[Prompt]) -> Prompt:
    """Return the prompts as one batch: all are equally long."""
    states, pooled = zip(*prompts, strict=True)
    return Prompt(torch.cat(states), torch.cat(pooled))


def read_text(t5: Path, clap: Path, roberta: Path) -> TextReaders:
    """Read FLAN-T5 of a folder, the text tower of LAION's checkpoint and RoBERTa's tokenizer.

    Raises ValueError that names file and tensor.
    """
    from transformers import RobertaTokenizer

    reader, tower = Reader(TokenizerFolder(t5, TOKENS), read_t5(t5)), read_clap_text(clap)
    tokenizer = RobertaTokenizer.from_pretrained(str(roberta), local_files_only=True)
    # Of a damaged vocabulary transformers makes a tokenizer of five tokens, without an error.
    if len(tokenizer) != tower.config.vocab_size:
        raise ValueError(
            f"{roberta}: {len(tokenizer)} tokens, expected {tower.config.vocab_size} as in {clap};"
            " fetch vocab.json and merges.txt of roberta-base again"
        )
    return TextReaders(reader, tokenizer, tower)


def read_clap_text(path: Path) -> "ClapTextModelWithProjection":
    """Read CLAP's text tower in the file's widths; its audio tower is left alone.

    Raises ValueError that names file and tensor.
    """
    content = read_tensors(path)
    tower: dict[str, Tensor] = {}
    for name, value in content.get("state_dict", content).items():
        # Data-parallel training puts a module's name before every other.
        plain = name.removeprefix("module.")
        for theirs, ours in RENAMED.items():
            if plain.startswith(theirs):
                tower[ours + plain.removeprefix(theirs)] = value
    words, width = shape_of(tower, "text_model.embeddings.word_embeddings.weight", path)
    hidden = shape_of(tower, "text_model.encoder.layer.0.intermediate.dense.weight", path)[0]
    longest = shape_of(tower, "text_model.embeddings.position_embeddings.weight", path)[0]
    settings = CLAP_TEXT | {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": len({key.split(".")[3] for key in tower if ".encoder.layer." in key}),
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "intermediate_size": hidden,
        "max_position_embeddings": longest,
        "projection_dim": shape_of(tower, "text_projection.linear1.weight", path)[0],
    }
    network = build_clap_text(settings)
    fill_network(network, tower, path, DERIVED)
    return network.eval().requires_grad_(False)


def build_clap_text(settings: dict[str, Any]) -> "ClapTextModelWithProjection":
    """Return CLAP's text tower with these settings of its ClapTextConfig."""
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    return ClapTextModelWithProjection(ClapTextConfig(**settings))
