"""The plan of a run: suite and request become a new run folder, or must equal an old one's."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness import environment, registry
from stabench.harness.datasets.conditions.condition import parse_condition
from stabench.harness.datasets.conditions.rendering import (
    Renderer,
    check_heard_ids,
    try_conditions,
)
from stabench.harness.datasets.dataset import Dataset, spoken_folder
from stabench.harness.device import device
from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.runner.progress import Scoring
from stabench.harness.runs import conditions_file
from stabench.harness.runs.conditions_file import SPEECH, ConditionRecord, ConditionsFile
from stabench.harness.runs.journal import timestamp
from stabench.harness.runs.run_folder import DatasetRecord, Record, Request, Resumption, RunFolder
from stabench.harness.suites import suite
from stabench.harness.suites.select import select_conditions, select_systems, set_keys
from stabench.harness.suites.suite import DatasetUse, Suite
from stabench.harness.tasks.task import load_task


class Plan(NamedTuple):
    """What is to be run: the suite with its selected systems, and the clips.

    `whole` is the dataset before clips were selected, of which conditions take voices.
    """

    suite: Suite
    dataset: Dataset
    whole: Dataset


def begin(name: str, request: Request, runs: Path) -> RunFolder:
    """Make a new run folder in `runs` for the suite `name`. Raises StabenchError, MissingError."""
    plan = resolve(suite.load(name), request)
    # Before the folder is made: a run on a device that is not there leaves none behind.
    device(request.device)
    record = Record(
        suite=plan.suite,
        request=request,
        dataset=_record_dataset(plan.dataset),
        environment=environment.record(plan.suite.run.threads),
        started_at=timestamp(),
    )
    folder = RunFolder.create(runs, record)
    render_conditions(folder, plan.whole)
    return folder


def resume(name: str | None, folder: RunFolder, asked: dict[str, Any]) -> RunFolder:
    """Take up the same run again; `asked` holds the options given now.

    With `name`, the suite as it is now must be the run's; without, the run's own is taken.
    Raises StabenchError with the first key in which suite, options or clips differ from the run's.
    """
    record = folder.record
    request = Request(**{**record.request.model_dump(), **asked})
    _refuse_difference(folder, "option", record.request.model_dump(), request.model_dump())
    if name is None:
        # What was selected and set is in the suite of the run already.
        done = {"systems": (), "set": (), "conditions": ()}
        plan = resolve(record.suite, request.model_copy(update=done))
    else:
        plan = resolve(suite.load(name), request)
    suites = (kept.model_dump(mode="json", by_alias=True) for kept in (record.suite, plan.suite))
    _refuse_difference(folder, "suite", *suites)
    then = record.dataset.model_dump(mode="json")
    _refuse_difference(
        folder, "dataset", then, _record_dataset(plan.dataset).model_dump(mode="json")
    )
    render_conditions(folder, plan.whole)
    now = environment.record(record.suite.run.threads)
    resumed = (*record.resumed, Resumption(at=timestamp(), environment=now))
    folder.write_record(record.model_copy(update={"resumed": resumed, "finished_at": None}))
    return folder


def resolve(chosen: Suite, request: Request) -> Plan:
    """Return the suite as requested, and its clips."""
    chosen = set_keys(select_systems(chosen, request.systems), request.set)
    chosen = select_conditions(chosen, request.conditions)
    if request.speech is not None:
        options = {"use": "folder", "speech": request.speech, "captions": request.captions}
        chosen = chosen.model_copy(update={"dataset": DatasetUse(**options)})
    elif request.captions is not None:
        raise StabenchError(f"--captions '{request.captions}' needs --speech DIR; add it")
    chosen.check_names()
    phases = (*load_task(chosen.task).phase_names[:-1], "all")
    if request.phase not in phases:
        raise StabenchError(f"--phase: {unknown('phase', request.phase, phases)}")
    conditions = [parse_condition(condition.name) for condition in chosen.conditions]
    whole = _load_dataset(chosen, request)
    dataset = whole.picked(request.clips).limited(request.limit)
    check_heard_ids(dataset.clips, [condition.short for condition in chosen.conditions])
    try_conditions(conditions)
    # After the limit: files of clips that nobody runs are not made.
    if dataset.prepare is not None:
        dataset.prepare(dataset.clips)
    return Plan(chosen, dataset, whole)


def render_conditions(folder: RunFolder, whole: Dataset) -> None:
    """Write the speech of a run under its conditions, and what was measured, into its folder.

    What is there already stays. Raises StabenchError where a resumed run would now hear something
    else than it did: other speech, another version of a condition.
    """
    suite, clips = folder.suite, folder.clips
    if not suite.conditions:
        return
    try:
        known = {record.name: record.clips for record in folder.read_conditions().conditions}
    except MissingError:
        known = {}
    renderer = Renderer(whole, folder.path / SPEECH, suite.run.seed)
    records = []
    for use in suite.conditions:
        name, condition = use.short, parse_condition(use.name)
        # As failed rows are, clips that could not be made are tried again.
        then = {clip: heard for clip, heard in known.get(name, {}).items() if heard.failure is None}
        left = [
            clip
            for clip in clips
            if clip.id not in then or not folder.speech_path(clip.id, name).is_file()
        ]
        now = renderer.render(name, condition, left, Scoring(sys.stderr, "rendering"))
        if other := [clip for clip in now if then.get(clip, now[clip]) != now[clip]]:
            raise StabenchError(
                f"run '{folder.path}' cannot be resumed: speech of clip '{other[0]}' under "
                f"'{name}' would be another now (another file, or another version of the "
                "condition); start a new run"
            )
        records.append(
            ConditionRecord(
                name=name,
                label=use.label or name,
                identity=condition.identity,
                clips={clip.id: {**then, **now}[clip.id] for clip in clips},
            )
        )
    content = ConditionsFile(seed=suite.run.seed, conditions=tuple(records))
    conditions_file.write(folder.path, content)


def _load_dataset(chosen: Suite, request: Request) -> Dataset:
    if request.speech is not None:
        captions = None if request.captions is None else Path(request.captions)
        dataset = spoken_folder(Path(request.speech), captions)
    else:
        name, options = chosen.dataset.use, chosen.dataset.options
        function = registry.load("datasets", name)
        registry.check_options(f"dataset '{name}'", function, options)
        try:
            dataset = function(**options)
        except FileNotFoundError as error:
            raise MissingError(f"dataset '{name}': {error}") from error
        if not isinstance(dataset, Dataset):
            kind = type(dataset).__name__
            raise StabenchError(
                f"dataset '{name}': its function returned {kind}; return a "
                "stabench.harness.datasets.dataset.Dataset"
            )
    if not dataset.clips:
        reasons = "".join(f" ({absent.id}: {absent.reason})" for absent in dataset.missing[:1])
        raise MissingError(f"dataset '{dataset.name}' has no clips{reasons}")
    for note in dataset.notes:
        print(f"note: {note}", file=sys.stderr)
    return dataset


def _record_dataset(dataset: Dataset) -> DatasetRecord:
    return DatasetRecord(
        name=dataset.name,
        version=dataset.version,
        n=len(dataset.clips),
        label_names=dataset.label_names,
        clips=dataset.clips,
        missing=dataset.missing,
    )


def _refuse_difference(folder: RunFolder, what: str, then: Any, now: Any) -> None:
    difference = suite.difference(then, now)
    if difference:
        raise StabenchError(
            f"run '{folder.path}' cannot be resumed: {what} key {difference}; start a new run"
        )
