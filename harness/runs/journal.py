"""The journal: one JSON line per (system, clip, repeat), appended and fsynced, never rewritten."""

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import StabenchError
from stabench.harness.formatting import replace_unwritable

# Name of what a phase took beyond its marked stages.
REMAINDER = "(remainder)"
# Between the names of phases that a system cannot tell apart: their time is that of no phase.
JOINED = "+"


class Span(NamedTuple):
    """One stage of a phase. `device_ns` is the time between two CUDA events, None on a CPU."""

    phase: str
    name: str
    wall_ns: int
    device_ns: int | None = None


class Failure(NamedTuple):
    """Why a clip has no result.

    `kind`: raised, timeout, worker-died, gave-up, load-failed, bad-speech, bad-output, no-caption.
    `message` is one line.
    """

    kind: str
    message: str


class Key(NamedTuple):
    """What identifies a row. Warm-ups number their repeats on their own."""

    system: str
    clip: str
    repeat: int
    warmup: bool


@dataclass(frozen=True)
class Row:
    """What became of one clip in one system; what is not known (yet, or after a failure) is None.

    `phase_ns` is the wall time of each phase that ran, by name. What a phase took beyond its
    `spans` is its remainder. In a batch (`batch` > 1) the times of all phases but the first are
    those of the whole batch. `audio_sha256` is of the little-endian float32
    samples. `peak_memory_bytes`: CUDA memory allocated for this clip, or on a CPU the worker's
    largest resident size so far.
    """

    # For the reader alone. A model of pydantic's own would make every worker import pydantic.
    __pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # noqa: RUF012
    system: str
    clip: str
    repeat: int
    warmup: bool
    status: str
    seed: int
    error: Failure | None = None
    batch: int = 1
    phase_ns: dict[str, int] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    text: str | None = None
    tokens: int | None = None
    speech_s: float | None = None
    samples: int | None = None
    rate_hz: int | None = None
    audio_sha256: str | None = None
    peak_memory_bytes: int | None = None
    finished_at: str | None = None

    @property
    def key(self) -> Key:
        return Key(self.system, self.clip, self.repeat, self.warmup)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    def remainder_ns(self, phase: str) -> int | None:
        """Return what a phase took beyond its stages; None when it was not timed."""
        if phase not in self.phase_ns:
            return None
        return self.phase_ns[phase] - sum(
            span.wall_ns for span in self.spans if span.phase == phase
        )


def timestamp() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def to_json(row: Row) -> dict[str, Any]:
    """Return the row as the journal and the worker's pipe hold it."""
    value = asdict(row)
    # Whatever a system says, the journal stays readable: strict readers refuse lone surrogates.
    if row.text is not None:
        value["text"] = replace_unwritable(row.text)
    error = row.error and row.error._replace(message=replace_unwritable(row.error.message))
    value["error"] = error._asdict() if error else None
    spans = (span._replace(name=replace_unwritable(span.name)) for span in row.spans)
    value["spans"] = [span._asdict() for span in spans]
    return value


def from_json(value: dict[str, Any]) -> Row:
    """Return the inverse of `to_json`. Raises TypeError or KeyError for a row of another shape."""
    value = with_phases(value)
    error = Failure(**value["error"]) if value["error"] else None
    spans = tuple(Span(**span) for span in value["spans"])
    return Row(**{**value, "error": error, "spans": spans})


# Rows that were written before there were tasks hold `represent_ns` and `generate_ns`.
EARLIER_PHASES = ("represent", "generate")


def with_phases(value: dict[str, Any]) -> dict[str, Any]:
    """Return a row in today's form: times of phases under `phase_ns`."""
    if "phase_ns" in value:
        return value
    kept = dict(value)
    times = {phase: kept.pop(f"{phase}_ns", None) for phase in EARLIER_PHASES}
    return {**kept, "phase_ns": {name: ns for name, ns in times.items() if ns is not None}}


def _upgrade(line: bytes) -> bytes:
    # By its bytes: rows of today are not decoded twice.
    if b'"represent_ns"' not in line:
        return line
    try:
        value = json.loads(line)
    except ValueError:
        return line  # the strict reader says what is wrong with it
    return json.dumps(with_phases(value)).encode() if isinstance(value, dict) else line


def read(path: Path) -> list[Row]:
    """Return the rows of a journal; the last line of a key wins, a torn last line does not count.

    Raises StabenchError with the line's number when a whole line is not a row.
    """
    if not path.exists():
        return []
    # Imported here: a worker, which reads no journal, goes without pydantic.
    from pydantic import ValidationError

    from stabench.harness.schema import first_key

    # A whole line ends with a line break: what stands after the last one was torn by a kill.
    *whole, _torn = path.read_bytes().split(b"\n")
    rows: dict[Key, Row] = {}
    for number, line in enumerate(whole, 1):
        try:
            row: Row = reader().validate_json(_upgrade(line))
        except ValidationError as error:
            raise StabenchError(
                f"{path}, line {number}: not a row of this journal ({first_key(error)}); remove it"
            ) from None
        # Taken out first, so that rows stay in the order of their last lines.
        rows.pop(row.key, None)
        rows[row.key] = row
    return list(rows.values())


@cache
def reader() -> Any:
    """Return what reads one line of JSON as a Row, strictly (a pydantic TypeAdapter)."""
    from pydantic import TypeAdapter

    return TypeAdapter(Row)


class Journal:
    """The open journal of a running engine, locked against a second one.

    Raises StabenchError when another process writes it. A torn last line is cut off on opening.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (open as long as the run)
        try:
            # The lock goes with the process, however it ends: none is left to keep a run shut.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StabenchError(
                f"run '{path.parent}' is being written by another process; wait for it or stop it"
            ) from None
        # What a killed writer left after its last whole line would join the next one.
        self._file.truncate(path.read_bytes().rfind(b"\n") + 1)

    def append(self, rows: Iterable[Row]) -> None:
        """Write the rows of one batch in one go, on the disk when this returns."""
        lines = (json.dumps(to_json(row), allow_nan=False) for row in rows)
        data = "".join(line + "\n" for line in lines).encode()
        # An unbuffered file may take a part of the bytes only.
        while data:
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
