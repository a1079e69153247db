"""Packing: one system of a scored run becomes an archive that anybody can check."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.files import write_bytes
from stabench.harness.runs import journal, metrics_file
from stabench.harness.runs.run_folder import RunFolder, on_random_weights
from stabench.harness.schema import first_wrong
from stabench.harness.scoring import score
from stabench.harness.scoring.features import Progress, Sounds
from stabench.harness.scoring.score import silent
from stabench.harness.submission import archive, cards, features_file, sources
from stabench.harness.submission import cards as draw
from stabench.harness.submission.findings import HEARD, deviations
from stabench.harness.submission.schema import (
    NAME,
    About,
    AudioCard,
    OutputCard,
    Submission,
    to_bytes,
)
from stabench.harness.submission.scorer import Judge, Verdict, with_values
from stabench.harness.submission.sources import Sources, invalid

BLANK = "FILL IN"
EXAMPLE = f"""\
# What the results alone do not say. Replace every "{BLANK}"; what is
# commented out may be left out.
version = "{BLANK}: the system's version or commit"
description = "{BLANK}: what the system is, in a few sentences"
authors = ["{BLANK}: names, in their order"]
contact = "{BLANK}: an address that questions reach"
licence = "{BLANK}: SPDX identifier of code and weights"
training_data = "{BLANK}: data sets, and whether any holds clips of the test set"
# parameters = 123000000  # of all networks at inference

# [links]
# paper = "https://..."
# code = "https://..."
"""


def read_about(path: Path) -> About:
    """The about file. Raises MissingError without it, StabenchError for what is wrong in it."""
    what = f"about file '{path}'"
    try:
        value = _collapsed(tomllib.loads(path.read_text("utf-8")))
        about = About.model_validate_json(json.dumps(value), strict=True)
    except FileNotFoundError:
        raise MissingError(
            f"{what}: no such file; `stabench submit` without --about prints one"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise StabenchError(f"{what}: not a TOML file of texts and numbers ({error})") from None
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, About)}") from None
    if field := _blank(value):
        raise StabenchError(f"{what}: {field} still says '{BLANK}'; say it in your own words")
    return about


def _collapsed(value: Any) -> Any:
    """Every text in one line: white space of any kind becomes one blank."""
    if isinstance(value, dict):
        return {key: _collapsed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_collapsed(inner) for inner in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _blank(value: dict[str, Any]) -> str | None:
    return next((key for key, text in value.items() if BLANK in str(text)), None)


Audio = Literal["sample", "all"]


class Packed(NamedTuple):
    """What the submission is made of."""

    sources: Sources
    judge: Judge
    verdict: Verdict
    files: dict[str, bytes]


def submit(
    run: Path,
    out: Path,
    system: str,
    about: Path | None,
    audio: Audio = "sample",
    progress: Progress = silent,
) -> Path:
    """Pack one system of a scored run into `out`, a folder or a .zip; returns the archive.

    The same run gives the same bytes. Raises StabenchError for a run that cannot be submitted (not
    finished, not scored, random weights, too many failed clips, another dataset than the suite's)
    and, after printing an example, without `about`.
    """
    if about is None:
        print(EXAMPLE, end="")
        raise StabenchError("submit needs --about FILE.toml; fill in the example and give it")
    told, folder = read_about(about), RunFolder.open(run)
    found = _sources(folder, system)
    _check(folder, found)
    sounds = _sounds(folder, found)
    packed = _packed(folder, found, sounds, progress)
    outputs = with_values(cards.outputs(found.rows), packed.verdict.values)
    try:
        submission = _submission(folder.path.name, packed, outputs, told, audio)
    except ValidationError as error:
        first = next(invalid(NAME, error))
        raise StabenchError(f"run '{folder.path}': {first.field}: {first.message}") from None
    kept = {f"audio/{clip}.wav": folder.audio_path(system, clip) for clip in submission.audio.clips}
    files = {name: path.read_bytes() for name, path in kept.items()}
    path = out if out.suffix == ".zip" else out / f"{folder.path.name}-{system}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {NAME: to_bytes(submission), **packed.files, **files}
    write_bytes(path, archive.write(content))
    return path


def _sources(folder: RunFolder, system: str) -> Sources:
    uses = {use.name: use for use in folder.suite.systems}
    if system not in uses:
        raise StabenchError(f"run '{folder.path}': {unknown('system', system, uses)}")
    suite = folder.suite.model_copy(update={"systems": (uses[system],)})
    record = folder.record.model_copy(update={"suite": suite})
    rows = [row for row in journal.read(folder.journal_path) if row.system == system]
    return Sources(record, folder.about_systems().get(system, {}), rows)


def _check(folder: RunFolder, found: Sources) -> None:
    """Raises StabenchError with the first reason why this is nothing to submit."""
    record, use = found.record, found.record.suite.systems[0]
    done, asked = cards.first_rows(found.rows), record.request
    lost = cards.failed(found.rows)
    allowed = record.suite.protocol.max_failed_share * record.dataset.n
    reasons = (
        (on_random_weights(folder, use), "it ran on random weights; they have no quality"),
        (asked.phase != "all", "--phase represent makes no sound; run all phases"),
        (asked.limit is not None, f"--limit {asked.limit} left clips out; run the whole dataset"),
        (asked.speech is not None, "--speech replaced the suite's dataset; run without it"),
        (len(done) < record.dataset.n, f"{len(done)} of {record.dataset.n} clips ran; resume it"),
        (record.finished_at is None, "the run has not finished; resume it"),
        (len(lost) == len(done), "no clip has an output"),
        (len(lost) > allowed, f"{len(lost)} clips failed, the suite allows {allowed:g}; resume it"),
        (not folder.metrics_path.exists(), "the run is not scored; stabench score RUN"),
    )
    for holds, reason in reasons:
        if holds:
            raise StabenchError(f"system '{use.name}' of run '{folder.path}': {reason}")


def _sounds(folder: RunFolder, found: Sources) -> Sounds:
    name = found.record.suite.systems[0].name
    return {
        clip: partial(score.output_of, folder.audio_path(name, clip), one.sha256, one.rate_hz)
        for clip, one in cards.outputs(found.rows).items()
    }


def _packed(folder: RunFolder, found: Sources, sounds: Sounds, progress: Progress) -> Packed:
    """Hear and judge everything as checking will, and see that metrics.json says the same."""
    record = found.record
    judge = Judge.of(record.suite, record.dataset.clips, progress, record.request.device)
    heard = judge.hear(sounds, progress)
    for clip, reason in heard.broken.items():
        raise StabenchError(f"clip '{clip}': {reason}")
    features = {
        role: dict(zip(heard.keys, heard.features(role, [*heard.keys]), strict=True))
        for role in judge.roles
    }
    use = record.suite.systems[0]
    verdict = judge.verdict(features, sources.transcripts(found))
    _agree(folder, use.name, verdict)
    files = {**sources.encode(found), features_file.NAME: features_file.encode(features)}
    return Packed(found, judge, verdict, files)


def _agree(folder: RunFolder, system: str, verdict: Verdict) -> None:
    """Raises StabenchError when metrics.json is of other sounds, weights or rules."""
    metrics = metrics_file.read(folder.path)
    scored = metrics.systems.get(system) if metrics else None
    for column, card in verdict.metrics.items():
        cell = scored.cells.get(column) if scored else None
        then = cell and (cell.value, cell.low, cell.high, cell.n)
        now = (card.value, card.low, card.high, card.n)
        if then is None or next(deviations("", "", then, now, HEARD), None):
            raise StabenchError(
                f"{folder.metrics_path}: {column} of '{system}' is not what its audio gives now; "
                "score the run again"
            )


def _submission(
    name: str, packed: Packed, outputs: Mapping[str, OutputCard], told: About, audio: Audio
) -> Submission:
    record, about, rows = packed.sources
    files = {key: hashlib.sha256(data).hexdigest() for key, data in packed.files.items()}
    return Submission(
        schema=1,
        system=cards.system_card(record, about, told),
        suite=cards.suite_card(record.suite),
        dataset=cards.record_dataset(record),
        run=cards.run_card(name, record),
        hardware=cards.hardware_card(record),
        scoring=packed.judge.scoring(),
        metrics=packed.verdict.metrics,
        latency=cards.latency_card(rows, record.suite),
        outputs=dict(outputs),
        failed=cards.failed(rows),
        audio=audio_card(outputs, files, audio),
        files=files,
        marks=cards.marks(record, rows),
    )


def audio_card(
    outputs: Mapping[str, OutputCard], files: Mapping[str, str], audio: Audio
) -> AudioCard:
    """The root of all claims, and the clips whose sounds it puts into the package."""
    root = draw.root({clip: one.sha256 for clip, one in outputs.items()}, files)
    size = len(outputs) if audio == "all" else draw.SAMPLE
    return AudioCard(rule=audio, root=root, clips=draw.drawn(root, outputs, size))
