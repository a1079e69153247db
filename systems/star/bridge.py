"""The bridge of STAR: a Q-Former that reads speech frames into a fixed number of tokens."""

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from stabench.systems.star.config import BridgeConfig

# Their "projection." is stage 1's classifier; "hiddin_projection." (sic) is our projection.
DROPPED_STAR_KEYS = ("projection.", "audio_Qformer.bert.embeddings.position_ids")
RENAMED_STAR_KEYS = (
    ("audio_Qformer.bert.", "qformer."),
    ("qformer.embeddings.LayerNorm.", "qformer.layernorm."),
    (".attention.self.", ".attention.attention."),
    (".crossattention.self.", ".crossattention.attention."),
    ("audio_query_tokens", "query_tokens"),
    ("hiddin_projection.", "projection."),
)


class Bridge(nn.Module):
    """Frames [B, T, encoder width] to tokens [B, queries, output width] (paper section 3.2)."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.config = config
        self.query_tokens = nn.Parameter(torch.empty(1, config.queries, config.width))
        self.qformer = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.ffn,
                encoder_hidden_size=config.encoder_width,
                cross_attention_frequency=config.cross_attention_frequency,
            )
        )
        self.projection = nn.Linear(config.width, config.output_width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Query tokens and projection as in STAR's stage 1 (the Q-Former sets its own)."""
        nn.init.normal_(self.query_tokens, std=0.02)
        nn.init.xavier_uniform_(self.projection.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.zeros_(self.projection.bias)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` is bool [B, T], True where a frame is speech; None: all are."""
        return self._read(frames, None if mask is None else mask.long())

    def padded(self, frames: Tensor, mask: Tensor) -> Tensor:
        """As forward, but without a look at `mask`: the host waits for nothing."""
        # transformers takes a mask of four dimensions as it is, and looks into any other.
        return self._read(frames, mask[:, None, None].expand(-1, 1, self.config.queries, -1))

    def _read(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        read = self.qformer(
            query_embeds=self.query_tokens.expand(frames.shape[0], -1, -1),
            encoder_hidden_states=frames,
            encoder_attention_mask=mask,
        )
        return self.projection(read.last_hidden_state)


class BridgeClassifier(nn.Module):
    """Stage 1's head: mean over tokens [B, Q, width], then class logits [B, classes]."""

    def __init__(self, width: int = 1024, classes: int = 527) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear(tokens.mean(dim=1))


def from_star_state_dict(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' stage-1 keys as ours; their classifier and position ids are dropped."""
    renamed = {}
    for key, value in state.items():
        if key.startswith(DROPPED_STAR_KEYS):
            continue
        for old, new in RENAMED_STAR_KEYS:
            key = key.replace(old, new)
        renamed[key] = value
    return renamed
