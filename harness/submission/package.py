"""The package: an archive's files read into memory, their shapes, hashes and types checked."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from stabench.harness.errors import MissingError
from stabench.harness.submission import cards, features_file, sources
from stabench.harness.submission.archive import LIMITS, Archive, Limits, open_archive
from stabench.harness.submission.findings import Finding, error
from stabench.harness.submission.schema import NAME, Submission
from stabench.harness.submission.sources import Malformed, Sources, invalid, parse
from stabench.metrics import audio
from stabench.metrics.audio import Audio, content_sha256

FILES = (sources.RUN, sources.SYSTEMS, sources.JOURNAL, features_file.NAME)
LARGEST_TEXT = 16 * 2**20
NESTED = {b"PK\x03\x04": "ZIP", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class Package(NamedTuple):
    """A submission whose files are there and are what they say; `features` is not read yet."""

    submission: Submission
    sources: Sources
    sounds: Mapping[str, Audio]
    features: bytes


class Read(NamedTuple):
    """The package, or why there is none; the findings of the sounds come with either."""

    package: Package | None
    findings: list[Finding]


def open_package(path: Path, limits: Limits = LIMITS) -> Read:
    """Read a submission. Raises MissingError when no file is at `path`."""
    if not path.is_file():
        raise MissingError(f"submission '{path}': no such file; give what stabench submit wrote")
    archive, found = open_archive(path, limits)
    if archive is None:
        return Read(None, found)
    submission, found = read_submission(archive)
    if submission is None:
        return Read(None, found)
    files, found = _files(archive, submission)
    if found:
        return Read(None, found)
    known, found = sources.decode({name: files[name] for name in FILES[:-1]})
    if known is None:
        return Read(None, found)
    sounds, found = _sounds(files, submission)
    return Read(Package(submission, known, sounds, files[features_file.NAME]), found)


def read_submission(archive: Archive) -> tuple[Submission | None, list[Finding]]:
    """submission.json, or what is wrong with it, a finding a field."""
    if NAME not in archive.entries:
        return None, [error(NAME, "file", "is not in the archive")]
    if archive.entries[NAME].file_size > LARGEST_TEXT:
        return None, [error(NAME, "size", f"more than {LARGEST_TEXT} bytes of JSON")]
    try:
        data = archive.read(NAME)
        parse(data)
        return Submission.model_validate_json(data, strict=True), []
    except ValidationError as fault:
        return None, list(invalid(NAME, fault))
    except Malformed as fault:
        return None, [error(NAME, "json", str(fault))]
    except ValueError as fault:
        return None, [error(NAME, "file", str(fault))]


def _files(archive: Archive, claimed: Submission) -> tuple[dict[str, bytes], list[Finding]]:
    """Every file but submission.json: exactly those that it names, with their hashes."""
    found = [error(NAME, f"files.{name}", "is no file of a package") for name in claimed.files]
    found = [one for one in found if one.field.removeprefix("files.") not in FILES]
    wanted = [*FILES, *(f"audio/{clip}.wav" for clip in claimed.audio.clips)]
    for name in sorted(archive.entries.keys() - {NAME, *wanted}):
        found.append(error(name, "file", _unexpected(archive, name)))
    files: dict[str, bytes] = {}
    for name in wanted:
        reason = _unreadable(archive, name)
        if reason:
            found.append(error(name, "file", reason))
            continue
        try:
            files[name] = archive.read(name)
        except ValueError as fault:
            found.append(error(name, "file", str(fault)))
    for name in FILES:
        said = claimed.files.get(name)
        if said is None:
            found.append(error(NAME, f"files.{name}", "is missing"))
        elif name in files and hashlib.sha256(files[name]).hexdigest() != said:
            found.append(error(name, "sha256", "is not the file that submission.json names"))
    return files, found


def _unexpected(archive: Archive, name: str) -> str:
    """Why a file does not belong here; an archive among them is named as one."""
    try:
        data = archive.read(name)
    except ValueError as fault:
        return str(fault)
    for magic, kind in NESTED.items():
        if data.startswith(magic):
            return f"is a {kind} archive within the archive"
    return "belongs to no submission"


def _unreadable(archive: Archive, name: str) -> str | None:
    if name not in archive.entries:
        return "is not in the archive"
    text = name.endswith((".json", ".jsonl"))
    if text and archive.entries[name].file_size > LARGEST_TEXT:
        return f"more than {LARGEST_TEXT} bytes of JSON"
    return None


def _sounds(
    files: Mapping[str, bytes], claimed: Submission
) -> tuple[dict[str, Audio], list[Finding]]:
    """The sounds by clip, and those that are not what was claimed or were not drawn."""
    sounds: dict[str, Audio] = {}
    found = list(_draw(claimed))
    for clip in claimed.audio.clips:
        file, output = f"audio/{clip}.wav", claimed.outputs.get(clip)
        try:
            sound = plain_wav(files[file])
        except ValueError as fault:
            found.append(error(file, "content", str(fault)))
            continue
        if output is None:
            found.append(error(file, "clip", "is no clip of the outputs"))
        elif content_sha256(sound.samples) != output.sha256:
            found.append(error(file, "sha256", f"is not the output claimed, {output.sha256}"))
        elif (len(sound.samples), sound.rate_hz) != (output.samples, output.rate_hz):
            message = f"{len(sound.samples)} samples at {sound.rate_hz} Hz, claimed are "
            message += f"{output.samples} at {output.rate_hz} Hz"
            found.append(error(file, "samples", message))
        else:
            sounds[clip] = sound
    return sounds, found


def _draw(claimed: Submission) -> Iterator[Finding]:
    """Whether the sounds are those that the claims draw."""
    outputs = {clip: one.sha256 for clip, one in claimed.outputs.items()}
    root = cards.root(outputs, claimed.files)
    size = len(outputs) if claimed.audio.rule == "all" else cards.SAMPLE
    if claimed.audio.root != root:
        yield error(NAME, "audio.root", "is not the digest of the outputs and files")
    elif claimed.audio.clips != cards.drawn(root, outputs, size):
        yield error(NAME, "audio.clips", "are not the clips that the root draws")


def plain_wav(data: bytes) -> Audio:
    """A mono float32 WAV byte for byte as a run writes it, decoded by nobody else's code.

    Raises ValueError for anything else, no samples, NaN or infinity.
    """
    if len(data) <= audio.HEADER.size:
        raise ValueError("holds no samples")
    rate_hz = audio.HEADER.unpack_from(data)[7]
    if (len(data) - audio.HEADER.size) % 4:
        raise ValueError("is not a mono float32 WAV as a run writes it")
    samples = np.frombuffer(data, "<f4", offset=audio.HEADER.size)
    if rate_hz >= 2**30 or audio.encode(samples, rate_hz) != data:
        raise ValueError("is not a mono float32 WAV as a run writes it")
    if not np.isfinite(samples).all():
        raise ValueError("holds NaN or infinity")
    return Audio(samples, rate_hz)
