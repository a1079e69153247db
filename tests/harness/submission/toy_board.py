"""A scored toy run, its submission, and forgeries of it, for the tests of the board."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness.datasets.dataset import Clip, Dataset, clip_seed
from stabench.harness.runs import journal
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from stabench.harness.submission import archive, cards
from stabench.harness.submission.check import check_package
from stabench.harness.submission.findings import Broken, Finding
from stabench.harness.submission.pack import submit
from stabench.harness.submission.package import open_package
from stabench.harness.submission.schema import FORMER_FEATURES, NAME
from stabench.metrics.audio import content_sha256, decode, encode
from tests.harness.fake_run import RATE_HZ, FakeRun, write_wav

HERE = Path(__file__)
LISTENERS = HERE.parents[1] / "listeners.py"
SYSTEM = "cascade"
ABOUT = """\
version = "1.0"
description = "Tones of the events that a recogniser heard."
authors = ["A. Author", "B. Author"]
contact = "author@example.org"
licence = "Apache-2.0"
training_data = "None."
parameters = 3
[links]
paper = "https://example.org/paper"
"""
STARTED = datetime(2026, 11, 20, 10, tzinfo=UTC)


def tones(folder: str) -> Dataset:
    """The toy dataset: what FakeRun made in `folder`, with a second of speech a clip."""
    place = Path(folder)
    rows = json.loads((place / "clips.json").read_text())
    return Dataset("tones", "1", tuple(_clip(place, *row) for row in rows))


def _clip(place: Path, name: str, caption: str, labels: list[str]) -> Clip:
    files = (place / kind / f"{name}.wav" for kind in ("speech", "reference"))
    return Clip(name, caption, *files, tuple(labels))


@dataclass
class Toy:
    """A run of the toy suite, and the suite file that checking reads."""

    place: Path
    run: RunFolder
    suite: Path

    def submit(self, system: str = SYSTEM) -> Path:
        """The packed submission."""
        about = self.place / "about.toml"
        about.write_text(ABOUT)
        return submit(self.run.path, self.place, system, about)

    def check(self, path: Path | None = None, **options: Any) -> list[Finding]:
        """What a check against the toy suite finds in a package, or in this run's."""
        try:
            return check_package(
                open_package(path or self.submit()), suite=str(self.suite), **options
            )
        except Broken as fault:
            return fault.findings

    def forgery(self) -> "Forgery":
        """The submission's files, to be tampered with."""
        with zipfile.ZipFile(self.submit()) as file:
            return Forgery(self.place, {name: file.read(name) for name in file.namelist()})


def toy(
    place: Path,
    sound: Callable[[Path, int], np.ndarray] | None = None,
    **how: Any,
) -> Toy:
    """Make and score a run; `sound(reference, index)` replaces a system's outputs."""
    made = FakeRun(place, systems=((SYSTEM, "cascade", "Whisper + tones"),), **how).make()
    clips = [[clip.id, clip.caption, list(clip.labels)] for clip in made.clips]
    (place / "clips.json").write_text(json.dumps(clips))
    for name, *_ in clips:
        write_wav(place / "speech" / f"{name}.wav", _speech(name))
    use = {"use": f"{HERE}:tones", "folder": str(place)}
    _rewrite(made, place, use, sound)
    run = RunFolder.open(made.path)
    score_run(run.path)
    return Toy(place, run, _suite(place, run))


def _speech(name: str) -> np.ndarray:
    """A second of noise, another for every clip."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).uniform(-0.5, 0.5, RATE_HZ).astype(np.float32)


def _rewrite(made: RunFolder, place: Path, use: dict[str, str], sound: Any) -> None:
    """Put dataset, seeds, moments and sounds into what FakeRun left."""
    record = json.loads((made.path / "run.json").read_text())
    record["suite"]["dataset"] = use
    record["environment"]["packages"] = {"stabench": "0.1.0"}
    for clip in record["dataset"]["clips"]:
        clip["speech"] = str(place / "speech" / f"{clip['id']}.wav")
    (made.path / "run.json").write_text(json.dumps(record))
    rows, moment = [], STARTED + timedelta(seconds=5)
    for index, row in enumerate(made.rows()):
        seed = clip_seed(record["suite"]["run"]["seed"], row.clip, row.repeat)
        wall_ns = sum(row.phase_ns.values())
        moment += timedelta(microseconds=wall_ns / 1e3 + 3_000)
        text = moment.isoformat(timespec="milliseconds")
        row = replace(row, seed=seed, finished_at=text, speech_s=1.0 if row.ok else None)
        if sound and row.ok:
            samples = sound(place / "reference" / f"{row.clip}.wav", index)
            write_wav(made.audio_path(row.system, row.clip), samples)
            row = replace(row, samples=len(samples), audio_sha256=content_sha256(samples))
        rows.append(row)
    lines = [json.dumps(journal.to_json(row)) + "\n" for row in rows]
    made.journal_path.write_text("".join(lines))


def _suite(place: Path, run: RunFolder) -> Path:
    """The run's suite as TOML."""
    suite = run.suite
    tables = {
        "dataset": {"use": suite.dataset.use, **suite.dataset.options},
        "protocol": suite.run.model_dump(mode="json"),
        "metrics": suite.metrics.model_dump(mode="json"),
    }
    lines = [f'name = "{suite.name}"']
    for name, table in tables.items():
        kept = {key: value for key, value in table.items() if value is not None}
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in kept.items())]
    lines += ["[[system]]", f'name = "{SYSTEM}"', 'paradigm = "cascade"', 'use = "recorded"']
    path = place / "tones.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def age_row(row: dict[str, Any]) -> None:
    """Name the phases of a row as they were before there were tasks."""
    times = row.pop("phase_ns")
    row |= {f"{phase}_ns": times.get(phase) for phase in ("represent", "generate")}


@dataclass
class Forgery:
    """Files of a submission by name; `claims` and `rows` are edited, then sealed or not."""

    place: Path
    files: dict[str, bytes]

    @property
    def claims(self) -> dict[str, Any]:
        return json.loads(self.files[NAME])

    def claim(self, field: str, value: Any) -> "Forgery":
        """Set a dotted field of submission.json; a callable gets the old value."""
        claims = self.claims
        *way, last = field.split("/")
        place = claims
        for key in way:
            place = place[key]
        place[last] = value(place[last]) if callable(value) else value
        self.files[NAME] = json.dumps(claims).encode()
        return self

    def rows(self, edit: Callable[[dict[str, Any]], Any], seal: bool = True) -> "Forgery":
        """Edit every journal row; sealed, the latencies follow."""
        rows = [json.loads(line) for line in self.files["journal.jsonl"].splitlines()]
        for row in rows:
            edit(row)
        self.files["journal.jsonl"] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        return self.time().seal() if seal else self

    def time(self) -> "Forgery":
        """Make the latencies those of the journal, as a clever forger would."""
        rows = [journal.from_json(json.loads(x)) for x in self.files["journal.jsonl"].splitlines()]
        record = RunFolder.open(next((self.place / "runs").glob("tones-*")))
        card = cards.latency_card(rows, record.suite).model_dump(mode="json")
        return self.claim("latency", card)

    def seal(self) -> "Forgery":
        """Make the hashes fit the files again, and leave only the sounds of the outputs."""
        claims = self.claims
        sounds = {f"audio/{clip}.wav" for clip in claims["outputs"]}
        self.files = {
            name: data
            for name, data in self.files.items()
            if name in sounds or not name.startswith("audio/")
        }
        return self.claim(
            "files",
            {name: hashlib.sha256(self.files[name]).hexdigest() for name in claims["files"]},
        )

    def age(self, rule: str = "all") -> "Forgery":
        """Turn it into a package of schema 1, of every sound or of a sample of 16."""
        clips = sorted(self.claims["outputs"])[: None if rule == "all" else 16]
        unheard = {f"audio/{clip}.wav" for clip in self.claims["outputs"]} - {
            f"audio/{clip}.wav" for clip in clips
        }
        self.files = {name: data for name, data in self.files.items() if name not in unheard}
        self.rows(age_row, seal=False).seal()
        self.files[FORMER_FEATURES] = b"tensors"
        sha256 = hashlib.sha256(b"tensors").hexdigest()
        self.claim("files", lambda files: files | {FORMER_FEATURES: sha256})
        self.claim("audio", {"rule": rule, "root": "6" * 64, "clips": clips})
        return self.claim("schema", 1)

    def replace(self, name: str, data: bytes, new: str | None = None) -> "Forgery":
        """Put other bytes in a file's place, under a `new` name if wanted."""
        del self.files[name]
        self.files[new or name] = data
        return self

    def sound(self, clip: str, samples: np.ndarray, rate_hz: int = RATE_HZ) -> "Forgery":
        """Put another sound into the package."""
        return self.replace(f"audio/{clip}.wav", encode(samples.astype(np.float32), rate_hz))

    def write(self) -> Path:
        """The archive."""
        path = self.place / f"forged-{os.getpid()}.zip"
        path.write_bytes(archive.write(self.files))
        return path


def recording(path: Path, _index: int) -> np.ndarray:
    """A cheat's output: the reference itself."""
    return decode(path).samples
