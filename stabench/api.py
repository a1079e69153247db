"""What `import stabench` offers: the commands run, score and compare, for programs and notebooks.

The same engine as the command line, with the same numbers to the bit. Progress goes to standard
error, nothing to standard output.
"""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from stabench.harness import files
from stabench.harness.compare import read_evidence
from stabench.harness.compare.compare import Comparison as Judgement
from stabench.harness.compare.compare import compare as compare_evidence
from stabench.harness.compare.page import build_page
from stabench.harness.compare.verdict import Options
from stabench.harness.device import select_gpu
from stabench.harness.errors import StabenchError
from stabench.harness.runs.run_folder import RUNS, Request, RunFolder, stamped
from stabench.harness.schema import first_wrong
from stabench.opened_run import Run
from stabench.opened_submission import SubmittedRun
from stabench.views import PageView

if TYPE_CHECKING:
    from pandas import DataFrame

Folder = str | os.PathLike[str]


def open_run(run: Folder | Run = "latest") -> Run:
    """Open a run folder or a folder of scores; "latest" is the last run in results/runs.

    Raises MissingError when nothing is there, StabenchError for files that are no run's.
    """
    return run if isinstance(run, Run) else Run(os.fspath(run))


def open_submission(package: Folder) -> SubmittedRun:
    """Open a submission, the .zip of `stabench submit`; its numbers are as claimed.

    Raises MissingError without the file, StabenchError for one that is damaged or no submission.
    """
    return SubmittedRun(Path(package))


def run(
    suite: Folder | None = None,
    *,
    systems: Sequence[str] = (),
    set: Mapping[str, Any] | None = None,
    conditions: Sequence[str] = (),
    clips: Sequence[str] = (),
    limit: int | None = None,
    device: str = "cpu",
    phase: str = "all",
    speech: Folder | None = None,
    captions: Folder | None = None,
    resume: Folder | None = None,
    in_process: bool = False,
    out: Folder = RUNS,
) -> Run:
    """Run a suite (a registered name or a .toml file), score it, write its report, return it.

    `systems` are as of `--system`, `conditions` as of `--condition`, `set` maps keys of the suite
    to values ({"run.repeats": 3}), `device` is "cpu", "cuda" or "cuda:N". With `resume` a run
    folder is taken up again and the suite may be left out. Raises StabenchError for what is wrong
    with any of them, MissingError for weights or files that are not there, TooManyFailures when
    more clips failed than the suite allows (everything is written by then).
    """
    from stabench.harness.cli.execute import execute
    from stabench.harness.runner import plan

    values = {
        "systems": tuple(systems),
        "set": tuple(f"{key}={_to_toml(value)}" for key, value in (set or {}).items()),
        "conditions": tuple(conditions),
        "clips": tuple(clips),
        "limit": limit,
        "device": select_gpu(device),
        "phase": phase,
        "in_process": in_process,
        "speech": speech and os.fspath(speech),
        "captions": captions and os.fspath(captions),
    }
    usual = Request()
    asked = {name: value for name, value in values.items() if value != getattr(usual, name)}
    try:
        request = Request(**asked)
    except ValidationError as error:
        raise StabenchError(f"run: {first_wrong(error, Request)}") from None
    name = None if suite is None else os.fspath(suite)
    if resume is not None:
        folder = plan.resume(name, RunFolder.open(os.fspath(resume), Path(out)), asked)
    elif name is not None:
        folder = plan.begin(name, request, Path(out))
    else:
        raise StabenchError("run takes a suite, or resume=RUN")
    execute(folder, io.StringIO())
    return Run(folder.path)


def _to_toml(value: Any) -> str:
    """Return a value as TOML writes it; raises StabenchError for a type that TOML has not."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(str(key))} = {_to_toml(part)}" for key, part in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_to_toml, value))}]"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str | bool | int | float):
        raise StabenchError(
            f"set: {value!r} is {type(value).__name__}; a suite holds texts, numbers, true or "
            "false, lists and tables"
        )
    return json.dumps(value)


def score(
    reference: Folder,
    outputs: Mapping[str, Folder],
    captions: Folder | Mapping[str, str] | None = None,
    protocol: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    backends: Mapping[str, str] | None = None,
    weights: str = "published",
    device: str = "cpu",
    threads: int | None = None,
    sanity: bool = True,
    unpaired: bool = False,
    replace: bool = False,
    seed: int = 0,
    bootstrap: int = 1000,
    out: Folder | None = None,
) -> Run:
    """Score folders of WAVs, paired with the recordings in `reference` by file name; return them.

    `outputs` maps names to folders; `captions` is a CSV with columns id, caption (and reference),
    or a mapping of id to caption. `protocol` must be given: "paper" (as text-to-audio papers do),
    "stabench", "pocket" (networks that know the pocket suite's sounds alone) or a .toml file;
    `backends` maps a role ("fad", "tagger", "clap") to another embedder. Everything is written
    into `out`, by default a new folder in results/runs. Raises MissingError for folders or weights
    that are not there, StabenchError without a protocol, for a file name twice, an unknown column,
    and, unless `replace`, where scores in `out` have a number that these lack.
    """
    from stabench.harness.cli.execute import score_wavs
    from stabench.harness.scoring.score import Hearing

    place = RUNS / stamped("scores") if out is None else Path(out)
    if isinstance(captions, Mapping):
        captions = _write_captions(place / "captions.csv", captions)
    score_wavs(
        Path(reference),
        {name: Path(path) for name, path in outputs.items()},
        None if captions is None else Path(captions),
        place,
        protocol=protocol,
        backends=dict(backends or {}),
        sanity=sanity,
        stream=io.StringIO(),
        columns=None if columns is None else tuple(columns),
        hearing=Hearing(select_gpu(device), "float32", threads or os.cpu_count() or 1, weights),
        seed=seed,
        bootstrap=bootstrap,
        unpaired=unpaired,
        replace=replace,
    )
    return Run(place)


def _write_captions(path: Path, captions: Mapping[str, str]) -> Path:
    text = io.StringIO()
    # All in quotes: the writer leaves a lone carriage return without them, which ends a row.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "caption"])
    writer.writerows(captions.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        content = text.getvalue().encode()
    except UnicodeEncodeError as error:
        shown = ascii(error.object[max(error.start - 20, 0) : error.end])
        raise StabenchError(f"captions: {shown} ends in half a character; replace it") from None
    files.write_bytes(path, content)
    return path


class Comparison:
    """Two runs compared clip by clip: every metric of every system with a verdict."""

    def __init__(self, judgement: Judgement) -> None:
        self.judgement = judgement

    @property
    def verdicts(self) -> frozenset[str]:
        """Every verdict that occurs: improved, regressed, same, inconclusive, not measured."""
        return frozenset(self.judgement.words)

    @cached_property
    def lines(self) -> "DataFrame":
        """A row for each system and metric (see `stabench.frames.LINES`).

        `old` and `new` are in `unit`, as `change` is; of a time (ns) that is the ratio new / old.
        """
        from stabench import frames

        return frames.lines(self.judgement)

    def page(self) -> PageView:
        """Return the page that the command prints: text, or HTML in a notebook."""
        return PageView(build_page(self.judgement))

    def __repr__(self) -> str:
        old, new = self.judgement.old.name, self.judgement.new.name
        return f"<stabench.Comparison '{old}' and '{new}': {', '.join(sorted(self.verdicts))}>"

    def _repr_html_(self) -> str:
        return self.page()._repr_html_()


def compare(
    old: Folder | Run,
    new: Folder | Run,
    *,
    systems: Mapping[str, str] | None = None,
    across_hardware: bool = False,
    force: bool = False,
) -> Comparison:
    """Compare two runs, scores or baseline files; `systems` maps old names to new ones.

    Raises StabenchError for numbers of different provenance (unless `force`) and for runs without
    a system in common, MissingError where nothing is there.
    """
    before, after = (
        read_evidence.build_evidence(side.results)
        if isinstance(side, Run)
        else read_evidence.read(os.fspath(side))
        for side in (old, new)
    )
    options = Options(names=dict(systems or {}), across_hardware=across_hardware, force=force)
    return Comparison(compare_evidence(before, after, options))
