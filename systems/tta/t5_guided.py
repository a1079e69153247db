"""What the models that T5 reads for share: it encodes the text, a generator makes sound of it."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.config import DTYPES

STOCK, GRAPH = "stock", "graph"
VARIANTS = (STOCK, GRAPH)
# Tokens that the texts of a graph are padded to, the padding hidden; longer texts run without.
LONGEST = 64


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise ValueError unless `value` is a whole number of that range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, allowed are whole numbers from {least} to {most}")


def checked(variant: str) -> str:
    """The variant; ValueError for one that there is not."""
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}, allowed are {', '.join(VARIANTS)}")
    return variant


class T5Guided:
    """A text-to-audio model with T5's states of the words and of the empty text as guidance.

    A model says its `title`, the catalogue's names of its weights (`entries`), its settings, how T5
    is read, where its networks come from, and what generates.
    With random weights the generator is built by the first `generate`, or by `load_generator`.
    """

    title: ClassVar[str]
    entries: tuple[str, ...]

    def __init__(self, weights: str, variant: str, cache_unconditional: bool, seed: int) -> None:
        self.weights, self.variant, self.seed = str(weights), checked(variant), seed
        self.cache_unconditional = cache_unconditional
        self.prompter: Any = None
        self._generator: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read the weights. FileNotFoundError: a file is missing; ValueError: it is damaged or of
        another model; both name it."""
        from stabench.systems.tta.latent_diffusion.weights import RANDOM, places, sha256_of

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        # Before anything is built: a missing or wrong file should not cost minutes first.
        sha256_of(self.weights, self.entries)
        self._place, self._generator = (device, dtype), None
        if self.weights == RANDOM:
            reader = self._networks().random_text(self.seed, dtype)
        else:
            reader, sound = self._read(*places(self.weights, self.entries).values())
            self._generator = self._new_generator(sound.to(device, dtype))
        self.prompter = self._new_prompter(reader.to(device, dtype))

    def load_generator(self) -> None:
        """Build what only `generate` needs, if it is not there."""
        self._check_loaded()
        if self._generator is None:
            device, dtype = self._place
            self._generator = self._new_generator(self._random_sound(dtype).to(device, dtype))

    @property
    def generator(self) -> Any:
        """The second phase; built now if nobody has asked before."""
        self.load_generator()
        return self._generator

    def encode(self, text: str, spans: Spans) -> Any:
        """States of the text and of the empty text; see T5Prompter."""
        self._check_loaded()
        return self.prompter(text, spans)

    def generate(self, contexts: list[Any], seeds: list[int], spans: Spans) -> list[Waveform]:
        """One waveform for each context; ValueError when seeds are not one each."""
        return self.generator.generate(contexts, seeds, spans)

    def eager(self) -> AbstractContextManager[None]:
        """No CUDA graph is replayed inside; see systems.contract.Eager."""
        from stabench.systems.networks.cuda_graph import without_graphs

        return without_graphs()

    def provenance(self) -> dict[str, Any]:
        """The settings, and the sha256 of every weights file ("random" for none)."""
        from stabench.systems.tta.latent_diffusion.weights import sha256_of

        return {
            **self._settings(),
            "variant": self.variant,
            "unconditional": "cached" if self.cache_unconditional else "with every clip",
            "weights": sha256_of(self.weights, self.entries),
        }

    def _settings(self) -> dict[str, Any]:
        """What the model was told, as plain JSON types."""
        raise NotImplementedError

    def _reader_options(self) -> dict[str, Any]:
        """How T5 is read: options of T5Prompter."""
        return {}

    def _networks(self) -> Any:
        """The module with `random_text`, `random_sound` and `read`, which imports torch."""
        raise NotImplementedError

    def _new_prompter(self, reader: Any) -> Any:
        """What makes a prompt of a text and spans, of encoders that are in their place."""
        from stabench.systems.tta.latent_diffusion.prompt import T5Prompter

        options = {"cached": self.cache_unconditional, **self._reader_options()}
        prompter = T5Prompter(*reader, **options)
        prompter.warm()
        return prompter

    def _random_sound(self, dtype: str) -> Any:
        return self._networks().random_sound(self.seed, dtype)

    def _read(self, *places: Any) -> Any:
        return self._networks().read(*places)

    def _new_generator(self, sound: Any) -> Any:
        """What has `generate`, of networks that are in their place."""
        raise NotImplementedError

    def _check_loaded(self) -> None:
        if self.prompter is None:
            raise RuntimeError(f"{self.title} is not loaded; call load(device, dtype) first")
