"""VITS, text to speech: a folder in the layout of transformers, and what it says of a text."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stabench.checkpoints.tensors import read_json

VOICE = b"en-us"
# Numbers of espeak-ng's speak_lib.h, which ctypes cannot read.
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8, _IPA = 2, 1, 1, 2
_MARKS = re.compile(r"""(\s*[;:,.!?¡¿—…"«»“”(){}\[\]]+\s*)""")


def phonemes(text: str) -> str:
    """IPA with stress marks; punctuation stays where it was, white space becomes one blank.

    The same string as phonemizer 3.4 gives with its espeak backend, preserve_punctuation and
    with_stress, which is what the tokenizer of VITS-LJS asks for. Raises RuntimeError when
    espeak-ng does not start.
    """
    # re.split returns what the group matched at odd places: the punctuation, left as it is.
    parts = _MARKS.split(text)
    sounds = [part if index % 2 else _clause(part) for index, part in enumerate(parts)]
    return re.sub(r"\s+", " ", "".join(sounds))


def _clause(text: str) -> str:
    """IPA of words without punctuation."""
    library = _espeak()
    # The library's voice is one for the whole process, and another module may have set its own.
    if library.espeak_SetVoiceByName(VOICE) != 0:
        raise RuntimeError(f"espeak-ng has no voice {VOICE.decode()}; reinstall espeakng-loader")
    # espeak-ng reads a clause at a time, moves the pointer on, and sets it to NULL at the end.
    rest = ctypes.c_char_p(text.encode())
    clauses = []
    while text.strip() and rest.value is not None:
        sound = library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA)
        clauses.append(sound.decode().strip())
    return " ".join(filter(None, clauses))


@cache
def _espeak() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    path = str(espeakng_loader.get_data_path()).encode()
    if library.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS) <= 0:
        raise RuntimeError("espeak-ng did not start; reinstall the espeakng-loader package")
    # ctypes takes a result for an int unless told, which would cut a pointer to 32 bits.
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    return library


# What is read of the folder; transformers' VitsConfig, VitsTokenizer and VitsModel write them.
FILES = ("config.json", "tokenizer_config.json", "vocab.json", "model.safetensors")


class Vits:
    """One voice (Kim et al., ICML 2021), on the CPU in float32 and one thread.

    Voices of characters (facebook/mms-tts-eng) need nothing else; voices of phonemes (`phonemize`
    in their tokenizer_config.json, as kakao-enterprise/vits-ljs) are read out by espeak-ng. The
    weights are loaded by the first `say`. Raises FileNotFoundError for a missing file, ValueError
    for one that is none of VITS.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        for name in FILES:
            if not (self.folder / name).is_file():
                raise FileNotFoundError(
                    f"VITS folder '{self.folder}' has no {name}; it needs {', '.join(FILES)}"
                )
        config = read_json(self.folder / "config.json")
        if config.get("model_type") != "vits":
            raise ValueError(
                f"{self.folder / 'config.json'}: model_type is {config.get('model_type')!r}, "
                "expected 'vits'"
            )
        self.rate_hz = int(config.get("sampling_rate", 16_000))
        self._spelling = {
            key: read_json(self.folder / "tokenizer_config.json").get(key, True)
            for key in ("normalize", "phonemize")
        }
        self._numbers: dict[str, int] = read_json(self.folder / "vocab.json")

    def check(self, text: str) -> None:
        """Raises ValueError where the voice has no sound for a letter or digit, or nothing to say.

        VitsTokenizer would leave it out without a word. Punctuation it does not know is left out.
        """
        symbols = self._spell(text)
        # Only a normalising voice of letters may drop punctuation; any other needs every symbol.
        drops = self._spelling["normalize"] and not self._spelling["phonemize"]
        strange = [symbol for symbol in symbols if symbol not in self._numbers]
        lost = [symbol for symbol in strange if not drops or symbol.isalnum()]
        if lost:
            vocabulary = self.folder / "vocab.json"
            raise ValueError(f"text {text!r}: {vocabulary} has no {lost[0]!r}; spell it otherwise")
        if not any(symbol.isalnum() for symbol in symbols):
            raise ValueError(f"text {text!r} holds nothing that can be spoken; give it words")

    def numbers(self, text: str) -> list[int]:
        """Rows of the embedding for a text, by VitsTokenizer. Raises ValueError as `check` does."""
        self.check(text)
        return self._tokenizer(self._spell(text))["input_ids"]

    def say(self, text: str, seed: int) -> np.ndarray:
        """The spoken text, float32 [T] within +-1 at `rate_hz`.

        Durations and voice are drawn from `seed` alone: the same bytes again on one machine.
        Raises ValueError as `check` does, or for weights that are not this model's.
        """
        import torch

        numbers = torch.tensor([self.numbers(text)])
        # VITS draws from the global generator, which fork_rng gives back as it was.
        with _one_thread(), torch.inference_mode(), torch.random.fork_rng(devices=[]):
            model = self._model
            torch.manual_seed(seed)
            waveform = model(input_ids=numbers).waveform[0]
        samples = waveform.numpy().astype(np.float32)
        if not np.isfinite(samples).all():
            raise ValueError(f"{self.folder}: text {text!r} became NaN or infinity; check weights")
        return np.clip(samples, -1, 1)

    def _spell(self, text: str) -> str:
        """What the vocabulary has to hold: letters in their case there, or phonemes."""
        if self._spelling["normalize"]:
            known = self._numbers
            text = "".join(letter if letter in known else letter.lower() for letter in text)
        return phonemes(text) if self._spelling["phonemize"] else text

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import VitsTokenizer

        tokenizer = VitsTokenizer.from_pretrained(self.folder, local_files_only=True)
        if tokenizer.phonemize:
            # It would ask phonemizer for what `phonemes` has given.
            tokenizer.phonemize = tokenizer.normalize = False
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        return _load(self.folder)


def _load(folder: Path) -> Any:
    """VitsModel with every weight read from the file; nothing is initialised at random."""
    from safetensors import SafetensorError
    from transformers import VitsModel

    try:
        with _silent():
            # With output_loading_info it is a pair, of which its annotation does not know.
            loaded: Any = VitsModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
            model, report = loaded
    except SafetensorError as error:
        raise ValueError(
            f"{folder / 'model.safetensors'} is damaged or truncated ({error}); fetch it again"
        ) from error
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if names := sorted(map(str, report[what])):
            raise ValueError(
                f"{folder / 'model.safetensors'} is not of this config.json: {len(names)} "
                f"{what.replace('_', ' ')} (first: {names[0]}); fetch both again"
            )
    return model.eval()


@contextmanager
def _silent() -> Iterator[None]:
    """transformers draws a bar and reports what it cannot place; here that is an error of its own.

    stderr is the run's: it tells of clips.
    """
    from transformers.utils import logging

    before, with_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if with_bars:
            logging.enable_progress_bar()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are the same however many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
