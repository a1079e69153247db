"""The package: an archive's files read into memory, their shapes, hashes and types checked."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.submission import sources
from stabench.harness.submission.archive import LIMITS, Archive, Limits, open_archive
from stabench.harness.submission.findings import Broken, Finding, error
from stabench.harness.submission.schema import (
    FORMER_FEATURES,
    FORMER_SCHEMA,
    NAME,
    OutputCard,
    Submission,
)
from stabench.harness.submission.sources import Malformed, Sources, invalid_fields, parse_json
from stabench.metrics import audio
from stabench.metrics.audio import Audio, content_sha256

FILES = (sources.RUN, sources.SYSTEMS, sources.JOURNAL)
LARGEST_TEXT = 16 * 2**20
NESTED = {b"PK\x03\x04": "ZIP", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class Package(NamedTuple):
    """A submission whose files are there and are what they claim to be.

    `claims` are the bytes of submission.json as they were sent; `sounds` holds every output by
    clip.
    """

    claims: bytes
    submission: Submission
    sources: Sources
    sounds: Mapping[str, Audio]


def open_package(path: Path, limits: Limits = LIMITS) -> Package:
    """Read a submission.

    Raises MissingError when no file is at `path`, Broken with every error that keeps it from being
    read.
    """
    if not path.is_file():
        raise MissingError(f"submission '{path}': no such file; give what stabench submit wrote")
    archive, findings = open_archive(path, limits)
    if archive is None:
        raise Broken(findings)
    if reason := _explain_unreadable(archive, NAME):
        raise Broken([error(NAME, *reason)])
    try:
        claims = archive.read(NAME)
    except ValueError as fault:
        raise Broken([error(NAME, "file", str(fault))]) from None
    submission, schema = _parse_claims(claims)
    files = _read_files(archive, submission, schema)
    record = sources.decode({name: files[name] for name in FILES})
    return Package(claims, submission, record, _decode_sounds(files, submission.outputs))


def _parse_claims(claims: bytes) -> tuple[Submission, int]:
    """Return submission.json and the schema it was written by.

    Raises Broken with an error for every field that is wrong.
    """
    try:
        value = parse_json(claims)
        return Submission.read_json(claims), value["schema"]
    except ValidationError as fault:
        raise Broken(list(invalid_fields(NAME, fault))) from None
    except Malformed as fault:
        raise Broken([error(NAME, "json", str(fault))]) from None
    except StabenchError as fault:
        raise Broken([error(NAME, "audio", str(fault))]) from None


def _read_files(archive: Archive, claimed: Submission, schema: int) -> dict[str, bytes]:
    """Return every file but submission.json: those that it names, and a sound an output.

    Raises Broken for a file that is missing, damaged, other than its hash, or of no submission.
    """
    findings = [
        error(NAME, f"files.{name}", "is no file of a package")
        for name in claimed.files
        if name not in FILES
    ]
    wanted = [*FILES, *(f"audio/{clip}.wav" for clip in claimed.outputs)]
    unread = {FORMER_FEATURES} if schema == FORMER_SCHEMA else set()
    for name in sorted(archive.entries.keys() - {NAME, *wanted, *unread}):
        findings.append(error(name, "file", _explain_unexpected(archive, name)))
    files: dict[str, bytes] = {}
    for name in wanted:
        if reason := _explain_unreadable(archive, name):
            findings.append(error(name, *reason))
            continue
        try:
            files[name] = archive.read(name)
        except ValueError as fault:
            findings.append(error(name, "file", str(fault)))
    for name in FILES:
        sha256 = claimed.files.get(name)
        if sha256 is None:
            findings.append(error(NAME, f"files.{name}", "is missing"))
        elif name in files and hashlib.sha256(files[name]).hexdigest() != sha256:
            findings.append(error(name, "sha256", "is not the file that submission.json names"))
    if findings:
        raise Broken(findings)
    return files


def _explain_unexpected(archive: Archive, name: str) -> str:
    """Why a file does not belong here; an archive among them is named as one."""
    try:
        data = archive.read(name)
    except ValueError as fault:
        return str(fault)
    for magic, kind in NESTED.items():
        if data.startswith(magic):
            return f"is a {kind} archive within the archive"
    return "belongs to no submission"


def _explain_unreadable(archive: Archive, name: str) -> tuple[str, str] | None:
    """The field and the reason why a file is not read, or None."""
    if name not in archive.entries:
        return "file", "is not in the archive"
    text = name.endswith((".json", ".jsonl"))
    if text and archive.entries[name].file_size > LARGEST_TEXT:
        return "size", f"more than {LARGEST_TEXT} bytes of JSON"
    return None


def _decode_sounds(
    files: Mapping[str, bytes], outputs: Mapping[str, OutputCard]
) -> dict[str, Audio]:
    """Return the sounds by clip. Raises Broken for those that are not what was claimed."""
    sounds: dict[str, Audio] = {}
    findings: list[Finding] = []
    for clip, output in outputs.items():
        file = f"audio/{clip}.wav"
        try:
            sound = sounds[clip] = decode_wav(files[file])
        except ValueError as fault:
            findings.append(error(file, "content", str(fault)))
            continue
        if content_sha256(sound.samples) != output.sha256:
            findings.append(error(file, "sha256", f"is not the output claimed, {output.sha256}"))
        elif (len(sound.samples), sound.rate_hz) != (output.samples, output.rate_hz):
            message = f"{len(sound.samples)} samples at {sound.rate_hz} Hz, claimed are "
            message += f"{output.samples} at {output.rate_hz} Hz"
            findings.append(error(file, "samples", message))
    if findings:
        raise Broken(findings)
    return sounds


def decode_wav(data: bytes) -> Audio:
    """Return a mono float32 WAV, byte for byte as a run writes it, decoded by nobody else's code.

    Raises ValueError for anything else, no samples, NaN or infinity.
    """
    if len(data) <= audio.HEADER.size:
        raise ValueError("holds no samples")
    rate_hz = audio.HEADER.unpack_from(data)[7]
    if (len(data) - audio.HEADER.size) % 4:
        raise ValueError("is not a mono float32 WAV as a run writes it")
    samples = np.frombuffer(data, "<f4", offset=audio.HEADER.size)
    # Written anew, it must be the same bytes: then nothing else is in its header, where bytes a
    # second, four times the rate, have 32 bits.
    if rate_hz >= 2**30 or audio.encode(samples, rate_hz) != data:
        raise ValueError("is not a mono float32 WAV as a run writes it")
    if not np.isfinite(samples).all():
        raise ValueError("holds NaN or infinity")
    return Audio(samples, rate_hz)
