"""Whisper's sizes: the dimensions of each published model (arXiv 2212.04356, Table 1; v3, turbo).

`.en` models know English only and have one token less.
"""

from difflib import get_close_matches
from typing import Any, NamedTuple

ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
# Sizes of the vocabulary: `.en`, with languages, and since large-v3 with one language more.
ENGLISH, MULTILINGUAL, CANTONESE = 51864, 51865, 51866
MEL_BANDS = (80, 128)


class Dimensions(NamedTuple):
    """The `dims` of a checkpoint, in the names of its file. `ctx` are positions, `state` widths."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @property
    def multilingual(self) -> bool:
        return self.n_vocab >= MULTILINGUAL

    @property
    def languages(self) -> int:
        """How many languages the vocabulary has tokens for."""
        # openai-whisper's own count: the rest are pieces of text, marks and time stamps.
        return self.n_vocab - 51765 - self.multilingual

    @property
    def samples(self) -> int:
        """Length of what the encoder hears at once: two frames of 160 samples a position."""
        return self.n_audio_ctx * 2 * 160

    @property
    def longest(self) -> int:
        """The most tokens that one window is written in."""
        return self.n_text_ctx // 2


def _symmetric(width: int, heads: int, layers: int, vocabulary: int = MULTILINGUAL) -> Dimensions:
    """Encoder and decoder of one width and depth, 30 s of 80 mel bands, 448 text positions."""
    return Dimensions(80, 1500, width, heads, layers, vocabulary, 448, width, heads, layers)


SHAPES = {
    "tiny": (384, 6, 4),
    "base": (512, 8, 6),
    "small": (768, 12, 12),
    "medium": (1024, 16, 24),
}
LARGE = _symmetric(1280, 20, 32)
LARGE_V3 = LARGE._replace(n_mels=128, n_vocab=CANTONESE)
SIZES: dict[str, Dimensions] = {
    **{name: _symmetric(*shape) for name, shape in SHAPES.items()},
    **{f"{name}.en": _symmetric(*shape, ENGLISH) for name, shape in SHAPES.items()},
    "large-v1": LARGE,
    "large-v2": LARGE,
    "large-v3": LARGE_V3,
    "large-v3-turbo": LARGE_V3._replace(n_text_layer=4),
}


def full_name(model: str) -> str:
    """The name of a size, aliases resolved. Raises ValueError with the nearest match."""
    name = ALIASES.get(model, model)
    if name in SIZES:
        return name
    known = [*SIZES, *ALIASES]
    close = get_close_matches(str(model), known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise ValueError(f"unknown Whisper model {model!r}{hint} allowed are {', '.join(known)}")


def dimensions(where: object, dims: Any) -> Dimensions:
    """The `dims` table of the checkpoint `where`. Raises ValueError that names what is wrong."""
    if not isinstance(dims, dict) or set(dims) != set(Dimensions._fields):
        actual = sorted(map(str, dims)) if isinstance(dims, dict) else type(dims).__name__
        raise ValueError(
            f"{where}: dims is {actual}, expected are {', '.join(Dimensions._fields)}; "
            "give a checkpoint of openai-whisper"
        )
    whole = Dimensions(**dims)
    if not all(isinstance(n, int) and n > 0 for n in whole):
        raise ValueError(f"{where}: dims has {dims}, allowed are whole numbers above 0")
    wrong = _contradiction(whole)
    if wrong:
        raise ValueError(f"{where}: {wrong}; give a checkpoint of openai-whisper")
    return whole


def _contradiction(dims: Dimensions) -> str | None:
    """What no Whisper can have, or None."""
    vocabularies = (ENGLISH, MULTILINGUAL, CANTONESE)
    if dims.n_vocab not in vocabularies:
        return f"n_vocab is {dims.n_vocab}, allowed are {', '.join(map(str, vocabularies))}"
    if dims.n_mels not in MEL_BANDS:
        return f"n_mels is {dims.n_mels}, allowed are {', '.join(map(str, MEL_BANDS))}"
    if dims.n_audio_state != dims.n_text_state:
        return (
            f"n_audio_state is {dims.n_audio_state} and n_text_state {dims.n_text_state}, "
            "they must be equal"
        )
    for width, heads in (
        (dims.n_audio_state, dims.n_audio_head),
        (dims.n_text_state, dims.n_text_head),
    ):
        # Even, as the encoder's sinusoids are half sines and half cosines.
        if width % (2 * heads):
            return f"a width of {width} is no even multiple of its {heads} heads"
    return None
