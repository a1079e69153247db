"""Folders of WAVs: the files that count, in every spelling that a name may have."""

import os
import unicodedata
from pathlib import Path

import pytest

from stabench.metrics.wav_folder import describe_near, explain_name, list_wavs, name_of
from stabench.metrics.wav_header import AudioError


def _touch(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        Path(folder, os.fsdecode(name)).touch()
    return folder


def test_names_are_without_ending_in_one_unicode_form(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Café Zürich")
    _touch(tmp_path, f"{decomposed}.wav", "b.WAV", " c .wav", "d.wav.wav", "notes.txt", ".e.wav")
    files = list_wavs(tmp_path).by_name()
    assert sorted(files) == [" c ", ".e", "Café Zürich", "b", "d.wav"]
    assert files["Café Zürich"].name == f"{decomposed}.wav"


def test_companions_of_macos_are_no_sounds(tmp_path: Path) -> None:
    wavs = list_wavs(_touch(tmp_path, "a.wav", "._a.wav", "._b.WAV", "._c.txt"))
    assert [path.name for path in wavs.paths] == ["a.wav"]
    assert [path.name for path in wavs.skipped] == ["._a.wav", "._b.WAV"]


@pytest.mark.parametrize(
    "names",
    [("a.wav", "a.WAV"), ("e\u0301.wav", "\xe9.wav"), ("\u212b.wav", "\xc5.wav")],
)
def test_one_name_of_two_files_is_refused_and_both_are_told_apart(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    wavs = list_wavs(_touch(tmp_path, *names))
    with pytest.raises(AudioError, match="holds 2 files with the stem") as caught:
        wavs.by_name()
    shown = str(caught.value).partition("(")[2].partition(")")[0].split(", ")
    assert len(set(shown)) == 2


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"\xff.wav", b"a\x80b.wav"])
def test_a_name_in_other_bytes_can_be_written_and_is_explained(tmp_path: Path, name: bytes) -> None:
    [(written, path)] = list_wavs(_touch(tmp_path, name)).by_name().items()
    written.encode()
    assert "has a file name that is not UTF-8 (" in (explain_name(path) or "")
    assert name_of(path) == written
    assert explain_name(tmp_path / "é.wav") is None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Rain", "'rain' is there: it differs in upper and lower case"),
        ("rain.wav", "'rain' is there: it differs in the ending .wav"),
        (" rain", "'rain' is there: it differs in blanks"),
        ("ra\N{NO-BREAK SPACE}in", "'rain' is there: it differs in blanks"),
        ("RAIN.WAV", "'rain' is there: it differs in upper and lower case, the ending .wav"),
        ("\uff46ire", "'fire' is there: it differs in Unicode form"),
        ("rain", ""),
        ("raining", ""),
    ],
)
def test_a_name_that_differs_in_form_alone_is_hinted_at(name: str, line: str) -> None:
    assert describe_near(name, ["wind", "rain", "fire"]) == line
