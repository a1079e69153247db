"""Entries of the leaderboard: accepted submissions on the disk, with the verdict of their check.

results/leaderboard/<id>/submission.json   what the team claims
                         verdict.json      what the check recomputed; without it: unaudited
                         audio/<clip>.wav  sounds to listen to, if any (or .flac)
"""

import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import soundfile
from pydantic import Field, ValidationError

from stabench.harness.environment import git
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.files import put
from stabench.harness.runs.journal import timestamp
from stabench.harness.scoring.features import Progress
from stabench.harness.submission.check import check
from stabench.harness.submission.findings import Finding, printable, show, sort_findings, warning
from stabench.harness.submission.package import Package
from stabench.harness.submission.schema import (
    NAME,
    Card,
    Commit,
    Count,
    Key,
    Moment,
    Said,
    Sha256,
    Submission,
)
from stabench.metrics.audio import content_sha256, encode

ENTRIES = Path("results/leaderboard")
VERDICT = "verdict.json"
SUFFIXES = (".wav", ".flac")
# Sounds that a page offers, and their size together.
MOST_CLIPS, MOST_BYTES = 12, 20_000_000
# Bytes of a file that is read whole into memory.
LONGEST_JSON = 64_000_000
# Characters of a remark that a verdict keeps, and remarks.
LONGEST_REMARK, MOST_REMARKS = 300, 100

Model = TypeVar("Model", bound=Card)


class Verdict(Card):
    """What a check of the submission with that sha256 found.

    `recomputed` are the columns that were recomputed from its sounds; `latency` says whether its
    times were recomputed from the journal. An entry with errors is not accepted.
    """

    schema_version: Literal[2] = Field(2, alias="schema")
    submission_sha256: Sha256
    checked_at: Moment
    stabench: Said
    commit: Commit | None = None
    recomputed: tuple[Key, ...] = ()
    latency: bool = False
    errors: Count
    remarks: tuple[Said, ...] = Field((), max_length=1000)

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Return a verdict of schema 1 as one of schema 2: it also counted the sounds it heard."""
        return {key: part for key, part in value.items() if key != "heard"} | {"schema": 2}


class Sound(NamedTuple):
    """The bytes of one output that may be listened to."""

    clip: str
    content: bytes
    suffix: str


class Entry:
    """One accepted submission; `id` names its folder and its page."""

    def __init__(self, folder: Path, submission: Submission, verdict: Verdict | None) -> None:
        self.folder, self.submission, self.verdict = folder, submission, verdict
        self.id = folder.name

    def recomputed(self, column: str) -> bool:
        """Whether the check recomputed this column from the sounds."""
        if self.verdict is None or column not in self.submission.metrics:
            return False
        return column in self.verdict.recomputed

    @property
    def timed(self) -> bool:
        """Whether the check recomputed the times from the journal."""
        return self.verdict is not None and self.verdict.latency

    @cached_property
    def sounds(self) -> list[Sound]:
        """The first sounds of the package, checked against the hashes it claims."""
        sounds: list[Sound] = []
        size = 0
        for clip in sorted(self.submission.outputs):
            sound = self._read_sound(clip)
            if sound and size + len(sound.content) <= MOST_BYTES:
                sounds.append(sound)
                size += len(sound.content)
            if len(sounds) == MOST_CLIPS:
                break
        return sounds

    def _read_sound(self, clip: str) -> Sound | None:
        """Raise StabenchError for a file that is not the output whose hash is claimed."""
        # The clip's name is the submitter's: it must not lead out of the folder.
        if Path(clip).name != clip or clip.startswith("."):
            return None
        for suffix in SUFFIXES:
            path = self.folder / "audio" / f"{clip}{suffix}"
            # No link is followed: what it leads to lies outside the entry.
            if path.is_file() and not path.is_symlink():
                break
        else:
            return None
        content = path.read_bytes()
        # The claimed hash is of float32 samples; other numbers for the same sound have another.
        try:
            samples, _ = soundfile.read(io.BytesIO(content), dtype="float32")
        except soundfile.LibsndfileError as error:
            reason = error.error_string.rstrip(". ")
            raise StabenchError(f"{path}: cannot be decoded ({reason}); remove the entry") from None
        if content_sha256(samples) != self.submission.outputs[clip].sha256:
            raise StabenchError(f"{path}: not the sound whose hash is claimed; remove the entry")
        return Sound(clip, content, suffix)


def entries(root: Path = ENTRIES) -> list[Entry]:
    """Read the accepted submissions in `root`, by id. Raises MissingError without the folder.

    Raises StabenchError, with the file, for an entry that cannot stand: of another shape, with a
    verdict that has errors or is of other claims, or named like another but for capitals.
    """
    if not root.is_dir():
        raise MissingError(f"leaderboard '{root}': no such folder; give --from DIR")
    accepted: list[Entry] = []
    ids: dict[str, str] = {}
    folders = (path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    for folder in sorted(folders):
        name = folder.name
        if folder.is_symlink() or not is_entry_name(name):
            raise StabenchError(
                f"entry '{printable(name)}': expected a folder named by letters, digits and "
                "'._+-'; rename it"
            )
        # On a disk that ignores case (macOS, Windows) the pages of both would be one file.
        if (other := ids.setdefault(name.casefold(), name)) != name:
            raise StabenchError(f"entry '{name}': differs from '{other}' in case only; rename it")
        accepted.append(entry(folder))
    return accepted


def is_entry_name(name: str) -> bool:
    """Whether an entry may be called so: its name becomes that of files and pages."""
    rest = name.translate(str.maketrans("", "", "._+-"))
    return rest.isascii() and rest.isalnum() and name[0].isalnum() and len(name) <= 100


def entry(folder: Path) -> Entry:
    """Read the entry in a folder. Raises MissingError or StabenchError as `entries` does."""
    claims = _read_json(folder / NAME)
    submission = parsed(Submission, folder / NAME, claims)
    path = folder / VERDICT
    if not path.exists():
        return Entry(folder, submission, None)
    verdict = parsed(Verdict, path, _read_json(path))
    # A submission that was changed after its check would keep the verdict on the old claims.
    if verdict.submission_sha256 != hashlib.sha256(claims).hexdigest():
        raise StabenchError(f"{path}: of another {NAME}; check the submission again")
    if verdict.errors:
        raise StabenchError(f"{path}: the check found {verdict.errors} errors; remove the entry")
    return Entry(folder, submission, verdict)


def _read_json(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise MissingError(f"entry '{path.parent.name}': no {path.name}; remove the folder")
    if path.stat().st_size > LONGEST_JSON:
        raise StabenchError(f"{path}: {path.stat().st_size} bytes, at most {LONGEST_JSON}")
    return path.read_bytes()


def parsed(model: type[Model], path: Path, content: bytes) -> Model:
    """Return a file's content by its model. Raises StabenchError with the first fault."""
    try:
        return model.read_json(content)
    except StabenchError as error:
        raise StabenchError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        line = printable(f"{key}: {first['msg'].lower()}")
        raise StabenchError(f"{path}: {line}; check it again") from None


def accept(
    path: Path,
    root: Path = ENTRIES,
    *,
    name: str | None = None,
    suite: str | None = None,
    device: str = "cpu",
    sounds: int = MOST_CLIPS,
    progress: Progress | None = None,
) -> Path:
    """Check the package at `path`, recompute every number, write its entry; return the folder.

    The entry keeps the first `sounds` of its sounds, to be listened to. The findings go to standard
    error. Raises Refused (exit code 1) when one is an error, and StabenchError for an entry that is
    there already.
    """
    others = entries(root) if root.is_dir() else []
    package, findings = check(path, sys.stderr, suite=suite, device=device, progress=progress)
    place = root / _choose_name(package.submission, name, others)
    if loans := list(find_borrowed_sounds(package.submission, others)):
        show(loans, sys.stderr)
    verdict = _give_verdict(package, [*findings, *loans])
    files = {
        NAME: package.claims,
        VERDICT: verdict.model_dump_json(by_alias=True, indent=1).encode(),
    }
    for clip in sorted(package.sounds)[:sounds]:
        sound = package.sounds[clip]
        files[f"audio/{clip}.wav"] = encode(sound.samples, sound.rate_hz)
    put(place, files)
    return place


def find_borrowed_sounds(submission: Submission, others: Sequence[Entry]) -> Iterator[Finding]:
    """Find sounds that are those of an entry with other weights, sample for sample."""
    hashes = [output.sha256 for output in submission.outputs.values()]
    for other in others:
        theirs = {output.sha256 for output in other.submission.outputs.values()}
        shared = sum(sha256 in theirs for sha256 in hashes)
        if shared and other.submission.system.weights != submission.system.weights:
            message = f"{shared} of {len(hashes)} sounds are those of entry '{other.id}', exactly"
            yield warning(NAME, "outputs", message)


def _choose_name(submission: Submission, wanted: str | None, others: Sequence[Entry]) -> str:
    name = wanted or f"{submission.run.id}-{submission.system.name}"
    if not is_entry_name(name):
        raise StabenchError(
            f"entry '{printable(name)}': expected letters, digits, '.', '_', '+', '-'; give --id"
        )
    # On a disk that ignores case (macOS, Windows) two such folders would be one.
    for other in others:
        if other.id.casefold() == name.casefold():
            raise StabenchError(f"entry '{other.id}': is there already; give another --id")
    return name


def _give_verdict(package: Package, findings: list[Finding]) -> Verdict:
    """Say what was recomputed: a check without an error did so for every column and time."""
    source = git()
    remarks = [str(finding)[:LONGEST_REMARK] for finding in sort_findings(findings)]
    if (more := len(remarks) - MOST_REMARKS) > 0:
        remarks[MOST_REMARKS:] = [f"and {more} more remarks, which the check prints"]
    return Verdict(
        submission_sha256=hashlib.sha256(package.claims).hexdigest(),
        checked_at=timestamp(),
        stabench=metadata.version("stabench"),
        commit=source.commit if source and not source.dirty else None,
        recomputed=tuple(package.submission.metrics),
        latency=bool(package.submission.latency.phases),
        errors=0,
        remarks=tuple(remarks),
    )
