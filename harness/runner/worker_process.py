"""A worker process as the engine holds it: started, asked over its pipes, killed, reaped."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from stabench.harness.environment import START
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.profiling.profile import Profile
from stabench.harness.runner.adapter import LoadFailed, Order
from stabench.harness.runner.worker import Job, Worker
from stabench.harness.runs import journal
from stabench.harness.runs.journal import Row

SOURCE = START.parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# The log has each print at once, even of a worker that is killed; no file of the folder in which
# the command runs is imported in place of a module.
FLAGS = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
REFUSALS = {"missing": MissingError, "usage": StabenchError, "load-failed": LoadFailed}


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
        command = [python or sys.executable, str(START), "stabench.harness.runner.worker"]
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    env=environment(threads),
                    # `select` sees what is in the pipe, but nothing that Python has buffered.
                    bufsize=0,
                    # Its own group, so that it can be killed with all that it started, and so
                    # that Ctrl-C on the terminal reaches the engine alone.
                    start_new_session=True,
                )
        except (FileNotFoundError, PermissionError) as error:
            raise MissingError(f"interpreter '{python}' cannot be run: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._received = bytearray()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, order: Order) -> None:
        """Have the system loaded; `ready` waits for that."""
        # Apart from the rest: a worker of an older tree, beside ours in a gate, knows no tasks.
        value = order._asdict()
        self._send({"task": value.pop("task"), "order": value})

    def ready(self, timeout_s: float) -> dict[str, Any]:
        """Return what the worker says of its loaded system.

        Raises MissingError, StabenchError, LoadFailed or WorkerLost.
        """
        return self._read_reply(timeout_s)["about"]

    def run(self, jobs: Sequence[Job], timeout_s: float) -> list[Row]:
        """Return one row a job. Raises WorkerLost, or OSError when an output cannot be written."""
        self._send({"jobs": jobs})
        reply = self._read_reply(timeout_s)
        # The device is broken for good: the next clips get a new worker.
        if not reply["usable"]:
            self.kill()
        return [journal.from_json(row) for row in reply["rows"]]

    def profile(self, job: Job, timeout_s: float) -> Profile:
        """Return what one clip costs beyond time. Raises WorkerLost."""
        self._send({"profile": job})
        reply = self._read_reply(timeout_s)
        if not reply["usable"]:
            self.kill()
        return TypeAdapter(Profile).validate_python(reply["profile"])

    def close(self) -> None:
        """Let the process end by closing its input; kill it when it does not."""
        self._input.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                # The whole group: a system may have started processes of its own.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._input.close()
        self._output.close()

    def _send(self, request: dict[str, Any]) -> None:
        """Write a request; of a worker that has died, the reply will tell."""
        data = json.dumps(request).encode() + b"\n"
        with suppress(BrokenPipeError):
            while data:
                data = data[self._input.write(data) :]

    def _read_reply(self, timeout_s: float) -> dict[str, Any]:
        try:
            reply = json.loads(self._read_line(time.monotonic() + timeout_s))
        except TimeoutError:
            self.kill()
            raise WorkerLost(
                "timeout", f"no answer within {timeout_s:g} s; the worker was killed"
            ) from None
        if "refused" in reply:
            self.kill()
            raise REFUSALS[reply["refused"]](reply["message"])
        if "disk" in reply:
            raise OSError(*reply["disk"])
        return reply

    def _read_line(self, deadline_s: float) -> bytes:
        """Return the next line of the worker.

        Raises TimeoutError, or WorkerLost at the pipe's end.
        """
        while b"\n" not in self._received:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._output], [], [], left_s)[0]:
                raise TimeoutError
            part = self._output.read(1 << 16)
            if not part:
                # The pipes of a process close when it ends: its exit status is known already.
                self.kill()
                status = self._process.returncode
                if status >= 0:
                    raise WorkerLost("worker-died", f"the worker died: exit code {status}")
                # Popen gives the number of the signal that ended the process as a negative status.
                name = signal.Signals(-status).name
                hint = " (often the kernel, out of memory)" if name == "SIGKILL" else ""
                raise WorkerLost("worker-died", f"the worker died: {name}{hint}")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return bytes(line)


class InProcess:
    """A worker in the engine's own process, for debugging: it cannot be timed out or restarted."""

    def __init__(self) -> None:
        self._order: Order | None = None
        self._worker: Worker | None = None

    def alive(self) -> bool:
        return True

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


def environment(threads: int) -> dict[str, str]:
    """Return ours, with the number of CPU threads fixed, and no imports from the folder of work."""
    fixed = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **fixed, **FLAGS}
