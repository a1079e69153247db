"""The method: how a run was made and scored, and what its reader should bear in mind."""

import json
from collections.abc import Iterable
from typing import Any

from stabench.harness.environment import Environment
from stabench.harness.formatting import NOTHING, counted, figure
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.runs.metrics_file import EmbedderRecord, MetricsFile
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED as RANDOM
from stabench.harness.runs.run_folder import Record
from stabench.harness.scoring.examination import COMMAND
from stabench.harness.suites.suite import SystemUse

# Digits of a sha256 that are shown; all of them are in report.json.
DIGEST = 12
# Clips below which no interval of a metric is to be trusted: those of skewed scores hold the true
# value too seldom (stats/bootstrap.py).
LEAST_FOR_INTERVALS = 12


def lead(results: Results) -> str:
    """Return the run in one sentence."""
    if results.run is None:
        clips = results.metrics.n_clips if results.metrics else 0
        return f"{counted(clips, 'clip')}, scored from folders of WAV files."
    record, settings = results.run.record, results.run.suite.run
    data = record.dataset
    return (
        f"{counted(data.n, 'clip')} of {data.name} {data.version}; {settings.scenario}, "
        f"batch {settings.batch_size}, {settings.precision}, {counted(settings.repeats, 'repeat')} "
        f"after {counted(settings.warmups, 'warm-up')}, seed {settings.seed}; "
        f"{_name_machine(record.environment, record.request.device)}."
    )


def _name_machine(environment: Environment, device: str) -> str:
    """Return where it ran: the GPU, or the CPU and how much of it was used."""
    if device == "cuda" and environment.gpus:
        gpu = environment.gpus[0]
        return f"{gpu.name} ({gpu.memory_mib // 1024} GiB, driver {gpu.driver})"
    cores = f"{counted(environment.threads, 'thread')} of {environment.cpu_usable} cores"
    return f"CPU {environment.cpu_model}, {cores}"


def describe_method(results: Results) -> tuple[Section, ...]:
    """Return the sections of the run, its systems, its columns and the networks that judge."""
    sections = []
    if results.run:
        sections += [_describe_run(results.run.record), _describe_systems(results)]
    if results.metrics:
        sections += [_describe_scoring(results.metrics), _describe_judges(results.metrics)]
    return tuple(sections)


def _describe_run(record: Record) -> Section:
    environment, settings = record.environment, record.suite.run
    # None where the source is an installed wheel.
    source = environment.git
    facts = {
        "suite": f"{record.suite.name} ({record.suite.title})",
        "dataset": f"{record.dataset.name} {record.dataset.version}, "
        f"{counted(record.dataset.n, 'clip')}",
        "machine": _name_machine(environment, record.request.device),
        "platform": environment.platform,
        "Python, torch": f"{environment.python}, {environment.torch or 'none'}",
        "source": f"{source.commit[:DIGEST]}{' with changes' if source.dirty else ''}"
        if source
        else "not tracked",
        "started, finished": f"{record.started_at}, {record.finished_at or 'not yet'}",
    } | {name.replace("_", " "): str(value) for name, value in settings.model_dump().items()}
    lines = tuple(Line((Printed(name), Printed(value))) for name, value in facts.items())
    grid = Grid((Head("What"), Head("How")), lines)
    return Section("run", "How it was run", grid=grid, only="markdown")


def _describe_systems(results: Results) -> Section:
    about = results.run.about_systems() if results.run else {}
    uses = results.run.suite.systems if results.run else ()
    lines = []
    for use in uses:
        statement = about.get(use.name, {})
        cells = (
            use.use,
            _compact({**use.options, **({"precision": use.precision} if use.precision else {})}),
            str(statement.get("sample_rate_hz", "")),
            _compact(statement.get("provenance", {})),
        )
        label = use.label or use.name
        # The name under a label is what commands take.
        named = Printed(label, use.name if label != use.name else "")
        lines.append(Line((named, *map(Printed, cells))))
    heads = ("System", "Registered as", "Options", "Output (Hz)", "Says of itself")
    grid = Grid(tuple(map(Head, heads)), tuple(lines))
    notes = tuple(f"{use.label or use.name}: {use.note}" for use in uses if use.note)
    notes += tuple(
        _describe_interpreter(use, about.get(use.name, {})) for use in uses if use.python
    )
    return Section("systems", "Systems", grid=grid, points=notes, only="markdown")


def _describe_interpreter(use: SystemUse, about: dict[str, Any]) -> str:
    """Return with which Python and torch a system ran that has an interpreter of its own."""
    torch = about.get("packages", {}).get("torch", "none")
    python = about.get("python", "unknown")
    return f"{use.label or use.name}: Python {python}, torch {torch} ({use.python})"


def _describe_scoring(metrics: MetricsFile) -> Section:
    lines = []
    for about in metrics.columns.values():
        # A column such as WER needs no network.
        net = metrics.provenance.embedders.get(about.embedder or "")
        rules = ", ".join(f"{name} {value}" for name, value in about.rules.items())
        cells = (
            f"{about.label} (v{about.version})",
            about.protocol or "",
            f"{net.name} ({net.origin})" if net else "",
            net.sha256[:DIGEST] if net else "",
            _describe_input(net) if net else "",
            "; ".join(filter(None, (about.about, rules, about.source and f"from {about.source}"))),
        )
        lines.append(Line(tuple(map(Printed, cells))))
    heads = ("Column", "Protocol", "Network", "Weights (sha256)", "Audio", "Rules")
    shared = metrics.provenance
    text = (
        f"Protocol {shared.protocol.title}: {shared.protocol.about}.",
        f"Intervals are at {figure(100 * shared.level, 0)} %, by {shared.bootstrap} resamples "
        f"(seed {shared.seed}), {shared.interval}; clips are paired {shared.pairing}; "
        f"{counted(metrics.references.n, 'recording')} as references. Versions: "
        f"{', '.join(f'{name} {version}' for name, version in shared.versions.items())}.",
    )
    grid = Grid(tuple(map(Head, heads)), tuple(lines))
    return Section("scoring", "How it was scored", text, grid, only="markdown")


def _describe_judges(metrics: MetricsFile) -> Section:
    """Return which networks gave the numbers, and what shows that they can."""
    lines, points = [], []
    for role, known in metrics.provenance.examinations.items():
        name = metrics.provenance.embedders[role].name
        shown = (
            _format(known.accuracy, 3),
            _format(known.dimensions, 1),
            _format(known.monotony, 2),
            _format(known.agreement, 2),
        )
        cells = (name, role, known.sounds or "", *shown, known.verdict)
        lines.append(Line(tuple(map(Printed, cells))))
        points += [f"{name} ({role}) fails: {fault}" for fault in known.faults]
    heads = ("Network", "Role", "Sounds", "Accuracy", "Axes", "Follows", "Agrees", "Verdict")
    text = (
        "Each network was asked for sounds whose truth is known. Accuracy: mean average precision "
        "of the events in held-out sounds, of a CLAP how often a sound is nearer to its caption "
        "than to a wrong one. Axes: effective dimensions of the embedding. Follows: the worst rank "
        "correlation of a column with the size of a damage. Agrees: that of the order of damaged "
        "sets with the other judge's. What a network that failed would have measured is left out "
        f"({COMMAND}).",
    )
    grid = Grid(tuple(map(Head, heads)), tuple(lines))
    return Section("judges", "Judges", text, grid, tuple(points), only="markdown")


def _format(value: float | None, digits: int) -> str:
    return NOTHING if value is None else figure(value, digits)


def _describe_input(net: EmbedderRecord) -> str:
    """Return in a few words how sounds were brought to a network."""
    channels = "first channel" if net.channels == "first" else "mean of channels"
    steps = [f"{net.rate_hz} Hz by {net.resampler}", channels]
    steps += ["mean removed"] * net.mean_removed + ["16-bit steps"] * net.int16
    # Whole clips in float32 are the rule, and go without saying.
    steps += [] if net.long == "whole" else [f"long clips: {net.long}"]
    steps += [] if net.precision == "float32" else [net.precision]
    return ", ".join(steps)


def _compact(value: Any) -> str:
    """Return a small table in one line; long digests are shortened."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_compact(item)}" for key, item in value.items())
    # A sha256: its first digits tell two apart.
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value[:DIGEST]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def notes(results: Results) -> tuple[str, ...]:
    """Return what a reader should bear in mind, the gravest first."""
    sentences = list(_warn_of_run(results, results.run.record)) if results.run else []
    if results.metrics:
        sentences += [f"{note}." for note in results.metrics.notes]
        sentences += _warn_of_scores(results.metrics)
    elif results.run:
        sentences.append("Not scored: only latencies are shown.")
    return tuple(sentences)


def _warn_of_run(results: Results, record: Record) -> Iterable[str]:
    yield from record.suite.notes
    for use in record.suite.systems:
        if results.random(use):
            yield f"{use.label or use.name}: {RANDOM}; its quality is not shown."
    if record.finished_at is None:
        yield "The run is not finished: some clips were not run. Resume it."
    if missing := record.dataset.missing:
        first = f"{missing[0].id}: {missing[0].reason}"
        yield f"{counted(len(missing), 'clip')} of the dataset could not be had (first: {first})."
    if record.request.limit:
        yield f"Limited to the first {counted(record.request.limit, 'clip')} of the dataset."
    yield from _warn_of_machine(record.environment, record.resumed)


def _warn_of_machine(environment: Environment, resumed: tuple[Any, ...]) -> Iterable[str]:
    # Half of the cores: below it the scheduler still finds a free one.
    load = environment.load_average[0] if environment.load_average else 0.0
    if load > environment.cpu_usable / 2:
        yield (
            f"The machine was busy when the run began (load {figure(load, 1)} on "
            f"{environment.cpu_usable} cores): latencies include waiting."
        )
    if resumed:
        yield f"Interrupted and resumed {counted(len(resumed), 'time')}."
    if environment.git and environment.git.dirty:
        yield "The source had changes that are in no commit."


def _warn_of_scores(metrics: MetricsFile) -> Iterable[str]:
    shown = metrics.columns.keys()
    cells = [system.cells for system in metrics.systems.values()]
    measured = {key for each in cells for key, cell in each.items() if cell.value is not None}
    if distances := measured & {"fad", "fd"}:
        # With fewer rows than dimensions the covariance of the embeddings is singular.
        sizes = []
        for column in distances:
            about = metrics.columns[column]
            net = metrics.provenance.embedders.get(about.embedder or "")
            if net and net.width:
                rows = metrics.references.frames[about.embedder or ""]
                sizes.append(f"{about.label}: {rows} in {net.width}")
        yield (
            "FAD and FD grow as clips get fewer, the more so with fewer rows of embeddings than "
            f"dimensions ({', '.join(sorted(sizes)) or 'not known'}): compare rows of the same n "
            "only."
        )
    if "is" in shown:
        splits = metrics.columns["is"].rules["is_splits"]
        yield f"IS is a mean over {splits} splits and cannot exceed the clips in one."
    if "clap" in shown:
        yield "CLAP scores of different checkpoints can order systems differently."
    # Groups may also be of recordings alone; copies of clips are in one.
    different = min(metrics.n_clips, metrics.provenance.groups)
    if different < LEAST_FOR_INTERVALS:
        yield (
            f"With {counted(different, 'clip')} no interval is to be trusted: they hold what they "
            f"promise from {LEAST_FOR_INTERVALS} on."
        )
