"""`make pocket` as a whole: tasks in their order, two at a time, and nothing lost by a kill."""

import json
import subprocess
import sys
import time

import pytest
import torch

from stabench.pocket.training import lanes
from stabench.pocket.training.plan import JUDGES, TASKS, Task
from stabench.systems.training.workplace import Workplace

WRITE = """
import pathlib, sys, time
log = pathlib.Path(sys.argv[1])
with log.open("a") as file:
    file.write(sys.argv[2] + "\\n")
time.sleep(float(sys.argv[3]))
sys.exit(int(sys.argv[4]))
"""


def task(name, *needs):
    return Task(name, needs, lambda work, weights: None)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run toy tasks, each a process that logs its name; `ends` are exit codes other than 0."""
    log = tmp_path / "log"
    work = Workplace(tmp_path / "work", torch.device("cpu"))

    def go(tasks, count=2, **ends):
        def start(task, *_):
            code = str(ends.get(task.name, 0))
            command = [sys.executable, "-c", WRITE, str(log), task.name, "0", code]
            return subprocess.Popen(command, stdin=subprocess.PIPE)

        monkeypatch.setattr(lanes, "_start", start)
        monkeypatch.setattr(lanes, "POLL_S", 0.01)
        code = lanes.run(tasks, work, tmp_path / "weights", count)
        begun = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return code, begun

    return go


@pytest.mark.parametrize("count", [1, 2])
def test_a_task_begins_when_what_it_needs_is_done(run, count):
    tasks = [task("c", "a", "b"), task("b", "a"), task("a")]
    assert run(tasks, count) == (0, ["a", "b", "c"])


def test_a_failure_ends_the_run_and_the_next_run_goes_on(run):
    tasks = [task("a"), task("b", "a"), task("c", "b")]
    assert run(tasks, b=3) == (3, ["a", "b"])
    assert run(tasks) == (0, ["b", "c"])
    assert run(tasks) == (0, [])


def test_what_a_task_needs_but_is_not_asked_for_does_not_hold_it(run):
    assert run([task("b", "elsewhere")]) == (0, ["b"])


def test_the_record_beside_the_weights_counts_every_attempt(run, tmp_path):
    tasks = [task("a"), task("b", "a")]
    run(tasks, b=1)
    assert not (tmp_path / "weights" / lanes.RECORD).exists()
    run(tasks)
    about = json.loads((tmp_path / "weights" / lanes.RECORD).read_text())
    assert {name: each["attempts"] for name, each in about["tasks"].items()} == {"a": 1, "b": 2}
    assert about["seed"] == 0
    assert about["wall_s"] > 0


def test_every_need_is_a_task_that_comes_before():
    names = [each.name for each in TASKS]
    assert len(set(names)) == len(names)
    for place, each in enumerate(TASKS):
        assert set(each.needs) <= set(names[:place])
    assert set(JUDGES) < set(names)


def test_a_task_ends_with_the_process_that_began_it(tmp_path):
    """A kill of the parent closes the pipe, and nothing goes on training unseen."""
    code = (
        "import threading, time; from stabench.pocket.training.__main__ import _end_with_parent;"
        "threading.Thread(target=_end_with_parent, daemon=True).start();"
        "print('on', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"on\n"
    began = time.monotonic()
    child.stdin.close()
    assert child.wait(30) == 1
    assert time.monotonic() - began < 30
    child.stdout.close()


@pytest.mark.slow
def test_a_task_may_fork_while_it_waits_for_the_end_of_its_parent(tmp_path):
    """Forks that make clips close their standard input, which the parent is reading."""
    options = {"--task": "corpus", "--device": "cpu", "--scale": "0.001", "--work": tmp_path}
    words = [str(word) for option in options.items() for word in option]
    child = subprocess.Popen(
        [sys.executable, "-m", "stabench.pocket.training", "--attached", *words],
        stdin=subprocess.PIPE,
    )
    assert child.wait(240) == 0
    child.stdin.close()
    assert (tmp_path / "corpus" / "train" / "done").exists()
