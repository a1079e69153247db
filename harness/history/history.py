"""The history: results/history.jsonl, one compact line for every accepted run, appended only."""

import fcntl
import os
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs.metrics_file import ColumnHead, Sourced, StoredEstimate
from stabench.harness.schema import Strict, first_key
from stabench.harness.tasks.task import DEFAULT

HISTORY = Path("results/history.jsonl")
SCHEMA: Final = 1
SHA256 = r"^[0-9a-f]{64}$"


class Part(Strict):
    """A part of a record; nothing is taken for another type."""

    model_config = ConfigDict(strict=True, populate_by_name=True)


class Source(Part):
    """The commit that ran (None: tracked nowhere), and whether files differed from it."""

    commit: str | None
    dirty: bool


class Suite(Part):
    """The suite by name; `digest` is of its dataset, metrics and protocol, as in a submission."""

    name: str
    digest: str = Field(pattern=SHA256)


class Data(Part):
    """The dataset and its `n` clips; `digest` is of what each is, as in a submission."""

    name: str
    version: str
    n: int = Field(ge=1)
    digest: str = Field(pattern=SHA256)


class Machine(Part):
    """Where it ran: `name` is of the GPU on "cuda", else of the processor; `cores` are usable."""

    device: str
    name: str
    cores: int
    threads: int
    driver: str | None = None
    torch: str | None
    python: str
    platform: str


class Conditions(Part):
    """How clips were run."""

    scenario: str
    batch_size: int
    precision: str
    warmups: int
    repeats: int
    seed: int


class Protocol(Part):
    """The rules of the quality columns."""

    title: str
    digest: str = Field(pattern=SHA256)


class QualityColumn(Sourced, ColumnHead):
    """What a quality column is; `identity` is that of the network that heard the sounds."""

    version: int
    embedder: str | None = None
    identity: str | None = None
    precision: str | None = None


class System(Part):
    """One system: finished and failed clips, quality by column, median wall times by phase, ns.

    `sha256` is of everything that the system says of itself: weights, configuration, versions.
    """

    label: str
    paradigm: str
    sha256: str = Field(pattern=SHA256)
    precision: str
    n: int = Field(ge=0)
    failed: int = Field(ge=0)
    quality: dict[str, StoredEstimate] = Field({})
    median_ns: dict[str, StoredEstimate] = Field({})


class HistoryRecord(Part):
    """One accepted run. `run` is the suite, the time, and a digest of the journal."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    task: str = DEFAULT
    run: str
    at: AwareDatetime = Field(strict=False)
    stabench: str
    source: Source
    suite: Suite
    dataset: Data
    machine: Machine
    conditions: Conditions
    protocol: Protocol | None = None
    columns: dict[str, QualityColumn] = Field({})
    systems: dict[str, System] = Field(min_length=1)


def read(path: Path = HISTORY) -> list[HistoryRecord]:
    """Return the records of a history in order of time.

    Raises MissingError without the file, and StabenchError, with the line, for a record that is
    torn, of another shape or there twice.
    """
    if not path.exists():
        raise MissingError(f"history '{path}': no such file; record a run first")
    # Each record ends with a line break, so that what follows the last one is a torn record.
    *lines, torn = path.read_bytes().split(b"\n")
    if torn:
        raise StabenchError(f"{path}, line {len(lines) + 1}: not whole; remove the line")
    records: list[HistoryRecord] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = HistoryRecord.model_validate_json(line)
        except ValidationError as error:
            what = first_key(error)
            raise StabenchError(f"{path}, line {number}: {what}; restore the line") from None
        if (first := first_lines.setdefault(record.run, number)) != number:
            raise StabenchError(
                f"{path}, line {number}: run '{record.run}' is in line {first} already; remove one"
            )
        records.append(record)
    return sorted(records, key=lambda record: record.at)


def append(record: HistoryRecord, path: Path = HISTORY) -> None:
    """Add a record as the last line, on the disk when this returns.

    Raises StabenchError when the run is there already, or the file is not a history.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Locked before it is read: two processes could both find that the run is not there yet.
    with open(path, "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if any(record.run == other.run for other in read(path)):
            raise StabenchError(f"history '{path}': run '{record.run}' is recorded already")
        before = os.fstat(file.fileno()).st_size
        try:
            data = record.model_dump_json(by_alias=True).encode() + b"\n"
            # Unbuffered, one call may write a part of the line only.
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except BaseException:
            # Half a line would make the whole history unreadable.
            file.truncate(before)
            raise
