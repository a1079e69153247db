"""`kill -9` of the engine and of workers at random moments, then --resume: as if undisturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from stabench.harness.runs.journal import Key, Row
from stabench.harness.runs.run_folder import RunFolder

KILLS = (1, pytest.param(10, marks=pytest.mark.slow))
RUN = "import sys; from stabench.harness.cli.main import main; sys.exit(main())"


class Command:
    """`stabench run` in a process of its own."""

    def __init__(self, cwd: Path, environment: dict[str, str], *words: object) -> None:
        self._log = (cwd / "stabench.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, "run", *map(str, words)],
            cwd=cwd,
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )

    def wait(self) -> int:
        code = self.process.wait(timeout=120)
        self._log.close()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Command]:
    return lambda *words: Command(tmp_path, environment, *words)


@pytest.fixture
def path(suite: Callable[..., Path]) -> Path:
    """Two systems, 24 clips in all, a few dozen milliseconds each; nothing to score."""
    return suite({"a": {"spin_ms": 10}, "b": {"spin_ms": 20}}, repeats=2, block=2)


def _results(folder: RunFolder) -> dict[Key, str | None]:
    return {row.key: row.audio_sha256 for row in folder.rows() if row.ok}


def _lines(folder: RunFolder) -> list[dict]:
    """Every line of the journal, repeated keys too."""
    text = folder.journal_path.read_text() if folder.journal_path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _check_same(folder: RunFolder, undisturbed: RunFolder) -> None:
    """The same results, each exactly once, and the same files."""
    assert _results(folder) == _results(undisturbed)
    done = Counter(
        (line["system"], line["clip"], line["repeat"])
        for line in _lines(folder)
        if line["status"] == "ok" and not line["warmup"]
    )
    assert set(done.values()) == {1}
    assert _audio(folder) == _audio(undisturbed)


def _audio(folder: RunFolder) -> dict[str, bytes]:
    root = folder.path / "audio"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*")}


def _until(condition: Callable[[], object], command: Command) -> None:
    """Look until the condition holds or the command has ended."""
    while command.process.poll() is None and not condition():
        with suppress(subprocess.TimeoutExpired):
            command.process.wait(timeout=0.01)


def _look_for(duration_s: float, command: Command) -> None:
    end_s = time.monotonic() + duration_s
    _until(lambda: time.monotonic() >= end_s, command)


@pytest.fixture
def undisturbed(tmp_path: Path, start: Callable[..., Command], path: Path) -> RunFolder:
    assert start(path, "--out", tmp_path / "calm").wait() == 0
    return RunFolder.open("latest", tmp_path / "calm")


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_engine_ends_with_the_same_results(
    tmp_path: Path, start: Callable[..., Command], path: Path, undisturbed: RunFolder, kills: int
) -> None:
    """Each engine dies somewhere within its next few rows, at any point of a row."""
    chance = random.Random(1)
    runs = tmp_path / "runs"
    command = start(path, "--out", runs)
    _until(lambda: (runs / "latest").exists(), command)
    folder = RunFolder.open("latest", runs)
    for _ in range(kills):
        rows = len(_lines(folder)) + chance.randrange(4)
        _until(lambda enough=rows: len(_lines(folder)) >= enough, command)
        _look_for(chance.uniform(0, 0.05), command)
        command.kill()
        command = start(path, "--resume", folder.path)
    assert command.wait() == 0
    _check_same(folder, undisturbed)


@pytest.mark.parametrize("kills", KILLS)
def test_killed_workers_fail_their_clip_only_and_resume_repairs_it(
    tmp_path: Path, start: Callable[..., Command], path: Path, undisturbed: RunFolder, kills: int
) -> None:
    chance = random.Random(2)
    runs = tmp_path / "runs"
    command = start(path, "--out", runs)
    _until(lambda: (runs / "latest").exists(), command)
    folder = RunFolder.open("latest", runs)
    for _ in range(kills):
        _look_for(chance.uniform(0, 0.1), command)
        workers = _running_workers(command)
        if not workers:
            assert command.wait() == 4
            command = start(path, "--resume", folder.path)
            workers = _running_workers(command)
        _kill(chance.choice(workers))
    assert command.wait() in (0, 4)
    failed = [row for row in folder.rows() if not row.ok]
    assert {row.error.kind for row in failed} <= {"worker-died", "gave-up"}
    assert all("SIGKILL" in row.error.message for row in failed if row.error.kind != "gave-up")
    assert start(path, "--resume", folder.path).wait() == 0
    _check_same(folder, undisturbed)


def _running_workers(command: Command) -> list[int]:
    """The workers of a command as soon as there are any; none when it has ended."""
    _until(lambda: _workers(command.process.pid), command)
    return _workers(command.process.pid)


def _workers(engine: int) -> list[int]:
    """The children of the engine that run harness.runner.worker."""
    try:
        children = Path(f"/proc/{engine}/task/{engine}/children").read_text().split()
        return [int(pid) for pid in children if _is_worker(int(pid))]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_worker(pid: int) -> bool:
    return b"stabench.harness.runner.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_row_is_whole(undisturbed: RunFolder) -> None:
    """What the comparisons above rest on: the undisturbed run is complete and has audio."""
    rows: list[Row] = undisturbed.rows()
    assert len(rows) == 2 * 6 * 2
    assert all(row.ok and row.audio_sha256 for row in rows)
    assert len(_audio(undisturbed)) == 12
