"""Worker processes: how they die, hang and talk out of turn, and that none outlives its engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runner import worker_process
from stabench.harness.runner.adapter import LoadFailed, Order
from stabench.harness.runner.worker import SCRATCH, Job
from stabench.harness.runner.worker_process import WorkerLost, WorkerProcess

ROOT = Path(__file__).resolve().parents[3]
TOYS = Path(__file__).parents[1] / "toys.py"
LONG_S = 60.0


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(None, 1, tmp_path / "worker.log")
    yield process
    process.kill()


def _order(tmp_path: Path, **options: Any) -> Order:
    audio = tmp_path / "audio"
    audio.mkdir(exist_ok=True)
    return Order("toy", f"{TOYS}:Toy", options, "cpu", "float32", 1, str(audio), "all")


def _job(speech: Path, clip: str = "clip0") -> Job:
    return Job(clip, 0, False, 1, str(speech / f"{clip}.wav"), None)


def _load(worker: WorkerProcess, order: Order) -> dict[str, Any]:
    worker.begin(order)
    return worker.ready(LONG_S)


def _gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_worker_does_what_the_one_in_process_does(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    assert _load(worker, _order(tmp_path))["sample_rate_hz"] == 16_000
    [first] = worker.run([_job(speech)], LONG_S)
    [again] = worker.run([_job(speech)], LONG_S)
    assert first.ok
    assert first.audio_sha256 == again.audio_sha256
    assert (tmp_path / "audio/clip0.wav").is_file()
    worker.close()
    assert not worker.alive()


def test_prints_of_a_system_go_to_the_log(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    _load(worker, _order(tmp_path, fault="print"))
    assert worker.run([_job(speech)], LONG_S)[0].ok
    worker.close()
    assert (tmp_path / "worker.log").read_text() == "this is no JSON\nnor is this\n"


@pytest.mark.parametrize(("fault", "line"), [("kill", "SIGKILL"), ("exit", "exit code 7")])
@pytest.mark.parametrize("where", ["load", "represent", "generate"])
def test_a_death_is_told_with_its_signal_or_code(
    worker: WorkerProcess, tmp_path: Path, speech: Path, fault: str, line: str, where: str
) -> None:
    def load_and_run() -> None:
        _load(worker, _order(tmp_path, fault=fault, where=where))
        worker.run([_job(speech)], LONG_S)

    with pytest.raises(WorkerLost, match=line) as caught:
        load_and_run()
    assert caught.value.kind == "worker-died"
    assert not worker.alive()


def test_a_hang_is_ended_with_all_that_it_started(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    marker = tmp_path / "pids"
    _load(worker, _order(tmp_path, fault="hang", marker=str(marker)))
    with pytest.raises(WorkerLost, match="no answer within 2 s") as caught:
        worker.run([_job(speech)], 2)
    assert caught.value.kind == "timeout"
    pids = [int(pid) for pid in marker.read_text().split()]
    assert pids[0] == worker.pid
    _wait_until_gone(pids[1])
    said = str(caught.value)
    assert "in clip clip0, at toys.py, line " in said
    assert "in generate, then toys.py, line " in said
    assert said.endswith(f"in _hang; stabench killed the worker ({tmp_path.name}/worker.log)")


def test_the_last_words_of_a_worker_are_told_with_its_log(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    _load(worker, _order(tmp_path, fault="words"))
    with pytest.raises(WorkerLost) as caught:
        worker.run([_job(speech)], LONG_S)
    assert str(caught.value) == (
        "the worker died in clip clip0: exit code 7, its last words: no licence for this model "
        f"({tmp_path.name}/worker.log)"
    )


def test_words_of_an_earlier_clip_are_not_the_last(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    _load(worker, _order(tmp_path, fault="raise"))
    assert not worker.run([_job(speech)], LONG_S)[0].ok
    assert "out of" in (tmp_path / "worker.log").read_text()
    os.kill(worker.pid, signal.SIGTERM)
    with pytest.raises(WorkerLost, match="SIGTERM, without a word"):
        worker.run([_job(speech)], LONG_S)


def test_a_segmentation_fault_is_told_with_its_place(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    _load(worker, _order(tmp_path, fault="segfault"))
    with pytest.raises(
        WorkerLost, match=r"SIGSEGV \(segmentation fault\) at toys.py, line"
    ) as caught:
        worker.run([_job(speech)], LONG_S)
    assert "in string_at" in str(caught.value)


def test_a_death_is_noticed_although_a_child_holds_the_pipe(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    marker = tmp_path / "pids"
    _load(worker, _order(tmp_path, fault="fork", marker=str(marker)))
    with pytest.raises(WorkerLost, match="the worker died in clip clip0: SIGKILL"):
        worker.run([_job(speech)], LONG_S)
    _wait_until_gone(int(marker.read_text().split()[1]))


def test_a_worker_that_closes_its_pipe_and_lives_is_said_to_be_killed_by_us(
    worker: WorkerProcess, tmp_path: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "GRACE_S", 0.1)
    _load(worker, _order(tmp_path, fault="close"))
    with pytest.raises(WorkerLost, match=r"closed the pipe of its replies .*; stabench killed it"):
        worker.run([_job(speech)], LONG_S)
    assert not worker.alive()


def test_what_is_no_reply_is_quoted(worker: WorkerProcess, tmp_path: Path, speech: Path) -> None:
    _load(worker, _order(tmp_path, fault="garbage"))
    with pytest.raises(WorkerLost, match="something wrote 'this is no reply' into the pipe"):
        worker.run([_job(speech)], LONG_S)
    assert not worker.alive()


def test_a_worker_that_died_while_idle_says_how(worker: WorkerProcess, tmp_path: Path) -> None:
    _load(worker, _order(tmp_path))
    os.kill(worker.pid, signal.SIGKILL)
    # Not by /proc: it calls a process a zombie while threads of it still end. The time limit of
    # the test ends this when the process stays.
    while worker.alive():
        time.sleep(0.01)
    assert str(worker.death()).startswith("the worker died while loading: SIGKILL")


def test_a_worker_that_can_run_no_more_is_replaced_for_its_reason(
    worker: WorkerProcess, tmp_path: Path, speech: Path
) -> None:
    target = f"{TOYS}:Whole"
    _load(worker, _order(tmp_path, fault="broken")._replace(target=target))
    assert worker.run([_job(speech)], LONG_S)[0].ok
    assert not worker.alive()
    assert "stabench ended the worker, which could run no further" in str(worker.death())


def test_a_workers_folder_goes_with_it(worker: WorkerProcess, tmp_path: Path) -> None:
    _load(worker, _order(tmp_path))
    [name] = [
        entry.removeprefix(f"{SCRATCH}=".encode())
        for entry in _environment(worker.pid)
        if entry.startswith(f"{SCRATCH}=".encode())
    ]
    scratch = Path(os.fsdecode(name))
    (scratch / "left").write_text("behind")
    worker.kill()
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"fualt": ""}, StabenchError),
        ({"fault": "missing", "where": "load"}, MissingError),
        ({"fault": "raise", "where": "load"}, LoadFailed),
    ],
)
def test_a_refusal_crosses_the_pipe_as_what_it_is(
    worker: WorkerProcess, tmp_path: Path, options: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error, match="system 'toy'") as caught:
        _load(worker, _order(tmp_path, **options))
    assert type(caught.value) is error
    assert not worker.alive()


def test_a_disk_error_crosses_the_pipe(worker: WorkerProcess, tmp_path: Path, speech: Path) -> None:
    _load(worker, _order(tmp_path))
    (tmp_path / "audio").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        worker.run([_job(speech)], LONG_S)
    assert str(tmp_path / "audio") in str(caught.value.filename)


def test_an_interpreter_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"interpreter '/no/python' cannot be run"):
        WorkerProcess("/no/python", 1, tmp_path / "log")


def test_another_interpreter_can_run_a_system(tmp_path: Path, speech: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "{tmp_path}/used"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    worker = WorkerProcess(str(python), 1, tmp_path / "log")
    _load(worker, _order(tmp_path))
    assert worker.run([_job(speech)], LONG_S)[0].ok
    worker.close()
    assert (tmp_path / "used").exists()


def test_files_of_the_users_folder_do_not_shadow_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics.py").write_text("raise SystemExit('not mine')")
    monkeypatch.chdir(tmp_path)
    worker = WorkerProcess(None, 1, tmp_path / "log")
    assert _load(worker, _order(tmp_path))["sample_rate_hz"] == 16_000
    worker.kill()


def test_the_number_of_threads_is_set_before_the_worker_starts(tmp_path: Path) -> None:
    worker = WorkerProcess(None, 3, tmp_path / "log")
    given = _environment(worker.pid)
    worker.kill()
    for name in ("OMP", "MKL", "OPENBLAS"):
        assert f"{name}_NUM_THREADS=3".encode() in given


def _environment(pid: int) -> list[bytes]:
    """What a process was started with; a child that has not begun its program yet shows nothing."""
    path, deadline = Path(f"/proc/{pid}/environ"), time.monotonic() + LONG_S
    while not (found := path.read_bytes()) and time.monotonic() < deadline:
        os.sched_yield()
    return found.split(b"\0")


ENGINE = """
import json, os, sys
from pathlib import Path
from stabench.harness.runner.adapter import Order
from stabench.harness.runner.worker import Job
from stabench.harness.runner.worker_process import WorkerProcess
order, job, log = json.loads(sys.argv[1])
worker = WorkerProcess(None, 1, Path(log))
worker.begin(Order(*order))
worker.ready(60)
print(worker.pid, flush=True)
if job:
    worker.run([Job(*job)], 60)
sys.stdin.read()
"""


@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_ends_when_its_engine_is_killed(tmp_path: Path, speech: Path, busy: bool) -> None:
    marker = tmp_path / "pids"
    order = _order(tmp_path, fault="hang", marker=str(marker))
    value = json.dumps([order, _job(speech) if busy else None, str(tmp_path / "log")])
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, value],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as engine:
        pid = int(engine.stdout.readline())
        while busy and not (marker.exists() and marker.read_text()):
            os.sched_yield()
        engine.kill()
    _wait_until_gone(pid)
    if busy:  # with what the system had started
        _wait_until_gone(int(marker.read_text().split()[1]))


def _wait_until_gone(pid: int) -> None:
    """The time limit of the test ends this when the process stays."""
    while not _gone(pid):
        time.sleep(0.01)
