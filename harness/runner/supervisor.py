"""The supervisor of one system: keeps a warm worker for it, and gives up after too many deaths."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from stabench.harness.errors import StabenchError
from stabench.harness.profiling.profile import Profile, unprofiled
from stabench.harness.runner.adapter import LoadFailed, Order
from stabench.harness.runner.worker import Job
from stabench.harness.runner.worker_process import WorkerLost
from stabench.harness.runs.journal import Failure, Row, timestamp

# Deaths without a successful clip between them after which a system is given up.
MOST_DEATHS = 3

# Time-outs of one clip that a profile may take: several passes, each slower than a clip.
PROFILE_CLIPS = 10


class Connection(Protocol):
    """A worker to talk to: `WorkerProcess` or `InProcess`."""

    def alive(self) -> bool: ...

    def death(self) -> WorkerLost: ...

    def begin(self, order: Order) -> None: ...

    def ready(self, timeout_s: float) -> dict[str, Any]: ...

    def run(self, jobs: Sequence[Job], timeout_s: float) -> list[Row]: ...

    def profile(self, job: Job, timeout_s: float) -> Profile: ...

    def close(self) -> None: ...

    def kill(self) -> None: ...


class Limits(NamedTuple):
    """Seconds a worker may take to load, and for one clip; `warmups` clips run after a start."""

    startup_s: float
    clip_s: float
    warmups: int


class Supervisor:
    """Runs jobs in a worker of `connect()`; every job gets a row, whatever becomes of the worker.

    A worker that dies fails the clips it had in hand and is started anew, and warmed up again,
    for the next ones. `warmups` yields the jobs for that.
    """

    def __init__(
        self,
        order: Order,
        connect: Callable[[], Connection],
        warmups: Iterator[Job],
        limits: Limits,
    ) -> None:
        self._order = order
        self._connect = connect
        self._warmups = warmups
        self._limits = limits
        self._worker: Connection | None = None
        self._loading = False
        self._cold = 0
        self._deaths = 0
        self._given_up: Failure | None = None
        self.about: dict[str, Any] = {}

    def begin(self) -> None:
        """Have a worker that loads; `start` waits for it. Several systems can load at once."""
        self._worker = self._connect()
        self._loading = True
        self._worker.begin(self._order)

    def start(self) -> None:
        """Have a loaded worker, or give up.

        Raises MissingError or StabenchError when the system is not there or not configured.
        """
        # Again and again, since a worker may die while it loads: the next one begins to load.
        while self._given_up is None:
            if self._worker is None:
                self.begin()
            elif self._loading:
                self._loading = False
                try:
                    self.about = self._running.ready(self._limits.startup_s)
                    self._cold = self._limits.warmups
                except LoadFailed as error:
                    self._give_up(Failure("load-failed", str(error)))
                except WorkerLost as death:
                    self._bury(death)
            elif self._worker.alive():
                return
            else:
                self._bury(self._worker.death())

    def run(self, jobs: Sequence[Job]) -> Iterator[list[Row]]:
        """Yield the rows of the jobs, in lists to be journalled whole; first the warm-ups."""
        self._restart()
        while self._cold > 0 and self._given_up is None:
            self._cold -= 1
            yield self._attempt([next(self._warmups)])
            self._restart()
        yield self._attempt(jobs)

    def profile(self, job: Job) -> Profile:
        """Return what one clip costs beyond time; of a worker that dies, why it is not known."""
        self._restart()
        if self._given_up is not None:
            return unprofiled(self._given_up.message, job.clip)
        try:
            timeout_s = self._limits.startup_s + PROFILE_CLIPS * self._limits.clip_s
            return self._running.profile(job, timeout_s)
        except WorkerLost as death:
            self._bury(death)
            return unprofiled(str(death), job.clip)

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()

    def kill(self) -> None:
        """End the worker at once, whatever it is doing."""
        if self._worker is not None:
            self._worker.kill()

    @property
    def _running(self) -> Connection:
        """The worker, once `start` has seen to one."""
        assert self._worker is not None
        return self._worker

    def _restart(self) -> None:
        """Like `start`, but in the middle of a run nothing of one system may end the others."""
        try:
            self.start()
        except StabenchError as error:
            self._give_up(Failure("load-failed", str(error)))

    def _attempt(self, jobs: Sequence[Job]) -> list[Row]:
        if self._given_up is not None:
            return [self._make_failed_row(job, self._given_up) for job in jobs]
        try:
            rows = self._running.run(jobs, self._limits.clip_s * len(jobs))
        except WorkerLost as death:
            self._bury(death)
            return [self._make_failed_row(job, Failure(death.kind, str(death))) for job in jobs]
        # A warm-up proves nothing: a worker may die of every clip that counts.
        if any(row.ok and not row.warmup for row in rows):
            self._deaths = 0
        return rows

    def _bury(self, death: WorkerLost) -> None:
        self.kill()
        self._worker = None
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            message = f"given up after {self._deaths} worker deaths in a row; the last: {death}"
            self._give_up(Failure("gave-up", message))

    def _give_up(self, failure: Failure) -> None:
        self.kill()
        self._worker = None
        self._given_up = failure

    def _make_failed_row(self, job: Job, failure: Failure) -> Row:
        return Row(
            system=self._order.system,
            clip=job.clip,
            repeat=job.repeat,
            warmup=job.warmup,
            status="failed",
            seed=job.seed,
            error=failure,
            finished_at=timestamp(),
        )
