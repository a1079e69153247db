"""The run folder: everything one run did, and the way for score and report to read it.

run.json  systems.json  journal.jsonl  audio/<system>/<clip>.wav  logs/<system>.log  costs.json
metrics.json clips.parquet influence.parquet (score)  report.{md,tex,csv,json,html} (report)
reproduce.{md,json} (reproduce)  gate.{md,json} junit.xml (gate)
conditions.json speech/<clip>@<condition>.wav conditions/<condition>/ (scores and report of one)
"""

import json
import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from stabench.harness import files
from stabench.harness.datasets.conditions.condition import CLEAN
from stabench.harness.datasets.conditions.rendering import heard_id
from stabench.harness.datasets.dataset import Absent, Clip, Dataset
from stabench.harness.environment import Environment
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted
from stabench.harness.runs import conditions_file, journal
from stabench.harness.runs.conditions_file import ConditionsFile, Variant
from stabench.harness.schema import Strict, first_key
from stabench.harness.suites.suite import Suite, SystemUse
from stabench.harness.tasks.task import Task, load_task

# Where run folders live when no other place is given.
RUNS = Path("results/runs")

LATEST = "latest"
# "latest", or so many runs before it.
LATEST_NAME = re.compile(r"latest(?:~(\d{1,4}))?")
# The end of a run folder's name, after the suite: when it was made, and random digits.
STAMP = re.compile(r"-(\d{8}T\d{6}Z)-[0-9a-f]{6}$")
SCHEMA = 1


def stamped(name: str) -> str:
    """Return the name of a new folder: <name>-<UTC stamp>-<random>."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{name}-{stamp}-{secrets.token_hex(3)}"


def is_latest(path: Path | str) -> bool:
    """Return whether a run is named by its order: "latest", or "latest~1" for the one before."""
    return LATEST_NAME.fullmatch(str(path)) is not None


def find_latest(name: str, runs: Path) -> Path:
    """Return the last run made in `runs` for "latest", the Nth before it for "latest~N".

    Raises MissingError where there are not so many.
    """
    match = LATEST_NAME.fullmatch(name)
    assert match is not None, f"{name!r} names no run by its order"
    back, link = int(match[1] or 0), runs / LATEST
    # Where links cannot be made, names alone tell the order.
    last = link.resolve() if link.is_symlink() else None
    if last is not None and not back:
        return last
    stamps = [
        (stamp[1], path.name)
        for path in (runs.iterdir() if runs.is_dir() else ())
        if (stamp := STAMP.search(path.name)) and (path / "run.json").is_file()
    ]
    names = [name for _, name in sorted(stamps)]
    end = names.index(last.name) if last is not None and last.name in names else len(names) - 1
    if end < back:
        raise MissingError(
            f"run '{name}': no run.json in so many folders, '{runs}' holds "
            f"{counted(max(end + 1, 0), 'run')}; give a run folder"
        )
    return runs / names[end - back]


class Request(Strict):
    """What the command line asked for beyond the suite; a resumed run keeps it.

    `set` are KEY=VALUE pairs of the suite, `clips` the ids of those that alone are run.
    `conditions` are heard beside the clean speech, in place of the suite's.
    """

    systems: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    limit: int | None = Field(None, ge=1)
    device: Literal["cpu", "cuda"] = "cpu"
    phase: str = "all"
    in_process: bool = False
    speech: str | None = None
    captions: str | None = None


class DatasetRecord(Strict):
    """The clips of the run, `n` of them, with the paths a later score needs; what is `missing`."""

    name: str
    version: str
    n: int
    label_names: tuple[str, ...] = ()
    clips: tuple[Clip, ...]
    missing: tuple[Absent, ...] = ()


class Resumption(Strict):
    """One time the run was taken up again, and what had changed in its environment."""

    at: str
    environment: Environment


class Record(Strict):
    """run.json."""

    schema_version: int = Field(SCHEMA, alias="schema")
    suite: Suite
    request: Request
    dataset: DatasetRecord
    environment: Environment
    started_at: str
    finished_at: str | None = None
    resumed: tuple[Resumption, ...] = ()


class Counts(NamedTuple):
    """Measured rows of one system: ok and failed, of those planned; the rest was not run."""

    ok: int
    failed: int
    planned: int


@dataclass(frozen=True)
class RunFolder:
    """One run on the disk. Open it with `RunFolder.open(path)`; `rows()` is read anew each time."""

    path: Path

    @classmethod
    def create(cls, runs: Path, record: Record) -> "RunFolder":
        """Make a new folder <suite>-<UTC stamp>-<random> in `runs` and point `latest` at it."""
        path = runs / stamped(record.suite.name)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            folder = cls(path)
            folder.write_record(record)
        except OSError as error:
            raise StabenchError(
                f"output folder '{runs}' cannot be written ({error.strerror}); choose another "
                "with --out DIR"
            ) from error
        try:
            # By its name alone: such a link survives a move of the folder of runs.
            files.point(runs / LATEST, path.name)
        except OSError as error:
            # A convenience: network drives and some systems have no links.
            print(
                f"'{runs / LATEST}' cannot point to this run ({error.strerror}); name its folder "
                f"instead: {path}",
                file=sys.stderr,
            )
        return folder

    @classmethod
    def open(cls, path: Path | str, runs: Path = RUNS) -> "RunFolder":
        """Open the run at `path`, or one made in `runs` by its order ("latest", "latest~1").

        A link is followed once, here: it may point to another run before this one ends.
        Raises MissingError when there is none, StabenchError when its run.json is not one.
        """
        place = find_latest(str(path), runs) if is_latest(path) else Path(path)
        folder = cls(place.resolve() if place.is_symlink() else place)
        if not (folder.path / "run.json").is_file():
            raise MissingError(f"run '{path}': no run.json in '{folder.path}'; give a run folder")
        _ = folder.record  # raises here, not at the first use
        return folder

    @cached_property
    def record(self) -> Record:
        """run.json as it was when first asked for."""
        path = self.path / "run.json"
        try:
            return Record.model_validate_json(path.read_bytes())
        except ValidationError as error:
            if any(fault["loc"] == ("probes",) for fault in error.errors()):
                raise StabenchError(
                    f"'{self.path}' is a run of probes, not of systems; stabench report, reproduce "
                    "and compare read it"
                ) from None
            raise StabenchError(f"{path}: {first_key(error)}; run again") from None

    @property
    def suite(self) -> Suite:
        """The suite as resolved, with the systems that were selected."""
        return self.record.suite

    @cached_property
    def task(self) -> Task:
        """The task of the suite."""
        return load_task(self.suite.task)

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips of the run in the dataset's order."""
        return self.record.dataset.clips

    @property
    def dataset(self) -> Dataset:
        """The dataset as run."""
        kept = self.record.dataset
        return Dataset(kept.name, kept.version, kept.clips, kept.label_names, kept.missing)

    @property
    def journal_path(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.json"

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that clips were heard under beside the clean speech."""
        return tuple(condition.short for condition in self.suite.conditions)

    def read_conditions(self) -> ConditionsFile:
        """Return conditions.json. Raises as `conditions_file.read`."""
        return conditions_file.read(self.path)

    def is_told(self, system: str) -> bool:
        """Return whether a system reads the true caption, by its paradigm: it hears no condition.

        Such a system is run once for each clip, and its rows are those of every condition.
        """
        return any(
            use.name == system and use.paradigm in self.task.told for use in self.suite.systems
        )

    def list_variants(self) -> dict[str, Variant]:
        """Return the clips as the engine runs them, by their names in rows; clean ones first."""
        variants = {clip.id: Variant(clip.id, CLEAN, clip.speech, None) for clip in self.clips}
        if self.conditions:
            for condition in self.read_conditions().conditions:
                for clip, heard in condition.clips.items():
                    path = None if heard.failure else self.speech_path(clip, condition.name)
                    variant = Variant(clip, condition.name, path, heard.failure)
                    variants[heard_id(clip, condition.name)] = variant
        return variants

    def speech_path(self, clip: str, condition: str) -> Path:
        """Return where lies the speech of a clip under a condition."""
        return self.path / conditions_file.SPEECH / f"{heard_id(clip, condition)}.wav"

    def scores_path(self, condition: str = CLEAN) -> Path:
        """Return the folder of the scores and the report of a condition."""
        return self.path if condition == CLEAN else self.path / conditions_file.SCORES / condition

    def audio_path(self, system: str, clip: str, condition: str = CLEAN) -> Path:
        """Return where the first repeat's output lies: float32 WAV as the system returned it."""
        heard = condition != CLEAN and not self.is_told(system)
        name = heard_id(clip, condition) if heard else clip
        return self.path / "audio" / system / f"{name}.wav"

    def log_path(self, system: str) -> Path:
        """Return where lies what the system's worker printed."""
        return self.path / "logs" / f"{system}.log"

    def rows(self, *, warmup: bool = False, condition: str = CLEAN) -> list[journal.Row]:
        """Return the measured rows (or the warm-ups), last line of a key; failed ones too.

        Those of one condition, under the names of the dataset's clips.
        """
        rows = self.list_rows(warmup=warmup)
        if not self.conditions:
            return rows
        clean = {clip.id: clip.id for clip in self.clips}
        heard = {heard_id(clip, condition): clip for clip in clean} if condition != CLEAN else clean
        names = {use.name: clean if self.is_told(use.name) else heard for use in self.suite.systems}
        return [
            replace(row, clip=names[row.system][row.clip])
            for row in rows
            if row.clip in names.get(row.system, {})
        ]

    def list_rows(self, *, warmup: bool = False) -> list[journal.Row]:
        """Return the rows of all conditions, under the names that the journal has."""
        return [row for row in journal.read(self.journal_path) if row.warmup == warmup]

    def counts(self) -> dict[str, Counts]:
        """Return ok / failed / planned of each system, all conditions, in the suite's order."""
        rows, repeats = self.list_rows(), self.suite.run.repeats
        counts = {}
        for system in self.suite.systems:
            times = 1 if self.is_told(system.name) else 1 + len(self.conditions)
            counts[system.name] = Counts(
                sum(row.ok for row in rows if row.system == system.name),
                sum(not row.ok for row in rows if row.system == system.name),
                len(self.clips) * repeats * times,
            )
        return counts

    def about_systems(self) -> dict[str, dict[str, Any]]:
        """Return systems.json: what each worker said of its system (provenance, rates, versions).

        Raises StabenchError when it is not one.
        """
        path = self.path / "systems.json"
        try:
            about = json.loads(path.read_text("utf-8")) if path.exists() else {}
        except ValueError as error:
            raise StabenchError(f"{path}: not JSON ({error}); remove it and run again") from None
        if not isinstance(about, dict) or not all(isinstance(v, dict) for v in about.values()):
            raise StabenchError(f"{path}: not a table of systems; remove it and run again")
        return about

    def add_system(self, name: str, about: dict[str, Any]) -> None:
        """Keep what a worker said of its system."""
        files.write_json(self.path / "systems.json", {**self.about_systems(), name: about})

    def write_record(self, record: Record) -> None:
        """Replace run.json."""
        value = record.model_dump(mode="json", by_alias=True)
        files.write_json(self.path / "run.json", value)
        # The dataclass is frozen; `record` is a cached property, whose cache is this entry.
        self.__dict__["record"] = record

    def sweep(self) -> None:
        """Remove what a killed writer left half done."""
        for part in self.path.rglob(f".*{files.TEMPORARY}"):
            part.unlink(missing_ok=True)


REFUSED = "random weights: latency only"


def on_random_weights(run: RunFolder, use: SystemUse) -> bool:
    """Return whether a system ran on random weights, by the suite's options or by its own word."""
    about = run.about_systems().get(use.name, {})
    return "random" in {*weights_of(use.options), *weights_of(about.get("provenance"))}


def weights_of(value: Any) -> Iterator[str]:
    """Yield every text under a key `weights`, however deep: "random" is one of them, or none is."""
    if isinstance(value, list):
        for item in value:
            yield from weights_of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "weights" and isinstance(item, str):
                yield item
            yield from weights_of(item)
