"""Runs the tasks of a plan, some at a time, and keeps a record of what was done and how long."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from stabench.harness.environment import cpu_model
from stabench.pocket.training.plan import Task
from stabench.systems.training.workplace import Workplace

POLL_S = 0.2
KEEP_S = 15
RECORD = "training.json"


@dataclass
class Lane:
    """A running task and its process, since `began` (seconds of the monotonic clock)."""

    task: Task
    process: subprocess.Popen
    began: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Close the process's standard input, which is a pipe."""
        assert self.process.stdin is not None
        self.process.stdin.close()


class Record:
    """What every task took, over all attempts, and the whole run; a JSON file in the workplace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.tasks: dict[str, dict] = kept.get("tasks", {})
        self.wall_s: float = kept.get("wall_s", 0.0)

    def done(self, name: str) -> bool:
        return self.tasks.get(name, {}).get("finished", False)

    def begin(self, name: str) -> None:
        """Count an attempt."""
        task = self.tasks.setdefault(name, {"seconds": 0.0, "attempts": 0, "finished": False})
        task["attempts"] += 1
        self._write()

    def spend(self, names: Sequence[str], seconds: float) -> None:
        """Add time to the run, idle lanes and all, and to the tasks that were running."""
        self.wall_s = round(self.wall_s + seconds, 3)
        for name in names:
            self.tasks[name]["seconds"] = round(self.tasks[name]["seconds"] + seconds, 3)
        self._write()

    def finish(self, name: str) -> None:
        """Note that a task need not be run again."""
        self.tasks[name]["finished"] = True
        self._write()

    def _write(self) -> None:
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"wall_s": self.wall_s, "tasks": self.tasks}, indent=1) + "\n")
        part.replace(self.path)


def run(tasks: Sequence[Task], work: Workplace, weights: Path, count: int) -> int:
    """Run `tasks`, at most `count` at a time, each when what it needs is done.

    Returns the exit code: 0, or that of the first task that failed (no other is begun after it). A
    task that is interrupted goes on where it last saved when it is run again.
    """
    work.folder.mkdir(parents=True, exist_ok=True)
    weights.mkdir(parents=True, exist_ok=True)
    record = Record(work.folder / "tasks.json")
    names = {task.name for task in tasks}
    waiting = [task for task in tasks if not record.done(task.name)]
    running: list[Lane] = []
    kept, code = time.monotonic(), 0

    def keep(since: float) -> float:
        now = time.monotonic()
        record.spend([lane.task.name for lane in running], now - since)
        return now

    try:
        while running or (waiting and not code):
            ready = [
                task
                for task in waiting
                if not code and all(record.done(need) for need in task.needs if need in names)
            ]
            for task in ready[: count - len(running)]:
                waiting.remove(task)
                kept = keep(kept)
                record.begin(task.name)
                running.append(Lane(task, _start(task, work, weights, count)))
            time.sleep(POLL_S)
            ended = [lane for lane in running if lane.process.poll() is not None]
            # Now and then, so that a kill of this process forgets little.
            if ended or time.monotonic() - kept > KEEP_S:
                kept = keep(kept)
            for lane in ended:
                running.remove(lane)
                code = code or lane.process.returncode
                _finish(lane, record)
    finally:
        for lane in running:
            lane.process.kill()
            lane.process.wait()
            lane.close()
        keep(kept)
    if not code:
        _ship(record, work, weights, count)
    return code


def _start(task: Task, work: Workplace, weights: Path, count: int) -> subprocess.Popen:
    threads = max(1, (os.cpu_count() or 1) // count)
    options = {
        "--task": task.name,
        "--device": work.device.type,
        "--seed": work.seed,
        "--scale": work.scale,
        "--work": work.root,
        "--weights": weights,
    }
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "stabench.pocket.training", "--attached", *words]
    print(f"== {task.name} begins", flush=True)
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    # The pipe closes when this process dies, even by a kill, and the task ends with it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)


def _finish(lane: Lane, record: Record) -> None:
    lane.close()
    seconds = time.monotonic() - lane.began
    good = lane.process.returncode == 0
    if good:
        record.finish(lane.task.name)
    end = "done" if good else f"ended with code {lane.process.returncode}"
    print(f"== {lane.task.name} {end} after {seconds:.0f} s", flush=True)


def _ship(record: Record, work: Workplace, weights: Path, count: int) -> None:
    """Leave beside the weights how they came about."""
    about = {
        "seed": work.seed,
        "scale": work.scale,
        "device": work.device.type,
        "processor": cpu_model(),
        "lanes": count,
        "torch": torch.__version__,
        "wall_s": record.wall_s,
        "tasks": record.tasks,
    }
    (weights / RECORD).write_text(json.dumps(about, indent=1) + "\n")
