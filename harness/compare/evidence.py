"""Evidence: what one run knows, clip by clip, in the form that verdicts need; and its file.

A baseline is such a file in a repository: a year later a new run is compared with it, without the
audio or the folder that it came from.
"""

import gzip
import io
import re
import zlib
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

from pydantic import Field, FiniteFloat, ValidationError

from stabench.harness.errors import StabenchError
from stabench.harness.runs.metrics_file import ColumnHead
from stabench.harness.schema import Strict
from stabench.harness.tasks.task import DEFAULT, Task, load_task

SCHEMA: Final = 1
# The most that a baseline may be once it is unpacked; that of the pocket suite has half a megabyte.
MOST_BYTES = 64 * 2**20
# Distance from a whole number that is rounding: thousands of pseudo-values are off by 1e-12.
WHOLE = 1e-6

# What stands for a processor whose name is not known: nothing, or its architecture.
NAMELESS = re.compile(
    r"|unknown|x86.*|amd64|i\d86|arm.*|aarch64.*|ppc.*|riscv.*|s390.*", re.IGNORECASE
)

PerClip = dict[str, FiniteFloat]
# Nanoseconds of every repeat of each clip, in the order in which clips were measured.
Samples = dict[str, tuple[int, ...]]


class ColumnEvidence(Strict):
    """One column of one system over `n` clips: its `value`, or the `reason` why there is none.

    `per_clip` has `value` as its mean. "mean": the value of each clip. "ratio" and "set": jackknife
    pseudo-values, `value` plus N times the share of each (Efron, 1982), of clips or of groups of
    clips (`Evidence.groups`); those of a ratio can be had for fewer clips by the `weights` of its
    denominator. Numbers are comparable where their `digest` is equal.
    """

    value: FiniteFloat | None
    better: Literal["lower", "higher"]
    kind: Literal["mean", "ratio", "set"]
    per_clip: PerClip = Field({})
    weights: PerClip = Field({})
    n: int = 0
    reason: str | None = None
    digest: str
    lowest: float | None = None

    def over(self, clips: Collection[str]) -> PerClip:
        """Return the values of some clips. Raises ValueError for a set, which is only a whole.

        Those of a ratio are the pseudo-values of the ratio over these clips, r + (e - r w) /
        mean(w), with errors e and weights w.
        """
        if self.kind == "set":
            raise ValueError("a set metric has no value over some of its clips")
        kept = {clip: self.per_clip[clip] for clip in self.per_clip if clip in clips}
        if self.kind == "mean":
            return kept
        # The errors of each clip are not stored: its pseudo-value over all clips gives them.
        mean = sum(self.weights.values()) / len(self.weights)
        value = self.value or 0.0
        parts = {
            clip: value * self.weights[clip] + (pseudo - value) * mean
            for clip, pseudo in kept.items()
        }
        # Errors are whole numbers: what is left of a rounding would pass for a change.
        parts = {
            clip: float(round(part)) if abs(part - round(part)) < WHOLE else part
            for clip, part in parts.items()
        }
        total = sum(self.weights[clip] for clip in kept)
        if not total:
            return {}
        ratio, mean = sum(parts.values()) / total, total / len(kept)
        return {
            clip: ratio + (part - ratio * self.weights[clip]) / mean for clip, part in parts.items()
        }


class SystemEvidence(Strict):
    """One system: `n` clips that are ok, those that failed, columns, times, and what it made.

    `samples_ns` are by phase, `stages_ns` by "phase/stage" with the remainder as a stage; without
    them `untimed` says why. `audio` holds the sha256 of each first output, `weights_digest` that
    of all the system said of itself (weights and settings).
    """

    name: str
    label: str
    paradigm: str
    n: int
    failed_clips: tuple[str, ...] = ()
    columns: dict[str, ColumnEvidence] = Field({})
    samples_ns: dict[str, Samples] = Field({})
    stages_ns: dict[str, Samples] = Field({})
    untimed: str | None = None
    audio: dict[str, str] = Field({})
    random_weights: bool = False
    weights_digest: str | None = None

    @property
    def failed(self) -> int:
        """Return the number of clips that failed."""
        return len(self.failed_clips)


class Hardware(Strict):
    """What a latency depends on; equal records that name all of it are one kind of machine."""

    device: str
    cpu_model: str
    gpu: str | None
    threads: int

    @property
    def title(self) -> str:
        """Return the machine in one line for a reader."""
        gpu = self.gpu or ("unknown GPU" if self.device == "cuda" else None)
        cpu = self.cpu_model or "unknown processor"
        parts = (self.device, gpu, cpu, f"{self.threads} threads")
        return ", ".join(part for part in parts if part)

    @property
    def is_known(self) -> bool:
        """Return whether the machine has names: two that have none may be any two."""
        named = not NAMELESS.fullmatch(self.cpu_model.strip())
        return named and (self.device != "cuda" or self.gpu is not None)


class Settings(Strict):
    """The rules of a run that decide what its numbers mean."""

    scenario: str
    batch_size: int
    seed: int
    repeats: int
    warmups: int


class Evidence(Strict):
    """A run, or scored folders. `groups`: the key of each clip that shares a recording.

    `references`: how many recordings were heard, and their rows of embeddings by network;
    `references_sha256` is of the recordings themselves, and of the clip that each belongs to.
    """

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    task: str = DEFAULT
    name: str
    made_at: str | None = None
    suite: str | None = None
    suite_digest: str | None = None
    dataset: str | None = None
    dataset_version: str | None = None
    references: dict[str, int] = Field({})
    references_sha256: str | None = None
    settings: Settings | None = None
    hardware: Hardware | None = None
    versions: dict[str, str] = Field({})
    git_commit: str | None = None
    groups: dict[str, str] = Field({})
    heads: dict[str, ColumnHead] = Field({})
    systems: dict[str, SystemEvidence]

    @property
    def of_task(self) -> Task:
        """Return the task that the numbers are of."""
        return load_task(self.task)

    def to_bytes(self) -> bytes:
        """Return a baseline: gzipped JSON, the same bytes for the same evidence."""
        text = self.model_dump_json(by_alias=True)
        # Without mtime=0 gzip writes the time of day.
        return gzip.compress(text.encode(), compresslevel=9, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "baseline") -> "Evidence":
        """Read what `to_bytes` wrote. Raises StabenchError with one line for anything else."""
        text = _unpack(data, name)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"])) or "the whole"
            raise StabenchError(
                f"baseline '{name}': key '{key}': {first['msg']}; make the baseline again"
            ) from None


def _unpack(data: bytes, name: str) -> bytes:
    """Return the text in a gzip file of at most MOST_BYTES. Raises StabenchError for another."""
    try:
        # One byte more than is allowed: a small file can unpack to any size.
        text = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MOST_BYTES + 1)
    except EOFError:
        raise StabenchError(f"baseline '{name}': the file is cut short; copy it again") from None
    except (OSError, zlib.error, ValueError) as error:
        raise StabenchError(
            f"baseline '{name}': not a gzip file ({error}); give a run folder or a baseline"
        ) from None
    if len(text) > MOST_BYTES:
        raise StabenchError(f"baseline '{name}': more than {MOST_BYTES >> 20} MiB unpacked")
    return text


class Mismatch(NamedTuple):
    """One thing that differs; `column` where it concerns that one only."""

    what: str
    old: str
    new: str
    column: str | None = None

    @property
    def text(self) -> str:
        """Return what differs, with its old and its new value; what is not known may differ."""
        if self.old == self.new:
            return f"{self.what} is not known by name ({self.new}) and may be another"
        return f"{self.what} was {self.old} and is {self.new}"


def find_run_mismatches(old: Evidence, new: Evidence) -> list[Mismatch]:
    """Return the differences in what concerns every number: task, clips, and rules of the run."""
    pairs = [("task", old.task, new.task), ("dataset", _name_dataset(old), _name_dataset(new))]
    before, now = old.references_sha256, new.references_sha256
    # Where their number differs, the clips do: then only metrics of sets are refused (rows.py).
    if old.references == new.references and before is not None and now is not None:
        pairs.append(("recordings", f"sha256 {before[:8]}", f"sha256 {now[:8]}"))
    if old.settings and new.settings:
        for name in ("scenario", "batch_size", "seed"):
            a, b = (str(getattr(settings, name)) for settings in (old.settings, new.settings))
            pairs.append((name, a, b))
    return [Mismatch(what, a, b) for what, a, b in pairs if a != b]


def find_column_mismatches(old: SystemEvidence, new: SystemEvidence) -> list[Mismatch]:
    """Return the columns that another embedder, version or rule of a protocol measures."""
    return [
        Mismatch(f"provenance of {column}", before.digest[:8], now.digest[:8], column)
        for column, now in new.columns.items()
        if (before := old.columns.get(column)) and before.digest != now.digest
    ]


def find_hardware_mismatch(old: Evidence, new: Evidence) -> Mismatch | None:
    """Return the two machines where their times cannot be compared, else None.

    Two machines that are not known are not the same one.
    """
    if is_one_machine(old.hardware, new.hardware):
        return None
    titles = (run.hardware.title if run.hardware else "unknown" for run in (old, new))
    return Mismatch("hardware", *titles)


def is_one_machine(old: Hardware | None, new: Hardware | None) -> bool:
    """Return whether both are known to be one kind of machine."""
    return old is not None and old == new and old.is_known


def _name_dataset(run: Evidence) -> str:
    return f"{run.dataset} {run.dataset_version}" if run.dataset else "folders"
