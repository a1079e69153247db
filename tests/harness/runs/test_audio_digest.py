"""Audio identity: it changes with any sound, and with nothing else."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from stabench.harness.runs import audio_digest
from stabench.harness.runs.audio_digest import (
    BROKEN,
    find_copies,
    of_clips,
    of_outputs,
    of_recordings,
    of_sound,
)
from stabench.harness.runs.journal import Failure, Row

A, B = of_sound("a" * 64, 16_000), of_sound("b" * 64, 16_000)


def row(clip: str, content: str | None, **other: object) -> Row:
    return Row("star", clip, 0, False, "ok", 0, audio_sha256=content, rate_hz=16_000, **other)


def test_clips_are_hashed_by_id_in_any_order() -> None:
    expected = sha256(f"one {'a' * 64} 16000\ntwo {'b' * 64} 16000\n".encode()).hexdigest()
    assert of_clips({"two": B, "one": A}) == of_clips({"one": A, "two": B}) == expected
    assert of_clips({"one": B, "two": A}) != expected
    assert of_clips({"one": A, "two": of_sound("b" * 64, 8_000)}) != expected
    assert of_clips({}) is None


def test_outputs_are_the_ok_rows_of_the_first_repeat() -> None:
    rows = [row("one", "a" * 64), row("two", "b" * 64)]
    whole = of_outputs(rows, ())
    assert whole == of_clips({"one": A, "two": B})
    failed = replace(row("three", None), status="failed", error=Failure("raised", "no"))
    again = replace(row("one", "c" * 64), repeat=1)
    silent = row("four", None)
    assert of_outputs([*rows, failed, again, silent], ["three"]) == whole
    assert of_outputs(rows, ["two"]) == of_clips({"one": A, "two": BROKEN}) != whole


def test_recordings_count_with_their_clips_and_without_their_names() -> None:
    both = of_recordings({"x": A, "y": B}, {"one": ("x",), "two": ("y",)})
    assert both == of_recordings({"/q/x": A, "/q/y": B}, {"one": ("/q/x",), "two": ("/q/y",)})
    swapped = of_recordings({"x": A, "y": B}, {"one": ("y",), "two": ("x",)})
    alone = of_recordings({"x": A, "y": B}, {})
    broken = of_recordings({"x": A}, {"one": ("x",), "two": ("y",)})
    fewer = of_recordings({"x": A}, {"one": ("x",)})
    assert len({both, swapped, alone, broken, fewer}) == 5
    assert of_recordings({}, {"one": ()}) is None
    assert audio_digest.of_recordings({"x": A}, {"one": ()}) == of_recordings({"x": A}, {})


def test_copies_of_a_file_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    """Of one length are many; a file that is gone, or none, is no copy."""
    contents = {"a": b"one", "b": b"two", "c": b"one", "d": b"other", "e": b"one", "f": b"two"}
    files = {clip: tmp_path / f"{clip}.wav" for clip in contents}
    for clip, path in files.items():
        path.write_bytes(contents[clip])
    named = {**files, "gone": tmp_path / "gone.wav", "never": None, "same file": files["a"]}
    assert find_copies(named) == {"c": "a", "e": "a", "f": "b", "same file": "a"}
    assert find_copies({}) == {}
