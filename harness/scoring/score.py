"""Scoring: a run folder, or folders of WAV files, into metrics.json. One pass over the audio."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stabench.checkpoints.cache import cache_folder
from stabench.harness import files, registry
from stabench.harness.datasets.conditions.condition import CLEAN
from stabench.harness.datasets.dataset import Clip
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted
from stabench.harness.runs import influence_file, metrics_file
from stabench.harness.runs.journal import Row
from stabench.harness.runs.metrics_file import MetricsFile
from stabench.harness.runs.run_folder import REFUSED, RunFolder, on_random_weights
from stabench.harness.scoring.clip_table import NAME as CLIP_TABLE
from stabench.harness.scoring.clip_table import clip_table
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.evaluator import needed_roles
from stabench.harness.scoring.features import Network, Progress, Sounds, hear, network
from stabench.harness.scoring.folders import Captions, pair, read_items, sounds, wav_folder
from stabench.harness.scoring.sanity import load_rows
from stabench.harness.scoring.score_systems import Choice, Entrant, sheet
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites import protocols
from stabench.harness.suites.metrics import Columns, load_metrics
from stabench.harness.suites.suite import Metrics, SystemUse, check_reserved
from stabench.harness.tasks.task import DEFAULT, UNSTATED, load_task
from stabench.metrics.audio import Audio, AudioError, content_sha256, decode
from stabench.metrics.protocol import Listening, Protocol

# Folder of kept features in the cache folder.
FEATURES = "features"


class Hearing(NamedTuple):
    """How networks run: device, precision, CPU threads, what their weights are."""

    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1
    weights: str = "published"


ON_CPU = Hearing()


def silent(_what: str, _done: int, _of: int) -> None:
    """Tell nobody of progress."""


def score_run(
    run: Path, progress: Progress = silent, device: str = "cpu", *, replace: bool = False
) -> Path:
    """Score every system of a run and write its metrics.json; returns where.

    Each condition of the run has scores of its own (`RunFolder.scores_path`), against the same
    recordings and captions, with the same resamples; nothing is pooled. Its sanity rows are those
    of the clean speech, whose sounds are no system's.

    Clips that failed, were not run, or whose audio is broken are counted, never replaced. Raises
    MissingError for weights that are not there, StabenchError for names that are not known, and,
    unless `replace`, where the scores that are there have a number which these lack.
    """
    folder = RunFolder.open(run)
    suite, metrics = folder.suite, folder.suite.metrics
    protocol = protocols.load(metrics.protocol, metrics.networks)
    columns = load_metrics(metrics.columns, suite.task)
    # As many threads as the systems had: the same run scored twice gives the same digits.
    hearing = Hearing(device, threads=suite.run.threads, weights=metrics.weights)
    networks = networks_of(protocol, columns, hearing)
    names = recording_names(folder.clips)
    references: Sounds = {name: partial(decode, path) for path, name in names.items()}
    items = {clip.id: item_of(clip, names) for clip in folder.clips}
    heard = hear("references", references, networks, progress)
    seed, bootstrap = suite.run.seed, suite.run.bootstrap
    known = columns.metrics, columns.sources
    exam = Exam(items, protocol, networks, heard, seed, bootstrap, *known)
    choice = _read_choice(metrics, columns, suite.task)
    for condition in (*folder.conditions, CLEAN):
        rows = [row for row in folder.rows(condition=condition) if not row.repeat]
        entrants = [_read_entrant(folder, use, rows, condition) for use in suite.systems]
        trials = {(row.system, row.clip): row for row in rows}
        place = folder.scores_path(condition) / metrics_file.NAME
        place.parent.mkdir(parents=True, exist_ok=True)
        asked = choice if condition == CLEAN else choice.without_sanity()
        tell = progress if condition == CLEAN else _tell_condition(progress, condition)
        _write_scores(place, exam, entrants, references, asked, tell, trials, replace=replace)
    return folder.metrics_path


def _tell_condition(progress: Progress, condition: str) -> Progress:
    """Return a progress that names the condition beside the system."""
    return lambda what, done, of: progress(f"{what} ({condition})", done, of)


def check_networks(run: Path) -> None:
    """Raise what `score_run` would for networks and functions that are not there, before a run."""
    suite = RunFolder.open(run).suite
    metrics = suite.metrics
    hearing = Hearing(threads=suite.run.threads, weights=metrics.weights)
    protocol = protocols.load(metrics.protocol, metrics.networks)
    columns = load_metrics(metrics.columns, suite.task)
    for judge in networks_of(protocol, columns, hearing).values():
        # Both are read when they are first asked for, and raise for files that are not there.
        _ = judge.identity, judge.examination
    _read_choice(metrics, columns, suite.task)


def score_folders(
    reference: Path,
    outputs: Mapping[str, Path],
    captions: Path | None,
    out: Path,
    protocol: Protocol,
    *,
    columns: tuple[str, ...] | None = None,
    sanity: tuple[str, ...] | None = None,
    seed: int = 0,
    bootstrap: int = 1000,
    unpaired: bool = False,
    replace: bool = False,
    hearing: Hearing = ON_CPU,
    progress: Progress = silent,
) -> Path:
    """Score folders of WAVs against a folder of recordings; writes metrics.json into `out`.

    Clips are paired by file stem, or as the CSV `captions` (columns id, caption, reference) says.
    A file that is missing or broken counts as failed. `sanity` None: all its rows. Raises
    MissingError for a folder that is not there, StabenchError for a stem twice, a CSV without its
    columns, and, unless `replace`, where scores in `out` have a number which these lack.
    """
    check_reserved(outputs)
    systems = [wav_folder(name, Path(path)) for name, path in outputs.items()]
    recordings = wav_folder("reference", Path(reference))
    table = read_items(Path(captions)) if captions else Captions({}, named=False)
    pairs = pair(recordings, systems, table, unpaired)
    wanted = load_metrics(columns or protocol.columns)
    networks = networks_of(protocol, wanted, hearing)
    named_too = {name for item in pairs.items.values() for name in item.references}
    references = sounds(recordings, sorted(named_too | recordings.files.keys()))
    heard = hear("references", references, networks, progress)
    known = wanted.metrics, wanted.sources
    exam = Exam(pairs.items, protocol, networks, heard, seed, bootstrap, *known)
    entrants = [
        Entrant(each.name, each.name, UNSTATED, sounds(each, pairs.asked[each.name]))
        for each in systems
    ]
    out.mkdir(parents=True, exist_ok=True)
    rows = load_task(DEFAULT).sanity if sanity is None else sanity
    choice = Choice(wanted.names, load_rows(rows), notes=pairs.notes)
    place = out / metrics_file.NAME
    return _write_scores(place, exam, entrants, references, choice, progress, replace=replace)


def networks_of(protocol: Protocol, columns: Columns, hearing: Hearing) -> dict[str, Network]:
    """Return the networks that the columns need, by role."""
    return {
        role: network_of(role, protocol.networks[role], hearing)
        for role in needed_roles(columns.metrics[name] for name in columns.names)
        if role in protocol.networks
    }


def network_of(role: str, rule: Listening, hearing: Hearing, *, kept: bool = True) -> Network:
    """Return the network of a role; what it hears is `kept` in the cache folder, else in memory."""
    return network(
        role,
        rule,
        folder=cache_folder() / FEATURES if kept else None,
        device=hearing.device,
        precision=hearing.precision,
        threads=hearing.threads,
        options={} if hearing.weights == "published" else {"weights": hearing.weights},
    )


def recording_names(clips: tuple[Clip, ...]) -> dict[Path, str]:
    """Return a name for every recording of a dataset: its stem, or its path where stems repeat."""
    paths = list(dict.fromkeys(clip.reference for clip in clips if clip.reference))
    stems = Counter(path.stem for path in paths)
    return {path: path.stem if stems[path.stem] == 1 else str(path) for path in paths}


def item_of(clip: Clip, names: Mapping[Path, str]) -> Item:
    captions = clip.judged_by or ((clip.caption,) if clip.caption else ())
    references = (names[clip.reference],) if clip.reference else ()
    return Item(captions, references, clip.labels, clip.caption, clip.steps)


def _read_choice(metrics: Metrics, columns: Columns, task: str) -> Choice:
    """Return what a suite asks for, with the functions that ceiling, floor and rows name."""
    ceiling, floor = (
        registry.attribute(name) if name else None for name in (metrics.ceiling, metrics.floor)
    )
    return Choice(columns.names, load_rows(metrics.sanity), ceiling, floor, task=task)


def _read_entrant(folder: RunFolder, use: SystemUse, trials: list[Row], condition: str) -> Entrant:
    """Return what the first repeats under a condition, `trials`, say of one system.

    Of a system on random weights nothing is heard: its sounds say nothing.
    """
    rows = {row.clip: row for row in trials if row.system == use.name}
    done = {clip: row for clip, row in rows.items() if row.ok}
    failures = {
        clip.id: _explain_failure(rows.get(clip.id)) for clip in folder.clips if clip.id not in done
    }
    return Entrant(
        use.name,
        use.label or use.name,
        use.paradigm,
        {}
        if on_random_weights(folder, use)
        else {
            clip: partial(
                output_of,
                folder.audio_path(use.name, clip, condition),
                row.audio_sha256,
                row.rate_hz,
            )
            for clip, row in done.items()
            if row.audio_sha256
        },
        failures,
        {
            clip: row.text
            for clip, row in done.items()
            # What a system was told it did not hear: that is no transcript.
            if row.text is not None and use.paradigm not in folder.task.told
        },
        len(done),
        REFUSED if on_random_weights(folder, use) else None,
    )


def _explain_failure(row: Row | None) -> str:
    if row is None:
        return "not run; resume the run"
    return f"{row.error.kind}: {row.error.message}" if row.error else row.status


def output_of(path: Path, sha256: str, rate_hz: int | None) -> Audio:
    """Return a system's output.

    Raises AudioError when it is not the sound that the run returned.
    """
    audio = decode(path)
    if content_sha256(audio.samples) != sha256:
        raise AudioError(f"{path}: not the audio of the run (its sha256 differs); run again")
    if audio.rate_hz != rate_hz:
        raise AudioError(f"{path}: {audio.rate_hz} Hz, the run returned {rate_hz} Hz; run again")
    return audio


def _write_scores(
    path: Path,
    exam: Exam,
    entrants: list[Entrant],
    references: Sounds,
    choice: Choice,
    progress: Progress,
    trials: Mapping[tuple[str, str], Row] | None = None,
    *,
    replace: bool = False,
) -> Path:
    try:
        scores = sheet(exam, entrants, references, choice, progress)
    except ValueError as error:
        raise StabenchError(f"scoring: {error}") from error
    except FileNotFoundError as error:
        raise MissingError(f"scoring: {error}") from error
    if not replace:
        _check_nothing_lost(path, scores.content)
    table = clip_table(exam, scores.content.systems, trials or {}, load_task(choice.task))
    files.write_bytes(path.with_name(CLIP_TABLE), table)
    shares = influence_file.to_bytes(scores.influences)
    files.write_bytes(path.with_name(influence_file.NAME), shares)
    # Last: a new metrics.json never lies beside older tables.
    files.write_json(path, scores.content.model_dump(mode="json", by_alias=True))
    return path


def _check_nothing_lost(path: Path, scores: MetricsFile) -> None:
    """Raise StabenchError where the scores at `path` have a number that the new ones lack."""
    try:
        former = metrics_file.read(path.parent)
    except StabenchError:
        return  # nobody can read them any more
    if former is None:
        return
    lost = {}
    for kind in ("systems", "sanity"):
        rows = getattr(scores, kind)
        for name, row in getattr(former, kind).items():
            cells = rows[name].cells if name in rows else {}
            for column, cell in row.cells.items():
                new = cells.get(column, Estimate.missing("not scored any more"))
                if cell.value is not None and new.value is None:
                    lost[f"{column} of {name}"] = new.reason
    if lost:
        first, reason = next(iter(lost.items()))
        raise StabenchError(
            f"'{path}' has {counted(len(lost), 'number')} that these scores lack (first: {first}: "
            f"{reason}); nothing was written: mend that, score into another folder, or give "
            "--replace"
        )
