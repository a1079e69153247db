"""Archives of strangers: each kind of trap, made as small as it can be, refused by its name."""

import io
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.harness.submission.archive import LIMITS, Limits, open_archive, write

Entries = list[tuple[zipfile.ZipInfo, bytes]]


def zip_entries(entries: Entries, **how) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that stands twice
        with zipfile.ZipFile(stream, "w", **how) as file:
            for entry, data in entries:
                file.writestr(entry, data)
    return stream.getvalue()


def zip_names(*names: str, mode: int = 0) -> bytes:
    entries = []
    for name in names:
        entry = zipfile.ZipInfo("placeholder")
        entry.filename, entry.external_attr, entry.create_system = name, mode << 16, 3
        entries.append((entry, b"x"))
    return zip_entries(entries)


def deflate(data: bytes) -> bytes:
    return zip_entries([(zipfile.ZipInfo("a"), data)], compression=zipfile.ZIP_DEFLATED)


def patch(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def zip_with_flag(bit: int) -> bytes:
    """The flags of the only entry, in both of its headers."""
    data = bytearray(zip_names("a"))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(signature) + at
        data[place : place + 2] = struct.pack("<H", bit)
    return bytes(data)


def zip_with_overlap() -> bytes:
    """Two entries whose directory points to one place."""
    data = bytearray(write({"a": b"x" * 50, "b": b"x" * 50}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(data)


def repack(method: int) -> bytes:
    return zip_entries([(zipfile.ZipInfo("a"), b"x")], compression=method)


def bzip2() -> bytes:
    entry = zipfile.ZipInfo("a")
    entry.compress_type = zipfile.ZIP_BZIP2
    return zip_entries([(entry, b"x" * 100)])


def bomb() -> bytes:
    entry = zipfile.ZipInfo("a")
    entry.compress_type = zipfile.ZIP_DEFLATED
    return zip_entries([(entry, bytes(4 * 2**20))])


def zip_with_false_count() -> bytes:
    """Four files, of which the end of the directory counts one."""
    data = bytearray(zip_names(*"abcd"))
    data[-14:-10] = struct.pack("<HH", 1, 1)
    return bytes(data)


def tar_entry(kind: bytes, target: str, packing: str = "") -> bytes:
    """A tar, under the name of a ZIP, of one entry that is a link or a device."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{packing}") as file:
        entry = tarfile.TarInfo("submission.json")
        entry.type, entry.linkname = kind, target
        file.addfile(entry)
    return stream.getvalue()


def wide(size: int) -> bytes:
    """A size of 64 bits beside the true one of 32."""
    entry = zipfile.ZipInfo("a")
    entry.extra = struct.pack("<HHQQ", 1, 16, size, 1)
    data = bytearray(zip_entries([(entry, b"x")]))
    place = data.index(b"PK\x01\x02") + 20
    data[place : place + 8] = b"\xff" * 8
    return bytes(data)


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
    "many": (lambda: zip_names(*"abcd"), SMALL, "4 files, at most 3"),
    "directory": (lambda: zip_names("a" * 200, "b" * 200), SMALL, "a directory of"),
    "large": (lambda: write({"a": b"x" * 11}), SMALL, "11 bytes unpacked, at most 10 of one"),
    "sum": (lambda: write({"a": b"x" * 9, "b": b"x" * 9}), SMALL, "18 bytes unpacked, at most 15"),
    "bomb": (bomb, LIMITS, "more than 100 times"),
    "overlap": (zip_with_overlap, LIMITS, "shares its bytes with"),
    "miscounted": (
        zip_with_false_count,
        SMALL._replace(directory=4000),
        "4 files behind a false count",
    ),
    "tar of a link": (lambda: tar_entry(tarfile.SYMTYPE, "/etc/passwd"), LIMITS, "not a ZIP"),
    "tar of a hard link": (lambda: tar_entry(tarfile.LNKTYPE, "../x"), LIMITS, "not a ZIP"),
    "gzip of a device": (lambda: tar_entry(tarfile.CHRTYPE, "", "gz"), LIMITS, "not a ZIP"),
    "64-bit bomb": (lambda: wide(2**40), LIMITS, "1099511627776 bytes unpacked"),
    "traversal": (lambda: zip_names("../../etc/cron.d/x"), LIMITS, "leads out of the archive"),
    "inner traversal": (lambda: zip_names("audio/../../x"), LIMITS, "leads out of the archive"),
    "windows traversal": (lambda: zip_names("..\\x"), LIMITS, "leads out of the archive"),
    "absolute": (lambda: zip_names("/etc/passwd"), LIMITS, "is an absolute path"),
    "drive": (lambda: zip_names("C:/x"), LIMITS, "is an absolute path"),
    "backslash": (lambda: zip_names("audio\\x.wav"), LIMITS, "is not a plain path"),
    "dot": (lambda: zip_names("audio/./x.wav"), LIMITS, "is not a plain path"),
    "double": (lambda: zip_names("audio//x.wav"), LIMITS, "is not a plain path"),
    "link": (lambda: zip_names("a", mode=stat.S_IFLNK | 0o777), LIMITS, "is a symbolic link"),
    "device": (lambda: zip_names("a", mode=stat.S_IFCHR | 0o666), LIMITS, "is a device"),
    "pipe": (lambda: zip_names("a", mode=stat.S_IFIFO | 0o666), LIMITS, "is a device, pipe"),
    "folder": (lambda: zip_names("audio/"), LIMITS, "is a folder"),
    "twice": (lambda: zip_names("a", "a"), LIMITS, "stands twice"),
    "case": (lambda: zip_names("Run.json", "run.json"), LIMITS, "in case or form only"),
    "form": (lambda: zip_names("caf\u00e9", "cafe\u0301"), LIMITS, "in case or form only"),
    "control": (lambda: zip_names("a\x1b[2J"), LIMITS, "cannot be printed"),
    "direction": (lambda: zip_names("a\u202egnp.exe"), LIMITS, "cannot be printed"),
    "nul": (lambda: patch(zip_names("abc"), b"abc", b"a\x00c"), LIMITS, "cannot be printed"),
    "latin": (lambda: patch(zip_names("abc"), b"abc", b"a\xe9c"), LIMITS, "is not UTF-8"),
    "bad utf-8": (
        lambda: patch(zip_names("a\u00e9"), b"\xc3\xa9", b"\xc3\x28"),
        LIMITS,
        "not UTF-8",
    ),
    "long": (lambda: zip_names("a" * 300), LIMITS, "is longer than 255 bytes"),
    "nested": (lambda: zip_names("more.zip"), LIMITS, "is an archive within the archive"),
    "encrypted": (lambda: zip_with_flag(1), LIMITS, "is encrypted"),
    "method": (bzip2, LIMITS, "is packed by method 12"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_by_its_name(tmp_path: Path, name: str):
    make, limits, words = TRAPS[name]
    path = tmp_path / "submission.zip"
    path.write_bytes(make())
    archive, findings = open_archive(path, limits)
    assert archive is None
    assert any(words in finding.message for finding in findings), findings
    assert {finding.severity for finding in findings} == {"error"}


def test_an_archive_written_here_is_read_here(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(GOOD)
    archive, findings = open_archive(path)
    assert findings == []
    path.unlink()  # its directory is read once, however many files follow
    assert {name: archive.read(name) for name in archive.entries} == {"a": b"x", "b/c": b"y"}
    assert write({"b/c": b"y", "a": b"x"}) == GOOD


def test_a_repacked_archive_is_read_too(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(repack(zipfile.ZIP_DEFLATED))
    archive, findings = open_archive(path)
    assert findings == []
    assert archive.read("a") == b"x"


def local(at: int, value: bytes) -> bytes:
    """An entry whose own header says something else than the directory."""
    data = bytearray(write({"a": b"xxxxx"}))
    data[at : at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (local(30, b"b"), "differ"),
        (local(6, b"\x00\x08").replace(b"a", b"\xff", 1), "codec can't decode"),
        (wide(2), "1 bytes, the directory says 2"),
    ],
)
def test_a_file_whose_own_header_lies_is_told(tmp_path: Path, data, words):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    archive, findings = open_archive(path)
    assert findings == []
    with pytest.raises(ValueError, match=words):
        archive.read("a")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [(b"xxxxx", b"xxxyx", "Bad CRC-32"), (b"PK\x03\x04", b"PK\x03\x05", "Bad magic number")],
)
def test_a_damaged_file_is_told(tmp_path: Path, old, new, words):
    path = tmp_path / "a.zip"
    path.write_bytes(patch(write({"a": b"xxxxx"}), old, new))
    archive, _ = open_archive(path)
    with pytest.raises(ValueError, match=words):
        archive.read("a")
