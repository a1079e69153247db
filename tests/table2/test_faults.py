"""What goes wrong costs its own system alone, and is told in one line with the right exit code."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.cli import main
from stabench.harness.runs.run_folder import RunFolder
from tests.checkpoints.origin import empty_machine
from tests.table2 import machine
from tests.table2.conftest import TIMEOUT_S, Command

pytestmark = pytest.mark.timeout(TIMEOUT_S)
EXHAUSTED = Path(__file__).with_name("exhausted.py")
LIMIT = 2
FAULTY = {
    "star": "udit.safetensors: not a safetensors file",
    "oracle-tango2": "pytorch_model_main.bin is truncated (at 5000 bytes); delete it and fetch",
    "oracle-audioldm2": "MemoryError: cannot allocate 20 GiB",
    "star-nobridge": "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
}
HEALTHY = "star-dac"


def truncate(path: Path, size: int = 5000) -> None:
    """The first bytes of a linked file, in its place."""
    begin = path.read_bytes()[:size]
    path.unlink()
    path.write_bytes(begin)


def faulty(table: dict[str, Any]) -> None:
    """One healthy system and four of which each has a fault of its own."""
    machine.only(HEALTHY, *FAULTY)(table)
    for name, kind in {"oracle-audioldm2": "Bloated", "star-nobridge": "Exhausted"}.items():
        [system] = [system for system in table["system"] if system["name"] == name]
        system |= {"use": f"{EXHAUSTED}:{kind}", "options": {"weights": "weights/star-dac"}}


def last_line(stderr: str) -> str:
    """What the command ended with: the one line that is its error."""
    lines = stderr.strip().splitlines()
    assert [line for line in lines if line.startswith("stabench:")] == [lines[-1]], stderr
    return lines[-1]


@pytest.mark.slow
def test_truncated_checkpoints_and_full_memory_cost_their_own_rows(
    home: Path, table2: Path, stabench: Command
) -> None:
    truncate(home / "weights" / "star" / "udit.safetensors")
    truncate(home / "cache" / "weights" / "tango2" / "pytorch_model_main.bin")
    done = stabench(home, "run", machine.suite(home, faulty), "--limit", LIMIT, check=4)
    assert "2 of 2 clips failed, allowed is 0.04" in last_line(done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    run = RunFolder.open(home / "results" / "runs" / "latest")
    counts = {name: (ok, failed) for name, (ok, failed, _) in run.counts().items()}
    assert counts == {HEALTHY: (LIMIT, 0)} | dict.fromkeys(FAULTY, (0, LIMIT))
    for row in run.rows():
        if row.system in FAULTY:
            assert FAULTY[row.system] in row.error.message
            assert "\n" not in row.error.message
    assert healthy(run) == {
        clip: sha256
        for clip, sha256 in healthy(RunFolder.open(table2)).items()
        if clip in {clip.id for clip in run.clips}
    }
    cells = json.loads((run.path / "metrics.json").read_text())["systems"][HEALTHY]["cells"]
    assert cells["kl"]["value"] is not None
    missing_when_resumed(home, run, stabench)


def missing_when_resumed(home: Path, run: RunFolder, stabench: Command) -> None:
    """Weights that are gone by the next day end the run before its first clip."""
    before = run.journal_path.read_bytes()
    shutil.rmtree(home / "cache" / "weights" / "tango2")
    done = stabench(
        home, "run", "table2.toml", "--limit", LIMIT, "--resume", run.path.resolve(), check=3
    )
    assert "stabench weights fetch tango2 (licence CC-BY-NC-SA-4.0)" in last_line(done.stderr)
    assert run.journal_path.read_bytes() == before


def healthy(run: RunFolder) -> dict[str, str]:
    """sha256 of what the healthy system made of each clip."""
    return {row.clip: row.audio_sha256 for row in run.rows() if row.system == HEALTHY}


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        (
            "star-dac",
            {"weights": "audiocaps"},
            "audiocaps/config.json: no such file; a STAR",
        ),
        ("star-dac", {"weights": "nowhere"}, "nowhere/config.json: no such file; a STAR"),
        (
            "whisper-tango2",
            {"asr": {"weights": "audiocaps"}},
            "Whisper base: no file audiocaps/base.pt or audiocaps/whisper-base/base.pt",
        ),
        ("oracle-audit", {"weights": "audiocaps"}, "weights 'audit': "),
        ("oracle-audioldm2", {"weights": "audiocaps"}, "audiocaps/model_index.json: no such file"),
    ],
)
def test_a_wrong_directory_ends_the_run_before_its_first_clip(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    options: dict[str, Any],
    line: str,
) -> None:
    def change(table: dict[str, Any]) -> None:
        machine.only(name)(table)
        table["system"][0]["options"] = options

    path = machine.suite(home, change)
    said = called(home, monkeypatch, capsys, 3, "run", path, "--limit", 1, "--in-process")
    assert line in last_line(said)
    run = RunFolder.open(home / "results" / "runs" / "latest")
    assert run.rows() == []


def called(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    *words: object,
) -> str:
    """What the command, called in this process, says on standard error."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("STABENCH_CACHE", str(home / "cache"))
    monkeypatch.delenv("STABENCH_WEIGHTS", raising=False)
    monkeypatch.setattr(sys, "argv", ["stabench", *map(str, words)])
    assert main.main() == code
    return capsys.readouterr().err


@pytest.mark.slow
def test_networks_of_the_metrics_that_are_not_there_or_not_whole(
    home: Path,
    table2: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The run keeps everything; scored again, it has its numbers."""
    run = home / "run"
    shutil.copytree(table2.resolve(), run)
    tagger = home / "cache" / "weights" / "cnn14-16k" / "Cnn14_16k_mAP=0.438.pth"
    whole = tagger.read_bytes()
    truncate(tagger)
    said = called(home, monkeypatch, capsys, 2, "score", run)
    assert "Cnn14_16k_mAP=0.438.pth is truncated (at 5000 bytes)" in last_line(said)
    tagger.unlink()
    said = called(home, monkeypatch, capsys, 3, "score", run)
    assert "weights 'cnn14-16k': Cnn14_16k_mAP=0.438.pth not found" in last_line(said)
    assert len(whole) > 5000


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is here stays usable; what is not is told in one line each, licence first."""
    empty_machine(monkeypatch, tmp_path / "empty")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "argv", ["stabench", "weights", "fetch", "tango2", "audit"])
    assert main.main() == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0] == (
        "tango2: ?, licence CC-BY-NC-SA-4.0: no commercial use; adaptations are shared alike"
    )
    assert lines[1].startswith("  failed: declare-lab/tango2 ")
    assert "Connection refused); check network and proxy" in lines[1]
    assert lines[2].startswith("audit: ?, licence MIT")
    assert lines[-1] == (
        "stabench: 2 of 2 weights not fetched: tango2, audit; the lines above say why"
    )
    assert len(lines) == 5
    assert not list((tmp_path / "empty").rglob("*.bin"))
