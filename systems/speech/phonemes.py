"""English words to IPA, as voices trained on espeak-ng phonemes read them."""

import ctypes
import re
from functools import cache

VOICE = b"en-us"
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8, _IPA = 2, 1, 1, 2
_MARKS = re.compile(r"""(\s*[;:,.!?¡¿—…"«»“”(){}\[\]]+\s*)""")


def phonemes(text: str) -> str:
    """IPA with stress marks; punctuation stays where it was, white space becomes one blank.

    The same string as phonemizer 3.4 gives with its espeak backend, preserve_punctuation and
    with_stress, which is what the tokenizer of VITS-LJS asks for. Raises RuntimeError when
    espeak-ng does not start.
    """
    parts = _MARKS.split(text)
    said = [part if index % 2 else _clause(part) for index, part in enumerate(parts)]
    return re.sub(r"\s+", " ", "".join(said))


def _clause(text: str) -> str:
    """IPA of words without punctuation."""
    library = _espeak()
    # The library's voice is one for the whole process, and another module may have set its own.
    if library.espeak_SetVoiceByName(VOICE) != 0:
        raise RuntimeError(f"espeak-ng has no voice {VOICE.decode()}; reinstall espeakng-loader")
    # espeak-ng reads a clause at a time, moves the pointer on, and sets it to NULL at the end.
    rest = ctypes.c_char_p(text.encode())
    said = []
    while text.strip() and rest.value is not None:
        said.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA).decode().strip())
    return " ".join(filter(None, said))


@cache
def _espeak() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    path = str(espeakng_loader.get_data_path()).encode()
    if library.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS) <= 0:
        raise RuntimeError("espeak-ng did not start; reinstall the espeakng-loader package")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    return library
