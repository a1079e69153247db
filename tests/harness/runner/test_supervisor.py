"""The supervisor, with a worker that follows a script of deaths and answers."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from stabench.harness.errors import MissingError
from stabench.harness.runner.adapter import LoadFailed, Order
from stabench.harness.runner.supervisor import MOST_DEATHS, Limits, Supervisor
from stabench.harness.runner.worker import Job
from stabench.harness.runner.worker_process import WorkerLost
from stabench.harness.runs.journal import Row

ORDER = Order("toy", "toys:Toy", {}, "cpu", "float32", 1, "audio", "all")


class Script:
    """Workers that die on the clips in `deadly`; `loads` says how each load goes."""

    def __init__(self, deadly: set[str] = frozenset(), loads: Sequence[object] = ()) -> None:
        self.deadly = deadly
        self.loads = list(loads)
        self.started = 0
        self.began = 0
        self.asked: list[tuple[list[str], float]] = []
        self.workers: list[ScriptedWorker] = []

    def connect(self) -> "ScriptedWorker":
        self.started += 1
        self.workers.append(ScriptedWorker(self))
        return self.workers[-1]


class ScriptedWorker:
    def __init__(self, script: Script) -> None:
        self._script = script
        self.living = True

    def alive(self) -> bool:
        return self.living

    def death(self) -> WorkerLost:
        return WorkerLost("worker-died", "the worker died while idle: exit code 3")

    def begin(self, order: Order) -> None:
        self._script.began += 1

    def ready(self, timeout_s: float) -> dict[str, Any]:
        outcome = self._script.loads.pop(0) if self._script.loads else None
        if isinstance(outcome, Exception):
            raise outcome
        return {"load": self._script.started}

    def run(self, jobs: Sequence[Job], timeout_s: float) -> list[Row]:
        clips = [job.clip for job in jobs]
        self._script.asked.append((clips, timeout_s))
        if self._script.deadly.intersection(clips):
            self.living = False
            raise WorkerLost("worker-died", "the worker died: SIGSEGV")
        return [Row("toy", job.clip, job.repeat, job.warmup, "ok", job.seed) for job in jobs]

    def close(self) -> None:
        self.living = False

    kill = close


def _job(clip: str, warmup: bool = False, repeat: int = 0) -> Job:
    return Job(clip, repeat, warmup, 1, None, None)


def _warmups() -> Iterator[Job]:
    return (_job("warm", True, number) for number in count())


def _supervisor(script: Script, warmups: int = 0) -> Supervisor:
    return Supervisor(ORDER, script.connect, _warmups(), Limits(300, 2, warmups))


def _run(supervisor: Supervisor, clips: str) -> list[Row]:
    return [row for clip in clips for rows in supervisor.run([_job(clip)]) for row in rows]


def _outcome(rows: list[Row]) -> dict[str, str]:
    return {row.clip: row.error.kind if row.error else "ok" for row in rows if not row.warmup}


def test_a_death_fails_its_clip_and_the_next_gets_a_new_worker() -> None:
    script = Script({"b"})
    rows = _run(_supervisor(script), "abc")
    assert _outcome(rows) == {"a": "ok", "b": "worker-died", "c": "ok"}
    assert rows[1].error.message == "the worker died: SIGSEGV"
    assert script.started == 2


def test_all_clips_of_a_batch_in_hand_fail() -> None:
    script = Script({"b"})
    [rows] = _supervisor(script).run([_job(clip) for clip in "abc"])
    assert _outcome(rows) == dict.fromkeys("abc", "worker-died")
    assert script.asked[0][1] == 6


def test_a_new_worker_is_warmed_up_again_under_new_keys() -> None:
    rows = _run(_supervisor(Script({"b"}), warmups=2), "abc")
    assert [row.clip for row in rows] == ["warm", "warm", "a", "b", "warm", "warm", "c"]
    assert len({row.key for row in rows}) == len(rows)


def test_after_three_deaths_in_a_row_the_rest_fails_at_once_for_one_reason() -> None:
    script = Script(set("abcdefgh"))
    rows = _run(_supervisor(script), "abcdefgh")
    kinds = list(_outcome(rows).values())
    assert kinds == ["worker-died"] * MOST_DEATHS + ["gave-up"] * 5
    assert script.started == MOST_DEATHS
    assert len({row.error.message for row in rows[MOST_DEATHS:]}) == 1
    assert "SIGSEGV" in rows[-1].error.message


def test_deaths_that_are_not_in_a_row_do_not_end_a_system() -> None:
    kinds = _outcome(_run(_supervisor(Script(set("abdeghjk"))), "abcdefghijkl"))
    assert [clip for clip, kind in kinds.items() if kind == "ok"] == list("cfil")
    assert "gave-up" not in kinds.values()


def test_warm_ups_that_succeed_do_not_hide_deaths_in_a_row() -> None:
    script = Script(set("abcdef"))
    kinds = _outcome(_run(_supervisor(script, warmups=1), "abcdef"))
    assert list(kinds.values()) == ["worker-died"] * 3 + ["gave-up"] * 3


def test_warm_ups_that_kill_end_the_system() -> None:
    script = Script({"warm"})
    rows = _run(_supervisor(script, warmups=1), "ab")
    assert _outcome(rows) == {"a": "gave-up", "b": "gave-up"}
    assert script.started == MOST_DEATHS


def test_a_worker_that_died_while_idle_costs_no_clip() -> None:
    script = Script()
    supervisor = _supervisor(script)
    rows = _run(supervisor, "a")
    script.workers[-1].living = False
    rows += _run(supervisor, "b")
    assert _outcome(rows) == {"a": "ok", "b": "ok"}
    assert script.started == 2


def test_workers_that_die_while_idle_are_given_up_for_their_own_reason() -> None:
    script = Script()
    supervisor = _supervisor(script)
    supervisor.start()
    for _ in range(MOST_DEATHS):
        script.workers[-1].living = False
        supervisor.start()
    [row] = _run(supervisor, "a")
    assert row.error.message.endswith("the last: the worker died while idle: exit code 3")


def test_a_worker_that_was_begun_is_the_one_that_is_used() -> None:
    script = Script()
    supervisor = _supervisor(script)
    supervisor.begin()
    assert (script.started, script.began) == (1, 1)
    assert _outcome(_run(supervisor, "ab")) == {"a": "ok", "b": "ok"}
    assert (script.started, script.began) == (1, 1)


def test_a_load_that_fails_fails_every_clip_with_its_reason() -> None:
    script = Script(loads=[LoadFailed("system 'toy': RuntimeError: no")])
    rows = _run(_supervisor(script), "abc")
    assert {row.error for row in rows} == {("load-failed", "system 'toy': RuntimeError: no")}
    assert script.started == 1


def test_a_load_that_dies_is_tried_three_times() -> None:
    death = WorkerLost("worker-died", "the worker died: SIGKILL")
    assert _outcome(_run(_supervisor(Script(loads=[death, death])), "a")) == {"a": "ok"}
    script = Script(loads=[death] * 5)
    assert _outcome(_run(_supervisor(script), "ab")) == {"a": "gave-up", "b": "gave-up"}
    assert script.started == MOST_DEATHS


def test_what_is_missing_ends_the_run_before_it_starts_but_not_in_the_middle() -> None:
    with pytest.raises(MissingError):
        _supervisor(Script(loads=[MissingError("no weights")])).start()
    script = Script({"a"}, loads=[None, MissingError("no weights")])
    rows = _run(_supervisor(script), "abc")
    assert _outcome(rows) == {"a": "worker-died", "b": "load-failed", "c": "load-failed"}
