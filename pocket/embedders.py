"""The pocket judges: the full-size embedder classes over this room's weights."""

from typing import TYPE_CHECKING

from pocket.configs import TEXT_LENGTH, WEIGHTS

if TYPE_CHECKING:
    from metrics.embedders.clap import ClapEmbedder, Tokens
    from metrics.embedders.cnn14 import Cnn14Tagger
    from metrics.embedders.vggish import VggishEmbedder

VOCABULARY = WEIGHTS / "words.txt"


def vggish() -> "VggishEmbedder":
    """The embedding of FAD."""
    from metrics.embedders.vggish import VggishEmbedder

    return VggishEmbedder(WEIGHTS / "vggish")


def cnn14() -> "Cnn14Tagger":
    """The tagger: embedding of FD, logits of KL, IS and event recall."""
    from metrics.embedders.cnn14 import Cnn14Tagger

    return Cnn14Tagger(WEIGHTS / "tagger")


def clap() -> "ClapEmbedder":
    """Captions and clips in one space."""
    from metrics.embedders.clap import ClapEmbedder
    from pocket.training.clap import FRONT_END

    return ClapEmbedder(WEIGHTS / "clap", _tokens, FRONT_END)


def _tokens(captions: list[str]) -> "Tokens":
    from metrics.embedders.clap import Tokens
    from systems.cascade.tta.words import WordTokenizer

    batch = WordTokenizer.read(VOCABULARY).encode(captions, TEXT_LENGTH)
    return Tokens(batch.ids.numpy(), batch.mask.long().numpy())
