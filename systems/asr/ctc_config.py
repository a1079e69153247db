"""The sizes of a CTC head and the settings of its search: frozen, torch-free."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CtcHeadConfig:
    """The sizes of a CtcHead: `width` of the encoder's frames, `vocabulary` words without blank.

    `kernel` counts frames and is odd. 0.47 M parameters at width 192 and 299 words.
    """

    width: int
    vocabulary: int
    hidden: int = 192
    kernel: int = 5
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "vocabulary", "hidden", "kernel"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"head.{name} is {getattr(self, name)}, allowed are 1 and more; correct it"
                )
        if self.kernel % 2 == 0:
            raise ValueError(
                f"head.kernel is {self.kernel}, but an even kernel shifts frames; use an odd one"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"head.dropout is {self.dropout}, allowed are 0 to below 1; lower it")


@dataclass(frozen=True)
class SearchConfig:
    """How wide the search is, and what a language model and a word count for.

    `beam` prefixes survive a frame. Of each frame only the `candidates` most probable symbols of at
    least `min_probability` are looked at, the others count as impossible: with 0.001, a frame whose
    blank has more than 0.999 offers no word and costs next to nothing. Beam 1 without a language
    model is greedy decoding, where posteriors are sharp.
    """

    beam: int = 8
    lm_weight: float = 1.0
    word_bonus: float = 0.0
    candidates: int = 8
    min_probability: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("beam", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"search.{name} is {getattr(self, name)}, allowed are 1 and more; correct it"
                )
        if not (math.isfinite(self.lm_weight) and self.lm_weight >= 0):
            raise ValueError(f"search.lm_weight is {self.lm_weight}, allowed are 0 and more")
        if not math.isfinite(self.word_bonus):
            raise ValueError(f"search.word_bonus is {self.word_bonus}, allowed are finite numbers")
        if not 0 <= self.min_probability < 1:
            raise ValueError(
                f"search.min_probability is {self.min_probability}, allowed are 0 to below 1"
            )
