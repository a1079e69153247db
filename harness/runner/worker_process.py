"""A worker process as the engine holds it: started, asked over its pipes, killed, reaped."""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from stabench.harness.environment import START
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import plain
from stabench.harness.profiling.profile import Profile
from stabench.harness.runner.adapter import LoadFailed, Order
from stabench.harness.runner.interpreters import add_remedy, environment, find_program
from stabench.harness.runner.last_words import (
    ASK,
    describe_ending,
    find_last_words,
    find_place,
    measure_log,
    read_since,
)
from stabench.harness.runner.worker import SCRATCH, Job, Worker
from stabench.harness.runs import journal
from stabench.harness.runs.journal import Row

SOURCE = START.parents[1]
REFUSALS = {"missing": MissingError, "usage": StabenchError, "load-failed": LoadFailed}
# How often a worker that does not answer is looked at.
POLL_S = 0.5
# How long a worker may take to end by itself when its pipe or its input has closed.
GRACE_S = 5.0
# How long a worker may take to say where it is.
STACK_S = 2.0
# Bytes that are shown of what is no reply.
LONGEST_QUOTE = 60


class WorkerLost(Exception):
    """The process ended, or was ended, while it had work; `kind` is that of the failed rows."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class WorkerProcess:
    """One worker (runner/worker.py) in a process group of its own, its prints in `log`.

    `python` may name another interpreter. Raises MissingError when that cannot be started.
    """

    def __init__(self, python: str | None, threads: int, log: Path) -> None:
        self._python, self._log = python, log
        self._scratch = tempfile.mkdtemp(prefix="stabench-")
        command = [find_program(python), str(START), "stabench.harness.runner.worker"]
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    # `select` sees what is in the pipe, but nothing that Python has buffered.
                    env={**environment(threads, python), SCRATCH: self._scratch},
                    bufsize=0,
                    # Its own group, so that it can be killed with all that it started, and so
                    # that Ctrl-C on the terminal reaches the engine alone.
                    start_new_session=True,
                )
        except OSError as error:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise MissingError(f"interpreter '{python}' cannot be run: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._received = bytearray()
        self._doing = "while it started"
        self._log_start = measure_log(log)
        self._lost: WorkerLost | None = None
        self._ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        if self._process.poll() is None:
            return True
        self.kill()
        return False

    def death(self) -> WorkerLost:
        """Return how a process that is not alive ended: by its last words, or by our own hand."""
        self.kill()
        return self._lost or self._describe_death()

    def begin(self, order: Order) -> None:
        """Have the system loaded; `ready` waits for that."""
        # Apart from the rest: a worker of an older tree, beside ours in a gate, knows no tasks.
        value = order._asdict()
        request = {"task": value.pop("task"), "foreign": self._python is not None, "order": value}
        self._send(request, "while loading")

    def ready(self, timeout_s: float) -> dict[str, Any]:
        """Return what the worker says of its loaded system.

        Raises MissingError, StabenchError, LoadFailed or WorkerLost.
        """
        return self._read_reply(timeout_s)["about"]

    def run(self, jobs: Sequence[Job], timeout_s: float) -> list[Row]:
        """Return one row a job. Raises WorkerLost, or OSError when an output cannot be written."""
        others = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        self._send({"jobs": jobs}, f"in clip {jobs[0].clip}{others}")
        reply = self._read_reply(timeout_s)
        rows = [journal.from_json(row) for row in reply["rows"]]
        if not reply["usable"]:
            self._replace([row.error.message for row in rows if row.error])
        self._doing = "while idle"
        return rows

    def profile(self, job: Job, timeout_s: float) -> Profile:
        """Return what one clip costs beyond time. Raises WorkerLost."""
        self._send({"profile": job}, f"while it was profiled in clip {job.clip}")
        reply = self._read_reply(timeout_s)
        if not reply["usable"]:
            self._replace(reply["profile"]["failures"])
        self._doing = "while idle"
        return TypeAdapter(Profile).validate_python(reply["profile"])

    def close(self) -> None:
        """Let the process end by closing its input; kill it when it does not."""
        self._input.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started, and remove what they left in their folder."""
        if self._ended:
            return
        self._ended = True
        # The whole group, also of a process that has ended: what it started may go on.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._input.close()
        self._output.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _replace(self, reasons: Sequence[str]) -> None:
        """End a worker that can run no further clip: the next ones get a new one."""
        why = f" after: {reasons[-1]}" if reasons else ""
        message = f"stabench ended the worker, which could run no further clip{why}"
        self._lost = WorkerLost("worker-died", message)
        self.kill()

    def _send(self, request: dict[str, Any], doing: str) -> None:
        """Write a request; of a worker that has died, the reply will tell."""
        self._doing, self._log_start = doing, measure_log(self._log)
        data = json.dumps(request).encode() + b"\n"
        with suppress(BrokenPipeError):
            while data:
                data = data[self._input.write(data) :]

    def _read_reply(self, timeout_s: float) -> dict[str, Any]:
        line = b""
        try:
            line = self._read_line(time.monotonic() + timeout_s)
            reply = json.loads(line)
        except TimeoutError:
            late = f"no answer within {timeout_s:g} s {self._doing}{self._ask_place()}"
            raise self._end(f"{late}; stabench killed the worker", "timeout") from None
        except ValueError:
            words = plain(line[:LONGEST_QUOTE].decode(errors="replace"))
            raise self._end(
                f"something wrote '{words}' into the pipe of the worker's replies {self._doing}; "
                "stabench killed the worker"
            ) from None
        if "refused" in reply:
            self.kill()
            raise REFUSALS[reply["refused"]](add_remedy(reply["message"], self._python))
        if "disk" in reply:
            raise OSError(*reply["disk"])
        return reply

    def _read_line(self, deadline_s: float) -> bytes:
        """Return the next line of the worker.

        Raises TimeoutError, or WorkerLost at the pipe's end.
        """
        while b"\n" not in self._received:
            left_s = max(0.0, deadline_s - time.monotonic())
            # A process that the worker forked may hold the pipe open beyond the worker's end.
            ended = self._process.poll() is not None
            if not select.select([self._output], [], [], 0 if ended else min(left_s, POLL_S))[0]:
                if ended:
                    raise self.death()
                if not left_s:
                    raise TimeoutError
                continue
            part = self._output.read(1 << 16)
            if not part:
                self._await_end()
                raise self.death()
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return bytes(line)

    def _await_end(self) -> None:
        """Wait for the exit status of a process whose pipe has closed, a moment before it ends."""
        try:
            self._process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            self._end(
                f"the worker closed the pipe of its replies {self._doing} and did not end; "
                "stabench killed it"
            )

    def _ask_place(self) -> str:
        """Return where a worker that does not answer is, as it writes it to its log; or nothing."""
        start, deadline_s = measure_log(self._log), time.monotonic() + STACK_S
        with suppress(ProcessLookupError):
            self._process.send_signal(ASK)
        text, before = "", None
        # The stack is written line by line: it is whole when nothing more is added.
        while (not text or text != before) and time.monotonic() < deadline_s:
            before = text
            time.sleep(0.02)
            text = read_since(self._log, start)
        place = find_place(text)
        return f", at {place}" if place else ""

    def _end(self, message: str, kind: str = "worker-died") -> WorkerLost:
        """Kill the process and return what became of it, with the place of its log."""
        self.kill()
        self._lost = WorkerLost(kind, f"{message} ({self._name_log()})")
        return self._lost

    def _describe_death(self) -> WorkerLost:
        text = read_since(self._log, self._log_start)
        words, place = find_last_words(text), find_place(text)
        last = f", its last words: {words}" if words else ", without a word"
        ending = describe_ending(self._process.returncode) + (f" at {place}" if place else "")
        message = f"the worker died {self._doing}: {ending}{last} ({self._name_log()})"
        return WorkerLost("worker-died", message)

    def _name_log(self) -> str:
        return f"{self._log.parent.name}/{self._log.name}"


class InProcess:
    """A worker in the engine's own process, for debugging: it cannot be timed out or restarted."""

    def __init__(self) -> None:
        self._order: Order | None = None
        self._worker: Worker | None = None

    def alive(self) -> bool:
        return True

    def death(self) -> WorkerLost:
        raise AssertionError("it lives as long as the engine")

    def begin(self, order: Order) -> None:
        self._order = order

    def ready(self, timeout_s: float) -> dict[str, Any]:
        assert self._order is not None, "begin comes first"
        self._worker = Worker(self._order)
        return self._worker.about()

    def run(self, jobs: Sequence[Job], timeout_s: float) -> list[Row]:
        assert self._worker is not None, "ready comes first"
        return self._worker.run(list(jobs))

    def profile(self, job: Job, timeout_s: float) -> Profile:
        assert self._worker is not None, "ready comes first"
        return self._worker.profile(job)

    def close(self) -> None:
        self._worker = None

    kill = close
