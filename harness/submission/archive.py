"""The package as a ZIP archive: written with the same bytes for the same files, opened with care.

ZIP and not tar: every name, size and kind stands in one directory that is read before anything is
unpacked. Nothing is ever unpacked onto the disk.
"""

import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from stabench.harness.submission.findings import Finding, error

# Bits of an entry's flags: its name is UTF-8; its content is encrypted.
UTF8, ENCRYPTED = 0x800, 0x1
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".jar", ".npz")
LONGEST_NAME = 255
# Unpacked bytes up to which no ratio is suspicious.
SMALL = 2**20
# End of central directory: signature, 4 counts, size and place of the directory, comment.
END = struct.Struct("<4s4H2LH")
# Stands before the end record of a ZIP64 archive, which none within the limits needs to be.
ZIP64_LOCATOR = b"PK\x06\x07"
LOCATOR_SIZE = 20
# The earliest time that ZIP can hold. A real one would give other bytes for the same files.
EPOCH = (1980, 1, 1, 0, 0, 0)
# The mode of a regular file, in the upper half of an entry's attributes, where Unix tools look.
REGULAR = 0o100644 << 16
# What ZIP calls the system that wrote an entry. Left to itself Python writes that of the machine.
UNIX = 3


class Limits(NamedTuple):
    """What an archive may hold at most; `ratio` is unpacked to packed size."""

    bytes: int = 4 * 2**30 - 1
    unpacked: int = 4 * 2**30
    member: int = 512 * 2**20
    members: int = 20_000
    directory: int = 16 * 2**20
    ratio: int = 100


LIMITS = Limits()


class Archive(NamedTuple):
    """An archive whose directory has passed: the open file, and its entries by name."""

    file: zipfile.ZipFile
    entries: Mapping[str, zipfile.ZipInfo]

    def read(self, name: str) -> bytes:
        """Return one file. Raises ValueError when it is damaged or not of the size it says."""
        entry = self.entries[name]
        try:
            with self.file.open(entry) as member:
                data = member.read(entry.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as fault:
            raise ValueError(f"cannot be unpacked: {fault}") from None
        if len(data) != entry.file_size:
            raise ValueError(f"{len(data)} bytes, the directory says {entry.file_size}")
        return data


class Opened(NamedTuple):
    """An archive, or why it is none that may be read."""

    archive: Archive | None
    findings: list[Finding]


def write(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of these files, sorted and stored: no time, owner or compressor in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = UNIX, REGULAR
            file.writestr(entry, files[name])
    return stream.getvalue()


def open_archive(path: Path, limits: Limits = LIMITS) -> Opened:
    """Open the archive at `path`, its directory checked against `limits`, no file read yet."""
    name = path.name
    findings = list(_check_container(path, limits))
    if findings:
        return Opened(None, findings)
    try:
        # Left open, and closed with the archive: opening it for each file would read a directory
        # of thousands as often.
        file = zipfile.ZipFile(path)
    except UnicodeDecodeError:
        return Opened(None, [error(name, "name", "a file name is not UTF-8")])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as fault:
        return Opened(None, [error(name, "archive", f"its directory is damaged: {fault}")])
    entries = file.infolist()
    # The count in the end record was only a claim: Python reads the directory to its end.
    if len(entries) > limits.members:
        return Opened(None, [error(name, "archive", f"{len(entries)} files behind a false count")])
    findings = list(_check_entries(entries, limits))
    archive = Archive(file, {entry.filename: entry for entry in entries})
    return Opened(None if findings else archive, findings)


def _check_container(path: Path, limits: Limits) -> Iterator[Finding]:
    """What the last bytes say, before a directory of any size is read."""
    name, size = path.name, path.stat().st_size
    if size > limits.bytes:
        yield error(name, "archive", f"{size} bytes, at most {limits.bytes} are read")
        return
    # No comment may follow, so the end record is the last thing in the file, never searched for.
    with path.open("rb") as file:
        file.seek(max(size - END.size - LOCATOR_SIZE, 0))
        tail = file.read()
    if size < END.size or tail[-END.size :][:4] != b"PK\x05\x06":
        yield error(name, "archive", "not a ZIP archive that ends with its directory")
        return
    _, disk, _, _, entries, length, place, comment = END.unpack(tail[-END.size :])
    if disk or comment or tail[:4] == ZIP64_LOCATOR or place + length + END.size != size:
        yield error(name, "archive", "several parts, a comment or bytes that belong to no file")
    elif entries > limits.members:
        yield error(name, "archive", f"{entries} files, at most {limits.members} are read")
    elif length > limits.directory:
        yield error(name, "archive", f"a directory of {length} bytes, at most {limits.directory}")


def _check_entries(entries: list[zipfile.ZipInfo], limits: Limits) -> Iterator[Finding]:
    """Find everything wrong with the entries, each with its name."""
    # Some file systems take names for one that differ in case or Unicode form only: where the
    # archive is unpacked on one of them, a file would overwrite another.
    seen: dict[str, str] = {}
    for entry in entries:
        folded = unicodedata.normalize("NFKC", entry.filename).casefold()
        if seen.get(folded) == entry.filename:
            yield error(entry.filename, "name", "stands twice in the archive")
        elif folded in seen:
            other = seen[folded]
            yield error(entry.filename, "name", f"differs from '{other}' in case or form only")
        seen.setdefault(folded, entry.filename)
    for entry in entries:
        faults = (*_name_faults(entry), *_kind_faults(entry), *_size_faults(entry, limits))
        for field, reason in faults:
            yield error(entry.orig_filename, field, reason)
    total = sum(entry.file_size for entry in entries)
    if total > limits.unpacked:
        yield error("archive", "size", f"{total} bytes unpacked, at most {limits.unpacked}")
    # Files that share bytes are a bomb that needs no nesting: the same packed data, unpacked once
    # for each of thousands of entries.
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    for entry, after in pairwise(ordered):
        if entry.header_offset + entry.compress_size >= after.header_offset:
            yield error(after.filename, "archive", f"shares its bytes with {entry.filename}")
            return


def _name_faults(entry: zipfile.ZipInfo) -> Iterator[tuple[str, str]]:
    # As it stands in the archive: Python cuts `filename` at the first NUL.
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


def _kind_faults(entry: zipfile.ZipInfo) -> Iterator[tuple[str, str]]:
    mode = entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if entry.filename.endswith("/") or kind == stat.S_IFDIR:
        yield "kind", "is a folder; a package holds files only"
    elif kind == stat.S_IFLNK:
        yield "kind", "is a symbolic link"
    # 0: written by a tool that keeps no Unix modes.
    elif kind not in (0, stat.S_IFREG):
        yield "kind", "is a device, pipe or socket"
    if entry.flag_bits & ENCRYPTED:
        yield "kind", "is encrypted"
    if entry.compress_type not in PACKINGS:
        yield "kind", f"is packed by method {entry.compress_type}; stored and deflated are read"


def _size_faults(entry: zipfile.ZipInfo, limits: Limits) -> Iterator[tuple[str, str]]:
    if entry.file_size > limits.member:
        yield "size", f"{entry.file_size} bytes unpacked, at most {limits.member} of one file"
    if entry.file_size > SMALL and entry.file_size > limits.ratio * entry.compress_size:
        yield (
            "size",
            f"{entry.compress_size} bytes unpack to {entry.file_size}: more than "
            f"{limits.ratio} times",
        )
