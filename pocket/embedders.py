"""The pocket judges: the full-size embedder classes over this room's weights."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from stabench.pocket.configs import TEXT_LENGTH, WEIGHTS

if TYPE_CHECKING:
    from stabench.metrics.embedders.clap import ClapEmbedder
    from stabench.metrics.embedders.cnn14 import Cnn14Tagger
    from stabench.metrics.embedders.event_timeline import EventTimeline
    from stabench.metrics.embedders.tokens import Tokens
    from stabench.metrics.embedders.vggish import VggishEmbedder
    from stabench.metrics.embedders.weight_sources import Folder
    from stabench.systems.tta.word_tokenizer import WordTokenizer

VOCABULARY = WEIGHTS / "words.txt"
LICENCE = "Apache-2.0"


def vggish() -> "VggishEmbedder":
    """Return the embedding of FAD."""
    from stabench.metrics.embedders import weights
    from stabench.metrics.embedders.vggish import VggishConfig, VggishEmbedder

    source = _find_weights("vggish")
    return VggishEmbedder(source, weights.read_config(source.path, VggishConfig))


def cnn14() -> "Cnn14Tagger":
    """Return the tagger: embedding of FD, logits of KL, IS and event recall."""
    from stabench.metrics.embedders import weights
    from stabench.metrics.embedders.cnn14 import Cnn14Tagger, TaggerCard

    source = _find_weights("tagger")
    card = weights.read_config(source.path, TaggerCard)
    return Cnn14Tagger(source, card.network, card.labels, card.thresholds)


def events() -> "EventTimeline":
    """Return the tagger in windows: when each event sounds, for event order and overlap."""
    from stabench.pocket.timeline import timeline

    return timeline()


def clap() -> "ClapEmbedder":
    """Return the CLAP: captions and clips in one space."""
    from stabench.metrics.embedders import weights
    from stabench.metrics.embedders.clap import ClapEmbedder
    from stabench.pocket.training.clap import FRONT_END

    source = _find_weights("clap")
    return ClapEmbedder(source, Words(), FRONT_END, weights.config_text(source.path))


class Words:
    """The closed vocabulary of the pocket world as `metrics.embedders.tokens.Tokenizer`."""

    def find_unknown_words(self, captions: Iterable[str]) -> set[str]:
        """Return the words that are not in it, which the network cannot tell apart."""
        return self._tokenizer.find_unknown_words(captions)

    @property
    def identity(self) -> str:
        return f"words {TEXT_LENGTH} {hashlib.sha256(VOCABULARY.read_bytes()).hexdigest()}"

    def __call__(self, captions: list[str]) -> "Tokens":
        from stabench.metrics.embedders.tokens import Tokens

        batch = self._tokenizer.encode(captions, TEXT_LENGTH)
        return Tokens(batch.ids.numpy(), batch.mask.long().numpy())

    @cached_property
    def _tokenizer(self) -> "WordTokenizer":
        from stabench.systems.tta.word_tokenizer import WordTokenizer

        return WordTokenizer.read(VOCABULARY)


def _find_weights(name: str) -> "Folder":
    from stabench.metrics.embedders.weight_sources import Folder

    return Folder(WEIGHTS / name, "pocket", LICENCE)
