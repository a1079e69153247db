"""Packing: one system of a scored run becomes an archive that anybody can check."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stabench.harness.errors import StabenchError, unknown
from stabench.harness.files import write_bytes
from stabench.harness.runs import journal, metrics_file
from stabench.harness.runs.run_folder import RunFolder, on_random_weights
from stabench.harness.schema import first_wrong
from stabench.harness.scoring import score
from stabench.harness.scoring.features import Progress
from stabench.harness.scoring.score import silent
from stabench.harness.submission import archive, cards, sources
from stabench.harness.submission.findings import HEARD, deviations
from stabench.harness.submission.schema import NAME, SCHEMA, About, Submission
from stabench.harness.submission.scorer import Scorer, Scores
from stabench.harness.submission.sources import Sources, encode_json, invalid_fields
from stabench.harness.tables import read_toml

AT_ONCE = "it does everything at once; a submission has a time of each phase"
REPLAYED = "it plays back sounds that were made elsewhere; submit a run of what makes them"
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
    """Read the about file.

    Raises MissingError without it, StabenchError for what is wrong in it.
    """
    what = f"about file '{path}'"
    missing = f"{what}: no such file; `stabench submit` without --about prints one"
    value = _collapse_spaces(read_toml(what, path, missing))
    try:
        # By way of JSON, whose lists a strict model takes for tuples; it takes no list of Python.
        about = About.model_validate_json(json.dumps(value), strict=True)
    except TypeError as error:
        raise StabenchError(f"{what}: not a TOML file of texts and numbers ({error})") from None
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, About)}") from None
    blank = next((key for key, text in value.items() if BLANK in str(text)), None)
    if blank:
        raise StabenchError(f"{what}: {blank} still says '{BLANK}'; say it in your own words")
    return about


def _collapse_spaces(value: Any) -> Any:
    """Put every text into one line: white space of any kind becomes one blank."""
    if isinstance(value, dict):
        return {key: _collapse_spaces(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_collapse_spaces(inner) for inner in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def submit(
    run: Path, out: Path, system: str, about: Path | None, progress: Progress = silent
) -> Path:
    """Pack one system of a scored run, every sound, into `out`, a folder or a .zip.

    Returns the archive; the same run gives the same bytes. Raises StabenchError for a run that
    cannot be submitted (not finished, not scored, random weights, too many failed clips, another
    dataset than the suite's) and, after printing an example, without `about`.
    """
    if about is None:
        print(EXAMPLE, end="")
        raise StabenchError("submit needs --about FILE.toml; fill in the example and give it")
    stated, folder = read_about(about), RunFolder.open(run)
    record = _read_sources(folder, system)
    _check(folder, record)
    scorer, scores = _score(folder, record, progress)
    files = sources.encode(record)
    try:
        submission = _fill_in(folder.path.name, record, stated, scorer, scores, files)
    except ValidationError as error:
        first = next(invalid_fields(NAME, error))
        raise StabenchError(f"run '{folder.path}': {first.field}: {first.message}") from None
    files[NAME] = encode_json(submission.model_dump(mode="json", by_alias=True))
    for clip in submission.outputs:
        files[f"audio/{clip}.wav"] = folder.audio_path(system, clip).read_bytes()
    path = out if out.suffix == ".zip" else out / f"{folder.path.name}-{system}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, archive.write(files))
    return path


def _read_sources(folder: RunFolder, system: str) -> Sources:
    """Read what a run says of one system. Raises StabenchError for an unknown one."""
    uses = {use.name: use for use in folder.suite.systems}
    if system not in uses:
        raise StabenchError(f"run '{folder.path}': {unknown('system', system, uses)}")
    suite = folder.suite.model_copy(update={"systems": (uses[system],)})
    record = folder.record.model_copy(update={"suite": suite})
    rows = [row for row in journal.read(folder.journal_path) if row.system == system]
    return Sources(record, folder.about_systems().get(system, {}), rows)


def _check(folder: RunFolder, packed: Sources) -> None:
    """Raise StabenchError with the first reason why this is nothing to submit."""
    record, use = packed.record, packed.record.suite.systems[0]
    done, asked = cards.first_rows(packed.rows), record.request
    lost = cards.failed_clips(packed.rows)
    allowed = record.suite.run.max_failed_share * record.dataset.n
    reasons = (
        (on_random_weights(folder, use), "it ran on random weights; they have no quality"),
        (asked.phase != "all", "--phase represent makes no sound; run all phases"),
        (any(journal.JOINED in name for row in packed.rows for name in row.phase_ns), AT_ONCE),
        (bool(packed.about.get("replays")), REPLAYED),
        (asked.limit is not None, f"--limit {asked.limit} left clips out; run the whole dataset"),
        (
            bool(record.suite.conditions),
            "it has conditions, a submission is of the clean speech; run with --condition clean",
        ),
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


def _score(folder: RunFolder, packed: Sources, progress: Progress) -> tuple[Scorer, Scores]:
    """Hear and score every sound as checking will.

    Raises StabenchError for a sound that is broken or not the run's, and when metrics.json is of
    other sounds, weights or rules.
    """
    record = packed.record
    system = record.suite.systems[0].name
    scorer = Scorer.load(record.suite, record.dataset.clips, progress, record.request.device)
    sounds = {
        clip: partial(
            score.output_of, folder.audio_path(system, clip), output.sha256, output.rate_hz
        )
        for clip, output in cards.output_cards(packed.rows).items()
    }
    heard = scorer.hear(sounds, progress)
    for clip, reason in heard.broken.items():
        raise StabenchError(f"clip '{clip}': {reason}")
    scores = scorer.score(heard, sources.read_transcripts(packed))
    metrics = metrics_file.read(folder.path)
    stored = metrics.systems.get(system) if metrics else None
    for column, card in scores.metrics.items():
        cell = stored.cells.get(column) if stored else None
        then = cell and (cell.value, cell.low, cell.high, cell.n)
        now = (card.value, card.low, card.high, card.n)
        if then is None or next(deviations("", "", then, now, HEARD), None):
            raise StabenchError(
                f"{folder.metrics_path}: {column} of '{system}' is not what its audio gives now; "
                "score the run again"
            )
    return scorer, scores


def _fill_in(
    name: str,
    packed: Sources,
    about: About,
    scorer: Scorer,
    scores: Scores,
    files: dict[str, bytes],
) -> Submission:
    """Fill in submission.json. Raises ValidationError where the run holds what it may not."""
    record, stated, rows = packed
    return Submission(
        schema=SCHEMA,
        system=cards.system_card(record, stated, about),
        suite=cards.suite_card(record.suite),
        dataset=cards.record_dataset(record),
        run=cards.run_card(name, record),
        hardware=cards.hardware_card(record, stated),
        scoring=scorer.scoring_card(),
        metrics=scores.metrics,
        latency=cards.latency_card(rows, record.suite),
        outputs={
            clip: output.model_copy(update={"values": scores.values.get(clip, {})})
            for clip, output in cards.output_cards(rows).items()
        },
        failed=cards.failed_clips(rows),
        files={key: hashlib.sha256(data).hexdigest() for key, data in files.items()},
        marks=cards.marks(record, rows),
    )
