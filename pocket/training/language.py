"""Training of the cascade's recogniser: the captions' language model and their pronunciations."""

from pathlib import Path

from stabench.pocket import language_model as lm
from stabench.pocket import pronunciations
from stabench.pocket.scenes import items
from stabench.pocket.training.corpus import CAPTIONS, COUNTS

# Nats of the training captions that a dropped trigram may cost; chosen on validation captions.
LOSS = 5.0


def ship(folder: Path) -> tuple[str, ...]:
    """Write `caption.arpa` and `words.dict` from the training captions; takes a second.

    Returns the words whose pronunciation is a guess.
    """
    captions = [
        text for item in items("train", COUNTS["train"], CAPTIONS) for text in item.captions
    ]
    counts = lm.count(captions)
    model = lm.prune(lm.estimate(counts), counts, LOSS)
    words = [word for word in model.vocabulary if word != lm.END]
    spoken = pronunciations.pronounce(words, pronunciations.read(pronunciations.shipped()))
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "caption.arpa", lm.to_arpa(model))
    _write(folder / "words.dict", spoken.to_text())
    return spoken.guessed


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
