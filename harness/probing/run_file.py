"""The run folder of a suite of probes: what was asked, what each probe gave, and its figures.

run.json  probes/<encoder>-<bridge>.{json,npy}  logs/<encoder>-<bridge>.log  truth.npz
probes.json (the figures)  report.{md,json} (report)  reproduce.{md,json} (reproduce)
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError

from stabench.harness import files
from stabench.harness.environment import Environment
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs.metrics_file import StoredEstimate
from stabench.harness.runs.run_folder import LATEST, RUNS, find_latest, is_latest, stamped
from stabench.harness.schema import Strict, first_key
from stabench.harness.suites.probes import Bridge, ProbeSuite

RUN, FIGURES = "run.json", "probes.json"


class Request(Strict):
    """What the command line asked for beyond the suite."""

    device: Literal["cpu", "cuda"] = "cpu"


class RunRecord(Strict):
    """run.json of a run of probes."""

    schema_version: Literal[1] = Field(1, alias="schema")
    probes: ProbeSuite
    request: Request
    environment: Environment
    started_at: str
    finished_at: str | None = None


class ProbeRecord(Strict):
    """One probe, trained or failed with `error`; `validation` is its mAP there.

    `layers` are those of the MLP that was best on validation, `others` what other depths reached.
    """

    encoder: str
    bridge: Bridge
    error: str | None = None
    validation: FiniteFloat | None = None
    parameters: int | None = None
    layers: int | None = None
    others: dict[int, FiniteFloat] = Field({})
    source: dict[str, Any] = Field({})
    wall_s: FiniteFloat = 0.0


class ProbeFigure(ProbeRecord):
    """A probe with its mAP, over the classes that a test clip has; `per_clip` are pseudo-values."""

    cell: StoredEstimate
    per_clip: dict[str, FiniteFloat] = Field({})


class Difference(Strict):
    """Probe `a` minus probe `b` ("encoder, bridge") on the same clips."""

    a: tuple[str, Bridge]
    b: tuple[str, Bridge]
    difference: StoredEstimate


class Figures(Strict):
    """probes.json: the figures, and all that they depend on.

    `clips` are the clips of each split, `present` the classes that a test clip has.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    suite: str
    metric: str
    metric_version: int
    corpus: str
    corpus_version: str
    classes: int
    present: int
    clips: dict[str, int]
    seed: int
    bootstrap: int
    probes: tuple[ProbeFigure, ...]
    differences: tuple[Difference, ...]

    def find(self, encoder: str, bridge: Bridge) -> ProbeFigure | None:
        """Return a probe, or None."""
        pairs = {(probe.encoder, probe.bridge): probe for probe in self.probes}
        return pairs.get((encoder, bridge))


class ProbeRun:
    """One run of probes on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, runs: Path, record: RunRecord) -> "ProbeRun":
        """Make a new run folder in `runs` and point `latest` at it. Raises StabenchError."""
        run = cls(runs / stamped(record.probes.name))
        try:
            (run.path / "probes").mkdir(parents=True)
            (run.path / "logs").mkdir()
            run.write(record)
        except OSError as error:
            raise StabenchError(
                f"output folder '{runs}' cannot be written ({error.strerror}); choose another "
                "with --out DIR"
            ) from error
        try:
            files.point(runs / LATEST, run.path.name)
        except OSError as error:
            print(f"'{runs / LATEST}' cannot be made ({error.strerror})", file=sys.stderr)
        return run

    @property
    def record(self) -> RunRecord:
        """run.json. Raises StabenchError for one that is wrong."""
        path = self.path / RUN
        try:
            return RunRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StabenchError(f"{path}: {first_key(error)}; run again") from None

    @property
    def figures(self) -> Figures:
        """probes.json. Raises MissingError before there is one, StabenchError for a wrong one."""
        path = self.path / FIGURES
        if not path.is_file():
            raise MissingError(f"run '{self.path}': no {FIGURES} yet; stabench run --resume it")
        try:
            return Figures.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StabenchError(f"{path}: {first_key(error)}; stabench run --resume it") from None

    def write(self, record: RunRecord) -> None:
        """Replace run.json."""
        files.write_json(self.path / RUN, record.model_dump(mode="json", by_alias=True))

    def probe_path(self, encoder: str, bridge: str) -> Path:
        """Return where a probe's record lies; its logits beside it end in .npy."""
        return self.path / "probes" / f"{encoder}-{bridge}.json"

    def log_path(self, encoder: str, bridge: str) -> Path:
        """Return where lies what a probe printed."""
        return self.path / "logs" / f"{encoder}-{bridge}.log"

    def read_probe(self, encoder: str, bridge: Bridge) -> ProbeRecord | None:
        """Return a probe's record, or None before it ended. Raises StabenchError for another."""
        path = self.probe_path(encoder, bridge)
        if not path.is_file():
            return None
        try:
            return ProbeRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StabenchError(f"{path}: {first_key(error)}; delete it and resume") from None

    def write_probe(self, record: ProbeRecord, logits: np.ndarray | None = None) -> None:
        """Keep a probe; its record is written last, so that what has one is whole."""
        path = self.probe_path(record.encoder, record.bridge)
        if logits is not None:
            part = path.with_suffix(".part.npy")
            np.save(part, logits)
            part.replace(path.with_suffix(".npy"))
        files.write_json(path, record.model_dump(mode="json"))


def find_probe_run(path: Path | str, runs: Path = RUNS) -> ProbeRun | None:
    """Return the run of probes at `path` ("latest" too), or None where it is another folder."""
    place = Path(path)
    if is_latest(path):
        try:
            place = find_latest(str(path), runs)
        except MissingError:
            return None  # whoever looks for another run says what is missing
    place = place.resolve() if place.is_symlink() else place
    try:
        value = json.loads((place / RUN).read_bytes())
    except (OSError, ValueError):
        return None
    return ProbeRun(place) if isinstance(value, dict) and "probes" in value else None
