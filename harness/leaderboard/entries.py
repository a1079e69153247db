"""Entries of the leaderboard: accepted submissions on the disk, with the verdict of their check.

results/leaderboard/<id>/submission.json   what the team claims
                         verdict.json      what the check made again; without it: unaudited
                         audio/<clip>.wav  sounds to listen to, if any (or .flac)
"""

import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from stabench.harness.environment import git
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.files import put
from stabench.harness.runs.journal import timestamp
from stabench.harness.scoring.features import Progress
from stabench.harness.submission.archive import open_archive
from stabench.harness.submission.check import check_submission
from stabench.harness.submission.findings import Finding, printable, ranked, refuse, show, warning
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

ENTRIES = Path("results/leaderboard")
VERDICT = "verdict.json"
SUFFIXES = (".wav", ".flac")
MOST_CLIPS, MOST_BYTES = 12, 20_000_000
"""Sounds that a page offers, and their size together."""
LONGEST_JSON = 64_000_000


Model = TypeVar("Model", bound=Card)


class Verdict(Card):
    """What a check of the submission with that sha256 found.

    `recomputed` are the columns made again from its features, of which those of `heard` clips were
    made again from the sounds; `latency` says whether the times were made again from the journal.
    An entry with errors is not accepted.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    submission_sha256: Sha256
    checked_at: Moment
    stabench: Said
    commit: Commit | None = None
    recomputed: tuple[Key, ...] = ()
    heard: Count = 0
    latency: bool = False
    errors: Count
    remarks: tuple[Said, ...] = Field((), max_length=1000)


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
        """Whether the check made this column again, all sounds heard: nothing on trust."""
        if self.verdict is None or column not in self.submission.metrics:
            return False
        return self.heard and column in self.verdict.recomputed

    @property
    def heard(self) -> bool:
        """Whether the check heard every sound."""
        return self.verdict is not None and self.verdict.heard >= len(self.submission.outputs)

    @property
    def timed(self) -> bool:
        """Whether the check made the times again from the journal."""
        return self.verdict is not None and self.verdict.latency

    @cached_property
    def sounds(self) -> list[Sound]:
        """The first sounds of the package, checked against the hashes it claims."""
        found: list[Sound] = []
        for clip in self.submission.audio.clips:
            sound = self._sound(clip)
            if sound and sum(len(one.content) for one in (*found, sound)) <= MOST_BYTES:
                found.append(sound)
            if len(found) == MOST_CLIPS:
                break
        return found

    def _sound(self, clip: str) -> Sound | None:
        """Raises StabenchError for a file that is not the output whose hash is claimed."""
        if Path(clip).name != clip or clip.startswith("."):
            return None
        for suffix in SUFFIXES:
            path = self.folder / "audio" / f"{clip}{suffix}"
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                _check_sound(path, content, self.submission.outputs[clip].sha256)
                return Sound(clip, content, suffix)
        return None


def _check_sound(path: Path, content: bytes, claimed: str) -> None:
    import soundfile

    from stabench.metrics.audio import content_sha256

    try:
        samples, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise StabenchError(f"{path}: cannot be decoded ({error}); remove the entry") from None
    if content_sha256(samples) != claimed:
        raise StabenchError(f"{path}: not the sound whose hash is claimed; remove the entry")


def entries(root: Path = ENTRIES) -> list[Entry]:
    """The accepted submissions in `root`, by id. Raises MissingError without the folder.

    Raises StabenchError, with the file, for an entry that cannot stand: of another shape, with a
    verdict that has errors or is of other claims, or named like another but for capitals.
    """
    if not root.is_dir():
        raise MissingError(f"leaderboard '{root}': no such folder; give --from DIR")
    found = [entry(folder) for folder in _folders(root)]
    seen: dict[str, str] = {}
    for one in found:
        if (other := seen.setdefault(one.id.casefold(), one.id)) != one.id:
            raise StabenchError(f"entry '{one.id}': differs from '{other}' in case only; rename it")
    return found


def _folders(root: Path) -> Iterator[Path]:
    folders = (path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    for folder in sorted(folders):
        if folder.is_symlink() or not named_well(folder.name):
            name = printable(folder.name)
            raise StabenchError(
                f"entry '{name}': expected a folder named by letters, digits and '._+-'; rename it"
            )
        yield folder


def named_well(name: str) -> bool:
    """Whether an entry may be called so: its name becomes that of files and pages."""
    rest = name.translate(str.maketrans("", "", "._+-"))
    return rest.isascii() and rest.isalnum() and name[0].isalnum() and len(name) <= 100


def entry(folder: Path) -> Entry:
    """The entry in a folder. Raises MissingError or StabenchError as `entries` does."""
    claimed = _content(folder / NAME)
    verdict = folder / VERDICT
    if not verdict.exists():
        return Entry(folder, parsed(Submission, folder / NAME, claimed), None)
    said = parsed(Verdict, verdict, _content(verdict))
    if said.submission_sha256 != hashlib.sha256(claimed).hexdigest():
        raise StabenchError(f"{verdict}: of another {NAME}; check the submission again")
    if said.errors:
        raise StabenchError(f"{verdict}: the check found {said.errors} errors; remove the entry")
    return Entry(folder, parsed(Submission, folder / NAME, claimed), said)


def _content(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise MissingError(f"entry '{path.parent.name}': no {path.name}; remove the folder")
    if path.stat().st_size > LONGEST_JSON:
        raise StabenchError(f"{path}: {path.stat().st_size} bytes, at most {LONGEST_JSON}")
    return path.read_bytes()


def parsed(model: type[Model], path: Path, content: bytes) -> Model:
    """A file's content by its model. Raises StabenchError with the first fault."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        line = printable(f"{key}: {first['msg'].lower()}")
        raise StabenchError(f"{path}: {line}; check it again") from None


SHORT, MOST_REMARKS = 300, 100
"""Characters of a remark that a verdict keeps, and remarks."""


def accept(
    package: Path,
    root: Path = ENTRIES,
    *,
    name: str | None = None,
    suite: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Check a package, every number made again, and write its entry; return the folder.

    The findings go to standard error. Raises Refused (exit code 1) when one is an error, and
    StabenchError for an entry that is there already.
    """
    others = entries(root) if root.is_dir() else []
    findings = check_submission(package, suite=suite, device=device, progress=progress)
    show(findings, sys.stderr)
    refuse(findings)
    archive, _ = open_archive(package)
    assert archive is not None, "the check has opened it"
    claimed = archive.read(NAME)
    submission = Submission.model_validate_json(claimed)
    place = root / _name(submission, name, others)
    if loans := list(borrowed(submission, others)):
        show(loans, sys.stderr)
    verdict = _verdict(claimed, submission, [*findings, *loans])
    files = {NAME: claimed, VERDICT: verdict.model_dump_json(by_alias=True, indent=1).encode()}
    for clip in submission.audio.clips[:MOST_CLIPS]:
        files[f"audio/{clip}.wav"] = archive.read(f"audio/{clip}.wav")
    put(place, files)
    return place


def borrowed(submission: Submission, others: Sequence[Entry]) -> Iterator[Finding]:
    """Sounds that are those of an entry with other weights, sample for sample."""
    own = [one.sha256 for one in submission.outputs.values()]
    for entry in others:
        theirs = {one.sha256 for one in entry.submission.outputs.values()}
        shared = sum(sha256 in theirs for sha256 in own)
        if shared and entry.submission.system.weights != submission.system.weights:
            message = f"{shared} of {len(own)} sounds are those of entry '{entry.id}', exactly"
            yield warning(NAME, "outputs", message)


def _name(submission: Submission, given: str | None, others: Sequence[Entry]) -> str:
    name = given or f"{submission.run.id}-{submission.system.name}"
    if not named_well(name):
        raise StabenchError(
            f"entry '{printable(name)}': expected letters, digits, '.', '_', '+', '-'; give --id"
        )
    for entry in others:
        if entry.id.casefold() == name.casefold():
            raise StabenchError(f"entry '{entry.id}': is there already; give another --id")
    return name


def _verdict(claimed: bytes, submission: Submission, findings: list[Finding]) -> Verdict:
    """A check without an error made every column and every time again."""
    source = git()
    told = [str(one) for one in ranked(findings)]
    return Verdict(
        submission_sha256=hashlib.sha256(claimed).hexdigest(),
        checked_at=timestamp(),
        stabench=metadata.version("stabench"),
        commit=source.commit if source and not source.dirty else None,
        recomputed=tuple(submission.metrics),
        heard=len(submission.audio.clips),
        latency=bool(submission.latency.phases),
        errors=0,
        remarks=(*(line[:SHORT] for line in told[:MOST_REMARKS]), *_more(told)),
    )


def _more(told: list[str]) -> list[str]:
    more = len(told) - MOST_REMARKS
    return [f"and {more} more remarks, which the check prints"] if more > 0 else []
