"""Archives of strangers: each kind of trap, made as small as it can be, refused by its name."""

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.board.archive import LIMITS, Limits, open_archive, write

Entries = list[tuple[zipfile.ZipInfo, bytes]]


def zipped(entries: Entries, **how) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that stands twice
        with zipfile.ZipFile(stream, "w", **how) as file:
            for entry, data in entries:
                file.writestr(entry, data)
    return stream.getvalue()


def named(*names: str, mode: int = 0) -> bytes:
    entries = []
    for name in names:
        entry = zipfile.ZipInfo("placeholder")
        entry.filename, entry.external_attr, entry.create_system = name, mode << 16, 3
        entries.append((entry, b"x"))
    return zipped(entries)


def deflated(data: bytes) -> bytes:
    return zipped([(zipfile.ZipInfo("a"), data)], compression=zipfile.ZIP_DEFLATED)


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def flagged(bit: int) -> bytes:
    """The flags of the only entry, in both of its headers."""
    data = bytearray(named("a"))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(signature) + at
        data[place : place + 2] = struct.pack("<H", bit)
    return bytes(data)


def overlapping() -> bytes:
    """Two entries whose directory points to one place."""
    data = bytearray(write({"a": b"x" * 50, "b": b"x" * 50}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(data)


def repacked(method: int) -> bytes:
    return zipped([(zipfile.ZipInfo("a"), b"x")], compression=method)


def bzip2() -> bytes:
    entry = zipfile.ZipInfo("a")
    entry.compress_type = zipfile.ZIP_BZIP2
    return zipped([(entry, b"x" * 100)])


def bomb() -> bytes:
    entry = zipfile.ZipInfo("a")
    entry.compress_type = zipfile.ZIP_DEFLATED
    return zipped([(entry, bytes(4 * 2**20))])


SMALL = Limits(member=10, unpacked=15, members=3, directory=400)
GOOD = write({"a": b"x", "b/c": b"y"})
TRAPS: dict[str, tuple[Callable[[], bytes], Limits, str]] = {
    "no zip": (lambda: b"hello" * 20, LIMITS, "not a ZIP archive"),
    "empty": (lambda: b"", LIMITS, "not a ZIP archive"),
    "tail": (lambda: GOOD + b"more", LIMITS, "not a ZIP archive"),
    "head": (lambda: b"#!/bin/sh\n" + GOOD, LIMITS, "bytes that belong to no file"),
    "zip64": (
        lambda: GOOD[:-22] + b"PK\x06\x07" + bytes(16) + GOOD[-22:],
        LIMITS,
        "bytes that belong to no file",
    ),
    "torn": (lambda: GOOD[20:], LIMITS, "bytes that belong to no file"),
    "many": (lambda: named(*"abcd"), SMALL, "4 files, at most 3"),
    "directory": (lambda: named("a" * 200, "b" * 200), SMALL, "a directory of"),
    "large": (lambda: write({"a": b"x" * 11}), SMALL, "11 bytes unpacked, at most 10 of one"),
    "sum": (lambda: write({"a": b"x" * 9, "b": b"x" * 9}), SMALL, "18 bytes unpacked, at most 15"),
    "bomb": (bomb, LIMITS, "more than 100 times"),
    "overlap": (overlapping, LIMITS, "shares its bytes with"),
    "traversal": (lambda: named("../../etc/cron.d/x"), LIMITS, "leads out of the archive"),
    "inner traversal": (lambda: named("audio/../../x"), LIMITS, "leads out of the archive"),
    "windows traversal": (lambda: named("..\\x"), LIMITS, "leads out of the archive"),
    "absolute": (lambda: named("/etc/passwd"), LIMITS, "is an absolute path"),
    "drive": (lambda: named("C:/x"), LIMITS, "is an absolute path"),
    "backslash": (lambda: named("audio\\x.wav"), LIMITS, "is not a plain path"),
    "dot": (lambda: named("audio/./x.wav"), LIMITS, "is not a plain path"),
    "double": (lambda: named("audio//x.wav"), LIMITS, "is not a plain path"),
    "link": (lambda: named("a", mode=stat.S_IFLNK | 0o777), LIMITS, "is a symbolic link"),
    "device": (lambda: named("a", mode=stat.S_IFCHR | 0o666), LIMITS, "is a device"),
    "pipe": (lambda: named("a", mode=stat.S_IFIFO | 0o666), LIMITS, "is a device, pipe"),
    "folder": (lambda: named("audio/"), LIMITS, "is a folder"),
    "twice": (lambda: named("a", "a"), LIMITS, "stands twice"),
    "case": (lambda: named("Run.json", "run.json"), LIMITS, "in case or form only"),
    "form": (lambda: named("caf\u00e9", "cafe\u0301"), LIMITS, "in case or form only"),
    "control": (lambda: named("a\x1b[2J"), LIMITS, "cannot be printed"),
    "direction": (lambda: named("a\u202egnp.exe"), LIMITS, "cannot be printed"),
    "nul": (lambda: patched(named("abc"), b"abc", b"a\x00c"), LIMITS, "cannot be printed"),
    "latin": (lambda: patched(named("abc"), b"abc", b"a\xe9c"), LIMITS, "is not UTF-8"),
    "bad utf-8": (lambda: patched(named("a\u00e9"), b"\xc3\xa9", b"\xc3\x28"), LIMITS, "not UTF-8"),
    "long": (lambda: named("a" * 300), LIMITS, "is longer than 255 bytes"),
    "nested": (lambda: named("more.zip"), LIMITS, "is an archive within the archive"),
    "encrypted": (lambda: flagged(1), LIMITS, "is encrypted"),
    "method": (bzip2, LIMITS, "is packed by method 12"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_by_its_name(tmp_path: Path, name: str):
    make, limits, words = TRAPS[name]
    path = tmp_path / "submission.zip"
    path.write_bytes(make())
    archive, findings = open_archive(path, limits)
    assert archive is None
    assert any(words in one.message for one in findings), findings
    assert {one.severity for one in findings} == {"error"}


def test_an_archive_written_here_is_read_here(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(GOOD)
    archive, findings = open_archive(path)
    assert findings == []
    assert {name: archive.read(name) for name in archive.entries} == {"a": b"x", "b/c": b"y"}
    assert write({"b/c": b"y", "a": b"x"}) == GOOD


def test_a_repacked_archive_is_read_too(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(repacked(zipfile.ZIP_DEFLATED))
    archive, findings = open_archive(path)
    assert findings == []
    assert archive.read("a") == b"x"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [(b"xxxxx", b"xxxyx", "Bad CRC-32"), (b"PK\x03\x04", b"PK\x03\x05", "Bad magic number")],
)
def test_a_damaged_file_is_told(tmp_path: Path, old, new, words):
    path = tmp_path / "a.zip"
    path.write_bytes(patched(write({"a": b"xxxxx"}), old, new))
    archive, _ = open_archive(path)
    with pytest.raises(ValueError, match=words):
        archive.read("a")
