"""The entries of an archive: names, kinds and sizes that are refused before a byte is unpacked."""

import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from typing import Protocol

from harness.board.findings import Finding, error

UTF8, ENCRYPTED = 0x800, 0x1
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".jar", ".npz")
LONGEST_NAME = 255
SMALL = 2**20
"""Unpacked bytes up to which no ratio is suspicious."""


class Limited(Protocol):
    """The limits that concern entries."""

    unpacked: int
    member: int
    ratio: int


def entry_findings(entries: list[zipfile.ZipInfo], limits: Limited) -> Iterator[Finding]:
    """Everything wrong with the entries, each with its name."""
    yield from _clashes(entries)
    for entry in entries:
        for field, reason in (*_name(entry), *_kind(entry), *_size(entry, limits)):
            yield error(entry.orig_filename, field, reason)
    total = sum(entry.file_size for entry in entries)
    if total > limits.unpacked:
        yield error("archive", "size", f"{total} bytes unpacked, at most {limits.unpacked}")


def _clashes(entries: list[zipfile.ZipInfo]) -> Iterator[Finding]:
    """Names that one file system or another would take for one."""
    seen: dict[str, str] = {}
    for entry in entries:
        folded = unicodedata.normalize("NFKC", entry.filename).casefold()
        if seen.get(folded) == entry.filename:
            yield error(entry.filename, "name", "stands twice in the archive")
        elif folded in seen:
            other = seen[folded]
            yield error(entry.filename, "name", f"differs from '{other}' in case or form only")
        seen.setdefault(folded, entry.filename)


def _name(entry: zipfile.ZipInfo) -> Iterator[tuple[str, str]]:
    name = entry.orig_filename
    parts = name.replace("\\", "/").split("/")
    if not name.isprintable():
        yield "name", "holds a character that cannot be printed"
    if not name.isascii() and not entry.flag_bits & UTF8:
        yield "name", "is not UTF-8"
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        yield "name", "is an absolute path"
    elif ".." in parts:
        yield "name", "leads out of the archive by '..'"
    elif "\\" in name or "." in parts or "" in parts[:-1]:
        yield "name", "is not a plain path of names and '/'"
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        yield "name", f"is longer than {LONGEST_NAME} bytes"
    if name.casefold().endswith(ARCHIVES):
        yield "name", "is an archive within the archive"


def _kind(entry: zipfile.ZipInfo) -> Iterator[tuple[str, str]]:
    mode = entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if entry.filename.endswith("/") or kind == stat.S_IFDIR:
        yield "kind", "is a folder; a package holds files only"
    elif kind == stat.S_IFLNK:
        yield "kind", "is a symbolic link"
    elif kind not in (0, stat.S_IFREG):
        yield "kind", "is a device, pipe or socket"
    if entry.flag_bits & ENCRYPTED:
        yield "kind", "is encrypted"
    if entry.compress_type not in PACKINGS:
        yield "kind", f"is packed by method {entry.compress_type}; stored and deflated are read"


def _size(entry: zipfile.ZipInfo, limits: Limited) -> Iterator[tuple[str, str]]:
    if entry.file_size > limits.member:
        yield "size", f"{entry.file_size} bytes unpacked, at most {limits.member} of one file"
    if entry.file_size > SMALL and entry.file_size > limits.ratio * entry.compress_size:
        yield (
            "size",
            f"{entry.compress_size} bytes unpack to {entry.file_size}: more than "
            f"{limits.ratio} times",
        )
