"""The WAV files of a folder: which of them count, and by which name they are paired.

A name is the file's, without .wav, in the Unicode form NFC: macOS writes "é" as two characters,
other systems as one, and both are the same name to whoever typed it.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from stabench.metrics.wav_header import AudioError

SUFFIX = ".wav"
# What macOS puts beside a file on a drive that is not its own: it holds no sound.
COMPANION = "._"


class WavFiles(NamedTuple):
    """`paths` in order of their names; `skipped` are files of macOS that only look like WAVs."""

    paths: tuple[Path, ...]
    skipped: tuple[Path, ...]

    def by_name(self) -> dict[str, Path]:
        """Return the files by name. Raises AudioError where two have the same name."""
        files: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            files[name_of(path)].append(path)
        for name, paths in files.items():
            if len(paths) > 1:
                shown = ", ".join(ascii(path.name)[1:-1] for path in paths)
                raise AudioError(
                    f"'{paths[0].parent}' holds {len(paths)} files with the stem '{name}' "
                    f"({shown}); clips are paired by stem, keep one"
                )
        return {name: path for name, (path,) in files.items()}


def list_wavs(folder: Path) -> WavFiles:
    """Return what a folder holds under a name that ends in .wav, in capitals or not."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == SUFFIX)
    return WavFiles(
        tuple(path for path in paths if not path.name.startswith(COMPANION)),
        tuple(path for path in paths if path.name.startswith(COMPANION)),
    )


def name_of(path: Path) -> str:
    """Return the name by which a file is paired; bytes that are no UTF-8 are written as \\udce9."""
    return unicodedata.normalize("NFC", path.stem).encode("utf-8", "backslashreplace").decode()


def explain_name(path: Path) -> str | None:
    """Return why no table of results can hold a file's name, or None."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return f"has a file name that is not UTF-8 ({ascii(path.name)[1:-1]}); rename the file"
    return None


def describe_near(name: str, names: Iterable[str]) -> str:
    """Return in a few words which of `names` is `name` but for its form; nothing where none is.

    >>> describe_near("Rain.wav", ["wind", "rain"])
    "'rain' is there: it differs in upper and lower case, the ending .wav"
    """
    folded = _fold(name)
    near = next((other for other in names if other != name and _fold(other) == folded), None)
    if near is None:
        return ""
    forms = [form for form in _FORMS if _fold(name, form) != _fold(near, form)]
    return f"'{near}' is there: it differs in {', '.join(forms) or 'its form'}"


_FORMS: dict[str, Callable[[str], str]] = {
    "Unicode form": partial(unicodedata.normalize, "NFKC"),
    "upper and lower case": str.casefold,
    "blanks": lambda name: "".join(name.split()),
    "the ending .wav": lambda name: name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name,
}


@lru_cache(maxsize=8192)
def _fold(name: str, without: str = "") -> str:
    """Return a name in one form for all, but for the form `without`."""
    for form, change in _FORMS.items():
        name = name if form == without else change(name)
    return name
