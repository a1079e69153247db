"""Scoring: a run folder, or folders of WAV files, into metrics.json. One pass over the audio."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness import atomic, registry
from harness.dataset import Clip, read_captions
from harness.device import limit_threads
from harness.errors import MissingError, StabenchError
from harness.exam import Exam
from harness.features import Heard, Network, Progress, Sounds, hear, network
from harness.figures import counted
from harness.journal import Row
from harness.run_folder import RunFolder
from harness.sanity import ROWS, Reconstruct
from harness.scores import Choice, Entrant, scores
from harness.suite import Metrics, SystemUse
from harness.wav_folders import WavFolder, sounds, wav_folder
from metrics.audio import Audio, AudioError, content_sha256, decode
from metrics.declarations import METRICS

EMBEDDERS = {"fad": "pocket-vggish", "tagger": "pocket-cnn14", "clap": "pocket-clap"}
"""What folders are scored with, by registered name, when nothing else is asked for."""
FOLDER_COLUMNS = ("fad", "fd", "kl", "is", "clap")
FEATURES = "features"


def silent(_what: str, _done: int, _of: int) -> None:
    """Progress for nobody."""


def score_run(run: Path, progress: Progress = silent, device: str = "cpu") -> Path:
    """Score every system of a run and write its metrics.json; returns where.

    Clips that failed, were not run, or whose audio is broken are counted, never replaced. Raises
    MissingError for weights that are not there, StabenchError for names that are not known.
    """
    folder = RunFolder.open(run)
    suite = folder.suite
    networks = _networks(_embedders(suite.metrics), folder.path / FEATURES, device)
    # As many as the systems had: the same run scored twice gives the same digits.
    limit_threads(suite.protocol.threads)
    references: Sounds = {
        clip.id: partial(decode, clip.reference) for clip in folder.clips if clip.reference
    }
    heard = _references(references, networks, progress)
    clips = {clip.id: clip for clip in folder.clips}
    protocol = suite.protocol
    exam = Exam(clips, networks, heard, protocol.seed, protocol.bootstrap)
    choice = Choice(
        tuple(suite.metrics.columns), tuple(suite.metrics.sanity), _ceiling(suite.metrics)
    )
    entrants = [_entrant(folder, use) for use in suite.systems]
    return _write(folder.metrics_path, exam, entrants, references, choice, progress)


def score_folders(
    reference: Path,
    outputs: Mapping[str, Path],
    captions: Path | None,
    out: Path,
    embedders: Mapping[str, str] = EMBEDDERS,
    *,
    sanity: tuple[str, ...] = ROWS,
    seed: int = 0,
    bootstrap: int = 1000,
    channels: str = "first",
    progress: Progress = silent,
    device: str = "cpu",
) -> Path:
    """Score folders of WAVs against a folder of recordings, paired by file stem; writes `out`.

    The clips are the stems of `reference`. `captions` is a CSV with columns id, caption. A file
    that is missing or broken counts as failed. Raises MissingError for a folder that is not there,
    StabenchError for a stem twice or a CSV without these columns.
    """
    recordings = wav_folder("reference", Path(reference))
    systems = [wav_folder(name, Path(path)) for name, path in outputs.items()]
    texts = read_captions(Path(captions)) if captions else {}
    clips = {
        stem: Clip(stem, texts.get(stem) or None, None, path)
        for stem, path in recordings.files.items()
    }
    networks = _networks(embedders, out / FEATURES, device)
    wanted = sounds(recordings, clips, channels)
    exam = Exam(clips, networks, _references(wanted, networks, progress), seed, bootstrap)
    choice = Choice(FOLDER_COLUMNS, sanity, None, channels, _notes(clips, texts, systems))
    entrants = [
        Entrant(each.name, each.name, "unstated", sounds(each, clips, channels)) for each in systems
    ]
    out.mkdir(parents=True, exist_ok=True)
    return _write(out / "metrics.json", exam, entrants, wanted, choice, progress)


def _networks(embedders: Mapping[str, str], kept: Path, device: str) -> dict[str, Network]:
    return {role: network(role, name, kept, device) for role, name in embedders.items()}


def _embedders(metrics: Metrics) -> dict[str, str]:
    """Role -> name of the networks that the suite's columns need."""
    needed = {role for column in metrics.columns for role in METRICS[column].needs}
    named = {"fad": metrics.fad, "tagger": metrics.tagger, "clap": metrics.clap}
    return {role: name for role, name in named.items() if name and role in needed}


def _references(recordings: Sounds, networks: dict[str, Network], progress: Progress) -> Heard:
    return hear("references", recordings, list(networks.values()), progress)


def _ceiling(metrics: Metrics) -> Reconstruct | None:
    """The function behind the suite's `ceiling`, "module:function"."""
    name = metrics.ceiling
    return registry.attribute(name) if name else None


def _entrant(folder: RunFolder, use: SystemUse) -> Entrant:
    """What the journal says of one system's first repeat of each clip."""
    rows = {row.clip: row for row in folder.rows() if row.system == use.name and not row.repeat}
    done = {clip: row for clip, row in rows.items() if row.ok}
    failures = {clip.id: _reason(rows.get(clip.id)) for clip in folder.clips if clip.id not in done}
    return Entrant(
        use.name,
        use.label or use.name,
        use.paradigm,
        {
            clip: partial(_output, folder.audio_path(use.name, clip), row.audio_sha256)
            for clip, row in done.items()
            if row.audio_sha256
        },
        failures,
        {
            clip: row.text
            for clip, row in done.items()
            if row.text is not None and use.paradigm != "oracle"
        },
        len(done),
    )


def _reason(row: Row | None) -> str:
    if row is None:
        return "not run; resume the run"
    return f"{row.error.kind}: {row.error.message}" if row.error else row.status


def _output(path: Path, sha256: str) -> Audio:
    """A system's output. Raises AudioError when it is not the sound that the run returned."""
    audio = decode(path)
    if content_sha256(audio.samples) != sha256:
        raise AudioError(f"{path}: not the audio of the run (its sha256 differs); run again")
    return audio


def _notes(
    clips: Mapping[str, Clip], texts: Mapping[str, str], systems: list[WavFolder]
) -> tuple[str, ...]:
    """What was given and could not be used."""
    notes = [
        f"{folder.name}: {counted(len(extra), 'file')} without a reference left out "
        f"(first: {extra[0]})"
        for folder in systems
        if (extra := sorted(folder.files.keys() - clips.keys()))
    ]
    mute = [name for name, clip in clips.items() if not clip.caption]
    if texts and mute:
        notes.append(f"{counted(len(mute), 'clip')} without a caption (first: {mute[0]})")
    return tuple(notes)


def _write(
    path: Path,
    exam: Exam,
    entrants: list[Entrant],
    references: Sounds,
    choice: Choice,
    progress: Progress,
) -> Path:
    content: dict[str, Any] = _one_line(exam, entrants, references, choice, progress)
    atomic.write_json(path, content)
    return path


def _one_line(exam: Exam, *given: Any) -> dict[str, Any]:
    """The scores; what a metric refuses ends in one line."""
    try:
        return scores(exam, *given)
    except ValueError as error:
        raise StabenchError(f"scoring: {error}") from error
    except FileNotFoundError as error:
        raise MissingError(f"scoring: {error}") from error
