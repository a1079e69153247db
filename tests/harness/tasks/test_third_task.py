"""A third task in one file: what it takes, and that nothing else knows tasks by name.

Somebody speaks, and the system says it again, in another voice: two stages, `listen` and `repeat`,
with times, columns, paradigms and an order of differences of their own.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.cli import main
from stabench.harness.runs.results import Results
from stabench.harness.tasks.task import Column, Phase, Task, load_task
from stabench.metrics.audio import encode
from stabench.systems.contract import Representation, Spans, Utterance, Waveform

TASK = Task(
    name="echo",
    phases=(
        Phase("listen", Column("listening", "Listening", "us", "lower", 0, "latency"), 1e3),
        Phase("repeat", Column("repeating", "Repeating", "ms", "lower", 1, "latency"), 1e6),
    ),
    columns=(
        Column("kl", "KL", "", "lower", 2, "quality"),
        Column("fd", "FD", "", "lower", 2, "quality"),
    ),
    paradigms=("parrot", "pupil"),
    minuends=("pupil", "parrot"),
    told=("pupil",),
)
CLIPS = 12
RATE_HZ = 16_000
LISTENERS = Path(__file__).parents[1] / "listeners.py"


def set_times(run: Path, slower: float) -> None:
    """Give every row times that no machine decides: the parrot repeats `slower` times as long."""
    journal = run / "journal.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    rng = np.random.default_rng(len(rows))
    for row in rows:
        share = slower if row["system"] == "parrot" else 1.0
        listen, repeat = (int(ns) for ns in rng.normal((200_000, 400_000 * share), 2_000))
        row["phase_ns"] = {"listen": listen, "repeat": repeat}
        for span in row["spans"]:
            span["wall_ns"] = row["phase_ns"][span["phase"]] * 9 // 10
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Parrot:
    """Says what it heard, with `noise`."""

    sample_rate = RATE_HZ
    speech_rate_hz = RATE_HZ

    def __init__(self, noise: float = 0.0) -> None:
        self._noise = noise

    def load(self, device: str, dtype: str) -> None: ...

    def listen(self, speech: Utterance, spans: Spans) -> Representation:
        with spans("ear"):
            return Representation(speech.samples)

    def repeat(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        with spans("beak"):
            return [
                Waveform(self._say(one.payload, seed), self.sample_rate)
                for one, seed in zip(representations, seeds, strict=True)
            ]

    def _say(self, samples: np.ndarray, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal(len(samples))
        return (samples + self._noise * noise).astype(np.float32)


def command(*words: str | Path) -> int:
    """`stabench WORDS`, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["stabench", *map(str, words)])
        return main.main()


def write_suite(folder: Path, parrot: dict[str, float]) -> Path:
    """A suite of two systems over twelve tones, as TOML."""
    rng = np.random.default_rng(0)
    (folder / "speech").mkdir(exist_ok=True)
    for number in range(CLIPS):
        pitch_hz = (500, 2_000, 3_500)[number % 3]
        sound = 0.3 * np.sin(2 * np.pi * pitch_hz * np.arange(RATE_HZ // 2) / RATE_HZ)
        sound += 0.02 * rng.standard_normal(len(sound))
        wav = encode(sound.astype(np.float32), RATE_HZ)
        (folder / "speech" / f"c{number:02}.wav").write_bytes(wav)
    here = Path(__file__).resolve()
    path = folder / "echo.toml"
    path.write_text(
        f"""
name = "echo"
task = "{here}:TASK"
notes = ["Parrots of other cages may say it otherwise."]
[dataset]
use = "folder"
speech = "{folder / "speech"}"
reference = "{folder / "speech"}"
[protocol]
bootstrap = 100
threads = 1
[metrics]
columns = ["kl", "fd"]
protocol = "pocket"
fad = "{LISTENERS}:Frames"
tagger = "{LISTENERS}:Tagger"
[[system]]
name = "parrot"
paradigm = "parrot"
use = "{here}:Parrot"
options = {json.dumps(parrot).replace(":", " =")}
[[system]]
name = "pupil"
paradigm = "pupil"
use = "{here}:Parrot"
"""
    )
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs of the suite, the second with a parrot that is slower and worse."""
    folder = tmp_path_factory.mktemp("echo")
    for name, noise, slower in (("old", 0.05, 1.0), ("new", 0.3, 3.0)):
        suite = write_suite(folder, {"noise": noise})
        assert command("run", suite, "--out", folder / name) == 0
        set_times((folder / name / "latest").resolve(), slower)
    return {name: (folder / name / "latest").resolve() for name in ("old", "new")}


def test_its_phases_are_timed_and_its_columns_are_scored(runs: dict[str, Path]) -> None:
    results = Results.read(runs["old"])
    rows = results.timed("parrot")
    assert len(rows) == CLIPS
    assert [tuple(row.phase_ns) for row in rows] == [("listen", "repeat")] * CLIPS
    assert {span.name for row in rows for span in row.spans} == {"ear", "beak"}
    cells = results.metrics.systems["pupil"].cells
    assert cells["kl"].value == pytest.approx(0.0, abs=1e-6)
    assert results.metrics.systems["parrot"].cells["kl"].value > 0
    assert {(d.a, d.b) for d in results.metrics.paired} == {("pupil", "parrot")}


def test_its_report_has_its_columns_and_groups(runs: dict[str, Path]) -> None:
    text = (runs["old"] / "report.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| System"))
    assert [cell.strip() for cell in head.split("|")[2:-1]] == [
        *("clips", "Listening (us) ↓", "Repeating (ms) ↓", "Total (s) ↓", "RTF ↓", "KL ↓", "FD ↓")
    ]
    assert text.index("Parrot") < text.index("Pupil")
    assert "Processing" not in text
    assert "- Parrots of other cages may say it otherwise." in text
    assert command("report", runs["old"]) == 0
    page = (runs["old"] / "report.html").read_text()
    assert "Listening" in page
    assert "■&nbsp;parrot, ●&nbsp;pupil, ▲&nbsp;unstated." in page
    assert "Pupil: drawn, and does not compete." in page
    assert "Processing" not in page


def test_two_runs_of_it_are_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    code = command("compare", runs["old"], runs["new"], "--out", tmp_path)
    systems = json.loads((tmp_path / "compare.json").read_text())["systems"]
    words = {
        (system["new"], line["key"]): line["verdict"]
        for system in systems
        for line in system["lines"]
    }
    assert words["parrot", "repeating"] == "regressed"
    assert words["pupil", "repeating"] == "same"
    assert words["parrot", "repeat/beak"] == "regressed"
    assert words["parrot", "kl"] == "regressed"
    assert words["pupil", "kl"] == "same"
    assert code == 1


def test_a_gate_guards_what_it_times(runs: dict[str, Path], tmp_path: Path) -> None:
    baseline, policy = tmp_path / "baseline.json.gz", tmp_path / "gate.toml"
    assert command("baseline", runs["old"], "--out", baseline) == 0
    gate = ["gate", runs["new"], "--baseline", baseline, "--policy", policy]
    policy.write_text('[latency]\nphases = ["repeating"]\n')
    assert command(*gate, "--out", tmp_path) == 1
    checks = json.loads((tmp_path / "gate.json").read_text())["checks"]
    words = {(one["system"], one["metric"]): one["verdict"] for one in checks}
    assert words["parrot", "repeating"] == "regressed"
    assert ("parrot", "listening") not in words
    policy.write_text('[latency]\nphases = ["generation"]\n')
    assert command(*gate) == 2


def test_it_can_stop_after_its_first_phase(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    suite, out = write_suite(tmp_path, {}), tmp_path / "runs"
    run = ["run", suite, "--out", out, "--limit", "2", "--system", "parrot"]
    assert command(*run, "--phase", "listen") == 0
    assert [list(row.phase_ns) for row in Results.read(out / "latest").trials] == [["listen"]] * 2
    assert command(*run, "--phase", "represent") == 2
    assert "unknown phase 'represent'" in capsys.readouterr().err


def test_what_its_suite_says_wrong_is_told_by_the_task(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    suite = write_suite(tmp_path, {})
    text = suite.read_text()
    for right, wrong, line in (
        ('paradigm = "pupil"', 'paradigm = "oracle"', "unknown paradigm 'oracle'"),
        ("[metrics]", '[metrics]\nsanity = ["noise"]', "unknown sanity row 'noise'"),
        (":TASK", ":TSAK", "unknown attribute 'TSAK'; did you mean 'TASK'?"),
        (":TASK", ":CLIPS", "is int; give a stabench.harness.tasks.task.Task"),
    ):
        suite.write_text(text.replace(right, wrong))
        assert command("run", suite, "--out", tmp_path / "runs") == 2
        assert line in capsys.readouterr().err


def test_a_task_that_cannot_be_run_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1 phases"):
        Task("one", TASK.phases[:1], (), (), ())
    with pytest.raises(ValueError, match="minuends"):
        Task("odd", TASK.phases, (), ("a", "b"), ("a",))
    assert load_task("speech_to_audio").phase_names == ("represent", "generate")
