"""Datasets: ids that are unique and name files, folders of WAVs, captions of every kind."""

import os
import unicodedata
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stabench.harness.datasets.dataset import Clip, Dataset, folder, read_captions, spoken_folder
from stabench.harness.errors import MissingError, StabenchError


def _clips(*names: str) -> tuple[Clip, ...]:
    return tuple(Clip(name, None, None, None) for name in names)


def _csv(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_an_id_used_twice_is_one_line_and_exit_2() -> None:
    with pytest.raises(StabenchError, match="'pets': clip id 'cat' is used twice") as caught:
        Dataset("pets", "1", _clips("cat", "dog", "cat"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\nb", "a\0b", "x" * 201])
def test_an_id_that_names_no_file_is_refused(name: str) -> None:
    with pytest.raises(StabenchError, match="cannot name a file"):
        Dataset("pets", "1", _clips(name))


@pytest.mark.parametrize("name", ["Y_z6pymOet7g", "a b", "ü", "-x", ".hidden", "a.b"])
def test_other_ids_are_fine(name: str) -> None:
    assert Dataset("pets", "1", _clips(name)).limited(5).clips[0].id == name


def test_the_limit_takes_the_first_clips() -> None:
    dataset = Dataset("pets", "1", _clips(*"abc"))
    assert [clip.id for clip in dataset.limited(2).clips] == ["a", "b"]
    assert dataset.limited(None) == dataset


def test_a_folder_pairs_files_by_name(speech: Path, tmp_path: Path) -> None:
    captions = _csv(tmp_path / "c.csv", 'id,caption\nclip1,"a dog, barking"\nclip0, rain \n')
    dataset = folder(speech, reference=speech, captions=captions)
    assert [clip.id for clip in dataset.clips] == [f"clip{index}" for index in range(6)]
    first = dataset.clips[0]
    assert (first.caption, first.speech, first.reference) == (
        "rain",
        speech / "clip0.wav",
        speech / "clip0.wav",
    )
    assert dataset.clips[1].caption == "a dog, barking"
    assert dataset.clips[2].caption is None


def test_a_caption_without_speech_is_a_clip_that_will_fail(speech: Path, tmp_path: Path) -> None:
    captions = _csv(tmp_path / "c.csv", "id,caption\nzebra,hoofs\n")
    assert folder(speech, captions=captions).clips[-1] == Clip(
        "zebra", "hoofs", speech / "zebra.wav", None
    )


def test_the_version_follows_ids_and_captions(speech: Path, tmp_path: Path) -> None:
    bare = folder(speech).version
    captions = _csv(tmp_path / "c.csv", "id,caption\nclip0,rain\n")
    assert folder(speech).version == bare
    assert folder(speech, captions=captions).version != bare
    (speech / "clip3.wav").unlink()
    assert folder(speech).version != bare


def test_captions_near_the_speech_are_found_and_only_looked_up(speech: Path) -> None:
    assert spoken_folder(speech, None).clips[0].caption is None
    _csv(speech.parent / "captions.csv", "id,caption\nclip0,rain\nzebra,hoofs\n")
    dataset = spoken_folder(speech, None)
    assert (len(dataset.clips), dataset.clips[0].caption) == (6, "rain")
    _csv(speech / "captions.csv", "id,caption\nclip0,wind\n")
    assert spoken_folder(speech, None).clips[0].caption == "wind"
    given = _csv(speech.parent / "mine.csv", "id,caption\nclip0,snow\n")
    assert spoken_folder(speech, given).clips[0].caption == "snow"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("audiocap_id,text\n1,x\n", "found columns audiocap_id, text; needs columns id, caption"),
        ("", "found columns none"),
        ("id,caption\na,x\na,y\n", "clip id 'a' is used twice"),
        ("id,caption\n,x\n", "line 2: column 'id' is empty"),
        ("id,caption\na/b,x\n", "cannot name a file"),
        ('id,caption\na,"x\n', 'line 2: a quote (") opens here and is never closed'),
    ],
)
def test_captions_that_cannot_be_used(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(StabenchError) as caught:
        read_captions(_csv(tmp_path / "c.csv", text))
    assert line in str(caught.value)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def test_captions_with_a_byte_order_mark_and_other_columns(tmp_path: Path) -> None:
    path = _csv(tmp_path / "c.csv", "\ufeffid,start,caption\na,3,x\nb,4,\n")
    assert read_captions(path) == {"a": "x", "b": ""}


def test_captions_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes("id,caption\na,Höhle\n".encode("latin-1"))
    with pytest.raises(StabenchError, match="line 2: byte 0xf6 is not UTF-8; save the file"):
        read_captions(path)


def test_folders_and_files_that_are_not_there(tmp_path: Path, speech: Path) -> None:
    for call in (
        lambda: folder(tmp_path / "none"),
        lambda: folder(speech, reference=tmp_path / "none"),
        lambda: folder(speech, captions=tmp_path / "none.csv"),
        lambda: folder(_empty(tmp_path)),
    ):
        with pytest.raises(MissingError) as caught:
            call()
        assert caught.value.exit_code == 3


def _empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty"
    path.mkdir(exist_ok=True)
    return path


def _named(folder: Path, *names: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        Path(folder, os.fsdecode(name)).touch()
    return folder


def test_speech_recordings_and_captions_pair_in_any_unicode_form(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "Höhle") for form in ("NFC", "NFD"))
    spoken = _named(tmp_path / "speech", f"{nfd}.wav", " a.WAV")
    recordings = _named(tmp_path / "reference", f"{nfc}.wav", " a.wav")
    captions = _csv(tmp_path / "c.csv", f"id,caption\n{nfd},a cave\n a,x\n")
    clips = folder(spoken, recordings, captions).clips
    assert [(clip.id, clip.caption) for clip in clips] == [(" a", "x"), (nfc, "a cave")]
    assert all(clip.speech.exists() and clip.reference.exists() for clip in clips)


@pytest.mark.parametrize("caption", ["", " ", "\t\n", "\N{NO-BREAK SPACE}", "\u200b", "\ufeff"])
def test_a_caption_of_blanks_is_none(tmp_path: Path, caption: str) -> None:
    assert Clip("a", caption, None, None, judged_by=("x", caption)) == Clip(
        "a", None, None, None, judged_by=("x",)
    )
    spoken = _named(tmp_path / "speech", "a.wav", "b.wav")
    captions = _csv(tmp_path / "c.csv", f'id,caption\na,"{caption}"\n')
    assert [clip.caption for clip in folder(spoken, captions=captions).clips] == [None, None]
    kept = TypeAdapter(Clip).validate_python(
        {"id": "a", "caption": caption, "speech": None, "reference": None}
    )
    assert kept.caption is None


def test_one_odd_name_costs_its_clip_and_not_the_run(tmp_path: Path) -> None:
    names = ("a.wav", "._a.wav", b"caf\xe9.wav", "b\N{NO-BREAK SPACE}c.wav", "d\ne.wav")
    dataset = folder(_named(tmp_path / "speech", *names))
    assert [clip.id for clip in dataset.clips] == ["a"]
    reasons = dict(dataset.missing)
    assert sorted(reasons) == ["b\xa0c", "caf\\udce9", "d\ne"]
    assert "not UTF-8 (caf\\udce9.wav); rename" in reasons["caf\\udce9"]
    assert "cannot name a file; use 1 to 200 bytes" in reasons["d\ne"]
    assert dataset.notes == ("speech: 1 file of macOS without sound skipped (._a.wav)",)


@pytest.mark.parametrize("name", ["clip0.wav", "Clip0", " clip0", "clip0 ", "CLIP0.WAV"])
def test_an_id_that_differs_in_form_alone_is_no_other_clip(
    speech: Path, tmp_path: Path, name: str
) -> None:
    captions = _csv(tmp_path / "c.csv", f"id,caption\n{name},rain\n")
    with pytest.raises(StabenchError, match="'clip0' is there: it differs in"):
        folder(speech, captions=captions)
    _csv(speech / "captions.csv", f"id,caption\n{name},rain\n")
    with pytest.raises(StabenchError, match=f"id '{name}' names no WAV of"):
        spoken_folder(speech, None)
    both = _csv(tmp_path / "c.csv", f"id,caption\n{name},rain\nclip0,wind\n")
    assert len(folder(speech, captions=both).clips) == 7


def test_a_folder_in_other_bytes_is_refused_where_paths_are_kept(tmp_path: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9"))
    with pytest.raises(StabenchError, match=r"d\\udce9': not UTF-8; rename it"):
        folder(_named(place, "a.wav"))


FILE_NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)


@pytest.mark.parametrize("examples", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_no_file_of_a_folder_is_lost(tmp_path: Path, examples: int) -> None:
    numbers = count()

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(FILE_NAMES, min_size=1, max_size=5, unique=True), st.booleans())
    def check(names: list[bytes], hidden: bool) -> None:
        files = {name + b".wav" for name in names} | ({b"._x.wav"} if hidden else set())
        place = _named(tmp_path / str(next(numbers)), *files)
        try:
            dataset = folder(place)
        except StabenchError as error:
            line = str(error)
        else:
            skipped = sum(name.startswith(b"._") for name in files)
            assert len(dataset.clips) + len(dataset.missing) + skipped == len(files)
            assert bool(dataset.notes) == bool(skipped)
            return
        # All of them companions of macOS, or two that are one name.
        assert "holds no .wav file" in line or "files with the stem" in line

    check()
