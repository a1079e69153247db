"""A run folder as the engine leaves it, made in milliseconds: sine events, journal, audio."""

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness import environment
from stabench.harness.datasets.dataset import Clip
from stabench.harness.runs import journal
from stabench.harness.runs.journal import Failure, Row, Span
from stabench.harness.runs.run_folder import DatasetRecord, Record, Request, RunFolder
from stabench.harness.suites.suite import parse
from stabench.metrics.audio import content_sha256, encode

LISTENERS = Path(__file__).with_name("listeners.py")
PITCH_HZ = {"low": 500, "middle": 2_000, "high": 3_500}
RATE_HZ = 16_000
EMBEDDERS = {
    "fad": f"{LISTENERS}:Frames",
    "tagger": f"{LISTENERS}:Tagger",
    "clap": f"{LISTENERS}:Matcher",
}
SYSTEMS = (
    ("cascade", "cascade", "Whisper + tones"),
    ("star", "end-to-end", "STAR"),
    ("oracle", "oracle", "Tones from the true caption"),
)


def tone(events: tuple[str, ...], rng: np.random.Generator, noise: float = 0.02) -> np.ndarray:
    """Half a second of the events' sines in noise, float32 [8000]."""
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    waves = [np.sin(2 * np.pi * PITCH_HZ[e] * time_s + rng.uniform(0, 6)) for e in events]
    gains = rng.uniform(0.15, 0.35, len(events))
    sound = sum(gain * wave for gain, wave in zip(gains, waves, strict=True))
    return (sound + noise * rng.standard_normal(len(time_s))).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """A float32 WAV, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(samples, rate_hz))
    return path


@cache
def machine() -> environment.Environment:
    """This machine, quiet; asking takes half a second."""
    known = environment.record(1)
    return replace(known, cpu_model="Some CPU", load_average=(0.1, 0.1, 0.1), git=None)


@dataclass
class FakeRun:
    """What to make: `folder` is the result. Systems differ in the noise of their outputs.

    Those of `deaf` make events at random, whatever a clip asks for.
    """

    root: Path
    n: int = 24
    systems: tuple[tuple[str, str, str], ...] = SYSTEMS
    noise: dict[str, float] = field(default_factory=lambda: {"cascade": 0.1, "star": 0.05})
    deaf: tuple[str, ...] = ()
    references: bool = True
    captions: bool = True
    failed: dict[str, list[str]] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    use: dict[str, Any] = field(default_factory=lambda: {"use": "recorded"})

    def make(self) -> RunFolder:
        """The folder with run.json, journal, audio and systems.json."""
        clips = [self._clip(index) for index in range(self.n)]
        record = Record(
            suite=parse("the test's suite", self._suite()),
            request=Request(**self.request),
            dataset=DatasetRecord(name="tones", version="1", n=len(clips), clips=tuple(clips)),
            environment=machine(),
            started_at="2026-11-20T10:00:00.000+00:00",
            finished_at="2026-11-20T10:05:00.000+00:00",
        )
        folder = RunFolder.create(self.root / "runs", record)
        rows = [row for name, *_ in self.systems for row in self._rows(folder, name, clips)]
        lines = [json.dumps(journal.to_json(row)) + "\n" for row in rows]
        folder.journal_path.write_text("".join(lines))
        for name, *_ in self.systems:
            folder.add_system(name, {"provenance": {"sha256": "0" * 64}, "sample_rate_hz": RATE_HZ})
        return folder

    def _suite(self) -> dict[str, Any]:
        columns = ["fad", "fd", "kl", "is", "clap", "recall"]
        return {
            "name": "tones",
            "title": "Tones, a test",
            "dataset": {"use": "folder"},
            "protocol": {"bootstrap": 100, **self.protocol},
            "metrics": {"columns": columns, "protocol": "pocket", **EMBEDDERS, **self.metrics},
            "system": [
                {"name": name, "label": label, "paradigm": paradigm, **self.use}
                for name, paradigm, label in self.systems
            ],
        }

    def _clip(self, index: int) -> Clip:
        """Clips are made in descending order of id: sorting is not the dataset's order."""
        rng = np.random.default_rng(index)
        events = tuple(rng.choice(list(PITCH_HZ), size=1 + index % 2, replace=False))
        name = f"clip{self.n - index:03}"
        path = self.root / "reference" / f"{name}.wav"
        reference = write_wav(path, tone(events, rng)) if self.references else None
        caption = f"A {' and a '.join(events)} tone." if self.captions else None
        return Clip(name, caption, None, reference, events)

    def _rows(self, folder: RunFolder, system: str, clips: list[Clip]) -> list[Row]:
        return [self._row(folder, system, clip, index) for index, clip in enumerate(clips)]

    def _row(self, folder: RunFolder, system: str, clip: Clip, index: int) -> Row:
        row = Row(system, clip.id, 0, False, "ok", seed=index)
        if clip.id in self.failed.get(system, ()):
            failure = Failure("timeout", "no answer within 120 s")
            return replace(row, status="failed", error=failure)
        rng = np.random.default_rng([index, len(system)])
        events = rng.choice(list(PITCH_HZ), size=1) if system in self.deaf else clip.labels
        samples = tone(tuple(events), rng, self.noise.get(system, 0.02))
        write_wav(folder.audio_path(system, clip.id), samples)
        represent_ns, generate_ns = (int(x) for x in rng.lognormal((16, 20), 0.2))
        text = self._text(system, clip)
        return replace(
            row,
            phase_ns={"represent": represent_ns, "generate": generate_ns},
            spans=(
                Span("represent", "asr" if text else "speech_encoder", represent_ns * 9 // 10),
                Span("generate", "sampler", generate_ns * 7 // 10),
                Span("generate", "decoder", generate_ns * 2 // 10),
            ),
            text=text,
            samples=len(samples),
            rate_hz=RATE_HZ,
            audio_sha256=content_sha256(samples),
        )

    def _text(self, system: str, clip: Clip) -> str | None:
        """What a system took for the caption: the cascade mishears a word, the oracle reads it."""
        if system == "star" or clip.caption is None:
            return None
        return clip.caption.replace("tone", "phone") if system == "cascade" else clip.caption
