"""faster-whisper (CTranslate2) as a cascade's recogniser: Whisper outside PyTorch."""

import importlib.metadata
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from stabench.checkpoints.digests import sha256
from stabench.systems.asr.whisper import check_installed, forced, tokenizer
from stabench.systems.asr.whisper_checkpoint import (
    PUBLISHED,
    RANDOM,
    RATE_HZ,
    SYSTRAN,
    check_tokens,
    checked,
    forced_length,
    systran,
)
from stabench.systems.asr.whisper_ctranslate2 import FRONT_END, MODEL, TOKENIZER, write
from stabench.systems.asr.whisper_sizes import full_name
from stabench.systems.contract import Spans, Transcript, Utterance

WINDOW = 30 * RATE_HZ
POSITIONS = 448
# Systran's folders up to large-v2 have the .txt, those since large-v3 the .json.
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
# Words in CTranslate2's message when a file is at fault; it raises RuntimeError for everything.
DAMAGED = (MODEL, "Variable '")


class FasterWhisper:
    """Speech of at most 30 s to text: beam 1, no timestamps, no voice detection, no earlier text.

    `weights` as for `Whisper`: a checkpoint of openai-whisper is converted while loading, a folder
    that CTranslate2's converter wrote, as "systran" is, is read as it is. Lengths are forced as
    there. The precision of the arithmetic is the protocol's, where CTranslate2 has it on the device
    (no float16 on a CPU). The mel is faster-whisper's: of the speech alone, then padded to 30 s
    with zeros, where openai-whisper pads the speech. Its work runs on a stream of its own: device
    times of torch's events do not see it, wall times do.
    """

    speech_rate_hz: ClassVar[int] = RATE_HZ

    def __init__(
        self,
        model: str = "base",
        weights: str | Path = PUBLISHED,
        language: str = "en",
        tokens: int | None = None,
        seed: int = 0,
    ) -> None:
        self.model = full_name(model)
        check_tokens(tokens, weights)
        self.weights, self.language = weights, language
        self.tokens, self.seed = tokens, seed
        self.reads_caption = weights == RANDOM and tokens is None
        self.engine: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Convert or read the weights. Raises FileNotFoundError for a folder that is not whole,
        ValueError for damaged weights and for a precision that the device has not."""
        if find_spec("faster_whisper") is None:
            raise ModuleNotFoundError(
                "faster-whisper is not installed; run: pip install -c constraints.txt "
                "'stabench[fast]'"
            )
        folder = converted_folder(self.model, self.weights)
        if folder:
            files = ("config.json", MODEL, TOKENIZER)
            self.source: str | dict[str, str] = {name: sha256(folder / name) for name in files}
            self.engine = Engine(folder, device, dtype, self.language, False)
        else:
            self._convert(device, dtype)
        self.dtype = dtype

    def transcribe(self, speech: Utterance, spans: Spans) -> Transcript:
        """Marks "asr.mel" (with padding to 30 s), "asr.encode" and "asr.decode"."""
        self._check_loaded()
        samples = checked(speech, WINDOW)
        limit = None
        if self.weights == RANDOM:
            # Whisper writes at most half of the text positions; the others are for earlier text.
            longest = POSITIONS // 2
            limit = forced_length(speech, self.tokens, self.engine.tokenizer.encode, longest)
        with spans("asr.mel"):
            mel = self.engine.mel(samples)
        with spans("asr.encode"):
            features = self.engine.encode(mel)
        with spans("asr.decode"):
            tokens, text = self.engine.decode(features, limit)
        return Transcript(text, len(tokens))

    def provenance(self) -> dict[str, Any]:
        """Versions, weights, how it decodes and computes."""
        self._check_loaded()
        return {
            "faster-whisper": importlib.metadata.version("faster-whisper"),
            "ctranslate2": importlib.metadata.version("ctranslate2"),
            "model": self.model,
            "weights": self.source,
            "language": self.language,
            "decoding": "beam 1, temperature 0, without timestamps, no previous text, vad off",
            "computed": self.dtype,
            **forced(self.weights, self.tokens, self.seed),
        }

    def _convert(self, device: str, dtype: str) -> None:
        """Load a checkpoint of openai-whisper by way of a folder that does not stay."""
        check_installed()
        from stabench.systems.asr import whisper_checkpoint

        loaded = whisper_checkpoint.load(self.model, self.weights, "cpu", self.seed)
        words = tokenizer(loaded.dims, self.language)
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), loaded.network, words)
            random = self.weights == RANDOM
            self.engine = Engine(Path(folder), device, dtype, self.language, random)
        self.source = loaded.source

    def _check_loaded(self) -> None:
        if self.engine is None:
            raise RuntimeError("FasterWhisper is not loaded; call load(device, dtype) first")


class Engine:
    """The three steps on a folder of CTranslate2's; `never_ends` leaves out the end mark."""

    def __init__(
        self, folder: Path, device: str, dtype: str, language: str, never_ends: bool
    ) -> None:
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        self.whisper = _open(folder, device, dtype)
        _check_front_end(folder, self.whisper)
        several = self.whisper.model.is_multilingual
        if language not in self.whisper.supported_languages:
            raise ValueError(
                f"language is {language!r}, the model of {folder} knows "
                f"{', '.join(self.whisper.supported_languages)}"
            )
        self.tokenizer = Tokenizer(
            self.whisper.hf_tokenizer, several, task="transcribe", language=language
        )
        self.prompt = [*self.tokenizer.sot_sequence, self.tokenizer.no_timestamps]
        # -1 stands for the tokens that are no speech, as in openai-whisper's options.
        suppressed = get_suppressed_tokens(self.tokenizer, [-1])
        self.never = [token for token in suppressed if token is not None]
        self.never += [self.tokenizer.eot] if never_ends else []

    def mel(self, samples: Any) -> Any:
        """Log-mel [M, 3000] of the speech, zeros behind it."""
        from faster_whisper.audio import pad_or_trim

        # The last frame is centred past the end of the speech; faster-whisper drops it as well.
        return pad_or_trim(self.whisper.feature_extractor(samples)[:, :-1])

    def encode(self, mel: Any) -> Any:
        """Features [1, 1500, W], in CTranslate2's memory."""
        return self.whisper.encode(mel)

    def decode(self, features: Any, limit: int | None) -> tuple[list[int], str]:
        """At most `limit` tokens and their text. The host waits once, for the result."""
        (result,) = self.whisper.model.generate(
            features,
            [self.prompt],
            beam_size=1,
            max_length=max_length(limit, len(self.prompt)),
            suppress_tokens=self.never,
        )
        tokens = result.sequences_ids[0]
        return tokens, self.tokenizer.decode(tokens).strip()


def max_length(limit: int | None, prompt: int) -> int:
    """CTranslate2's max_length for `limit` new tokens; its own default without a limit.

    It writes min(max_length // 2, max_length - prompt + 1) of them (measured, CTranslate2 4.8.5).
    """
    return POSITIONS if limit is None else max(2 * limit, limit + prompt - 1)


def converted_folder(name: str, weights: str | Path) -> Path | None:
    """Return the folder of CTranslate2's that `weights` are, None where they are something else.

    The published ones have config.json, tokenizer.json (without it faster-whisper asks the hub) and
    a vocabulary; preprocessor_config.json only since large-v3. Raises FileNotFoundError for less.
    """
    if weights in (PUBLISHED, RANDOM):
        return None
    folder = systran(name) if weights == SYSTRAN else Path(weights)
    if not (folder / MODEL).is_file():
        return None
    missing = [file for file in ("config.json", TOKENIZER) if not (folder / file).is_file()]
    if not any((folder / file).is_file() for file in VOCABULARIES):
        missing.append(" or ".join(VOCABULARIES))
    if missing:
        raise FileNotFoundError(
            f"{folder} has a {MODEL} but no {', '.join(missing)}; copy what is missing from where "
            f"the model came from, or convert it again with --copy_files {TOKENIZER} {FRONT_END}"
        )
    return folder


def _open(folder: Path, device: str, dtype: str) -> Any:
    from faster_whisper import WhisperModel

    kind, _, index = device.partition(":")
    try:
        return WhisperModel(
            str(folder),
            device=kind,
            device_index=int(index or 0),
            compute_type=dtype,
            cpu_threads=0,
            local_files_only=True,
        )
    except RuntimeError as error:
        if not any(sign in str(error) for sign in DAMAGED):
            raise
        raise ValueError(f"{folder / MODEL} is damaged ({error}); convert it again") from error


def _check_front_end(folder: Path, whisper: Any) -> None:
    """Raise ValueError where the mel has other bands than the model hears.

    faster-whisper takes 80 without a preprocessor_config.json, and says nothing.
    """
    bands, heard = len(whisper.feature_extractor.mel_filters), whisper.model.n_mels
    if bands == heard:
        return
    there = (folder / FRONT_END).is_file()
    origin = f"{FRONT_END} says" if there else f"without {FRONT_END} it gets"
    raise ValueError(
        f"{folder}: the model hears {heard} mel bands, {origin} {bands}; copy {FRONT_END} from "
        "where the model came from"
    )
