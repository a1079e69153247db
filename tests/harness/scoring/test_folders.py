"""Pairing of folders and tables by name, whatever people and systems make of a name."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.scoring.folders import Captions, Pairs, pair, read_items, sounds, wav_folder
from stabench.metrics.audio import encode
from stabench.metrics.wav_header import AudioError

SOUND = encode(np.full(800, 0.5, np.float32), 16_000)
NFC, NFD = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))


def _folder(path: Path, *names: str | bytes) -> Path:
    path.mkdir(exist_ok=True)
    for name in names:
        Path(path, os.fsdecode(name)).write_bytes(SOUND)
    return path


def _table(path: Path, *rows: str, columns: str = "id,caption") -> Captions:
    path.write_text("\n".join([columns, *rows]) + "\n", "utf-8")
    return read_items(path)


NO_TABLE = Captions({}, named=False)


def _pair(tmp_path: Path, table: Captions = NO_TABLE) -> Pairs:
    """The folders `ref` and `out` of the test, as `score` pairs them."""
    systems = [wav_folder("star", tmp_path / "out")]
    return pair(wav_folder("reference", tmp_path / "ref"), systems, table, unpaired=False)


def _failure(tmp_path: Path, clip: str) -> str:
    with pytest.raises(AudioError) as caught:
        sounds(wav_folder("star", tmp_path / "out"), [clip])[clip]()
    return str(caught.value)


@pytest.mark.parametrize(("recording", "output"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_names_in_two_unicode_forms_are_one(tmp_path: Path, recording: str, output: str) -> None:
    _folder(tmp_path / "ref", f"{recording}.wav", "a.wav")
    _folder(tmp_path / "out", f"{output}.wav", "a.WAV")
    pairs = _pair(tmp_path, _table(tmp_path / "c.csv", f"{NFD},a cup", "a,x"))
    assert pairs.asked == {"star": sorted([NFC, "a"])}
    assert pairs.items[NFC].captions == ("a cup",)
    assert pairs.notes == ()
    heard = sounds(wav_folder("star", tmp_path / "out"), pairs.asked["star"])
    assert all(len(decode().samples) == 800 for decode in heard.values())


@pytest.mark.parametrize("name", [" rain", "rain ", "a, b", 'say "x"', "=1+1", "-x", "a.wav"])
def test_a_recording_is_found_by_its_name_as_it_is_written(tmp_path: Path, name: str) -> None:
    _folder(tmp_path / "ref", f"{name}.wav")
    _folder(tmp_path / "out", "one.wav")
    cell = '"{}"'.format(name.replace('"', '""'))
    table = _table(tmp_path / "c.csv", f"one,x,{cell}", columns="id,caption,reference")
    pairs = _pair(tmp_path, table)
    assert pairs.items["one"].references == (name,)
    assert len(sounds(wav_folder("reference", tmp_path / "ref"), [name])[name]().samples) == 800


def test_what_the_table_leaves_empty(tmp_path: Path) -> None:
    """A caption of blanks is none; an empty cell of a recording means that of the output's name."""
    _folder(tmp_path / "ref", "a.wav", "b.wav", "c.wav")
    _folder(tmp_path / "out", "a.wav", "b.wav", "c.wav")
    rows = ("a,x,", "b,  ,a", "c,\u200b,c", ",,")
    pairs = _pair(tmp_path, _table(tmp_path / "c.csv", *rows, columns="id,caption,reference"))
    assert [pairs.items[name].captions for name in "abc"] == [("x",), (), ()]
    assert [pairs.items[name].references for name in "abc"] == [("a",), ("a",), ("c",)]
    assert pairs.notes == ("2 clips without a caption (b, c)",)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (("a.wav,x", "b.wav,y"), "none of 2 ids names a file (first: 'a.wav'); 'a' is there: it d"),
        (("A,x", "B,y"), "'a' is there: it differs in upper and lower case"),
        ((" a,x", " b,y"), "'a' is there: it differs in blanks"),
        (("1,x", "2,y"), "an id is the name of an output without .wav"),
        (("a,x", "b,y", "a,z"), "lines 2 and 4: clip 'a' is there twice; for several captions of"),
        (("a,x", ",y"), "line 3: column 'id' is empty"),
        (("a,first, small birds", "b,x"), "line 2: too many fields"),
    ],
)
def test_a_table_that_does_not_fit_is_said_as_it_is(
    tmp_path: Path, rows: tuple[str, ...], line: str
) -> None:
    _folder(tmp_path / "ref", "a.wav", "b.wav")
    _folder(tmp_path / "out", "a.wav", "b.wav")
    with pytest.raises(StabenchError) as caught:
        _pair(tmp_path, _table(tmp_path / "c.csv", *rows))
    assert line in str(caught.value)


def test_several_captions_of_a_clip_need_the_column_reference(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    with pytest.raises(StabenchError, match="add the column 'reference' with its recording's name"):
        _table(path, "a,x", "a,y")
    assert _table(path, "a,x,a", "a,y,a", columns="id,caption,reference").items["a"].captions == (
        "x",
        "y",
    )


def test_some_ids_without_a_file_are_noted_with_a_hint(tmp_path: Path) -> None:
    _folder(tmp_path / "ref", "a.wav", "b.wav")
    _folder(tmp_path / "out", "a.wav", "b.wav")
    pairs = _pair(tmp_path, _table(tmp_path / "c.csv", "a,x", "B,y"))
    assert pairs.notes[0] == (
        "captions: 1 id without a file (B): 'b' is there: it differs in upper and lower case"
    )


def test_companions_of_macos_are_skipped_and_said(tmp_path: Path) -> None:
    _folder(tmp_path / "ref", "a.wav", "._a.wav")
    _folder(tmp_path / "out", "a.wav", "._a.wav", "._b.wav")
    pairs = _pair(tmp_path)
    assert pairs.asked == {"star": ["a"]}
    assert pairs.notes == (
        "reference: 1 file of macOS without sound skipped (._a.wav)",
        "star: 2 files of macOS without sound skipped (._a.wav)",
    )
    with pytest.raises(MissingError, match=r"holds no \.wav file"):
        wav_folder("star", _folder(tmp_path / "only", "._a.wav"))


def test_an_output_that_differs_in_capitals_is_hinted_at(tmp_path: Path) -> None:
    _folder(tmp_path / "ref", "Rain.wav", "wind.wav")
    _folder(tmp_path / "out", "rain.wav", "wind.wav")
    assert _failure(tmp_path, "Rain").endswith(
        "Rain.wav: no such file; 'rain' is there: it differs in upper and lower case"
    )
    _folder(tmp_path / "other", "RAIN.wav", "WIND.wav")
    systems = [wav_folder("star", tmp_path / "other")]
    recordings = wav_folder("reference", tmp_path / "ref")
    [note] = pair(recordings, systems, NO_TABLE, unpaired=False).notes
    assert "no file name in common with the recordings ('Rain' is there: it differs in" in note


def test_what_cannot_be_a_clip_fails_by_its_name_before_it_is_heard(tmp_path: Path) -> None:
    names = (b"caf\xe9.wav", b"\xff\xfe.wav")
    _folder(tmp_path / "ref", "a.wav", *names)
    out = _folder(tmp_path / "out", "a.wav", *names)
    os.mkfifo(out / "pipe.wav")
    (out / "folder.wav").mkdir()
    (out / "link.wav").symlink_to("nowhere")
    pairs = _pair(tmp_path)
    assert pairs.asked["star"] == ["\\udcff\\udcfe", "a", "caf\\udce9"]
    assert "has a file name that is not UTF-8 (caf\\udce9.wav)" in _failure(tmp_path, "caf\\udce9")
    assert "it is a pipe, not a file" in _failure(tmp_path, "pipe")
    assert "it is a folder, not a file" in _failure(tmp_path, "folder")
    assert "a link to 'nowhere'" in _failure(tmp_path, "link")


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "a\nb", "\x1b[31m", "\u200b", " "])
def test_the_name_of_a_system_can_be_printed(tmp_path: Path, name: str) -> None:
    with pytest.raises(StabenchError, match="not printable UTF-8; choose another") as caught:
        wav_folder(name, _folder(tmp_path / "out", "a.wav"))
    assert str(caught.value).isprintable()
