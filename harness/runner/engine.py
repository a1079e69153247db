"""The engine: runs what a run folder plans, in the order of the schedule, into its journal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from stabench.harness import registry
from stabench.harness.datasets.conditions.condition import CLEAN
from stabench.harness.datasets.dataset import clip_seed
from stabench.harness.errors import StabenchError, TooManyFailures
from stabench.harness.runner.adapter import Order
from stabench.harness.runner.interpreters import Wanted, check_interpreters
from stabench.harness.runner.profiles import Profiles
from stabench.harness.runner.progress import Progress
from stabench.harness.runner.schedule import Batch, Turn, batches, blocks, warmups
from stabench.harness.runner.supervisor import Connection, Limits, Supervisor
from stabench.harness.runner.worker import Job
from stabench.harness.runner.worker_process import InProcess, WorkerProcess
from stabench.harness.runs.journal import Failure, Journal, Row, timestamp
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.suites.suite import SystemUse


class Interrupted(StabenchError):
    """Ctrl-C: the journal is whole, the run can be resumed."""

    exit_code = 130


class Engine:
    """Executes one run folder; what its journal already has as ok is not run again."""

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder = folder
        self._suite = folder.suite
        self._request = folder.record.request
        self._progress = progress
        self._clips = {clip.id: clip for clip in folder.clips}
        self._variants = folder.list_variants()
        self._profiles = Profiles(folder)

    def run(self) -> None:
        """Run every clip that is not done yet.

        Raises MissingError or StabenchError before the first clip when a system cannot be loaded,
        OSError when the disk fails, Interrupted on Ctrl-C; the journal is whole in every case.
        """
        journal = Journal(self._folder.journal_path)
        try:
            self._folder.sweep()
            pending = self._list_pending()
            self._progress.start(self._count_done(), self._count_planned())
            with self._start_supervisors(pending) as supervisors:
                self._check_told(supervisors)
                for batch in pending:
                    for rows in self._run_batch(supervisors[batch[0].system], batch):
                        journal.append(rows)
                        self._progress.add(rows)
                self._profiles.run(supervisors, self._make_profile_job)
            self._profiles.measure_ceilings()
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: {self._count_done()} of {self._count_planned()} done; continue "
                f"with stabench run --resume {self._folder.path}"
            ) from None
        finally:
            self._progress.stop()
            journal.close()
        record = self._folder.record.model_copy(update={"finished_at": timestamp()})
        self._folder.write_record(record)

    def _list_pending(self) -> list[Batch]:
        """Return the batches of the schedule without what is done, in its order."""
        settings = self._suite.run
        size = settings.batch_size
        done = {row.key for row in self._folder.list_rows() if row.ok}
        planned = blocks(
            [system.name for system in self._suite.systems],
            list(self._variants),
            repeats=settings.repeats,
            # Rounded up, so that a block is whole batches.
            block=-(-settings.block // size) * size,
            seed=settings.seed,
        )
        left = (
            tuple(self._seed(turn) for turn in block if turn.key not in done and self._hears(turn))
            for block in planned
        )
        return [batch for block in left for batch in batches(block, size)]

    def _hears(self, turn: Turn) -> bool:
        """Return whether a turn is to be run: who is told the caption hears no condition."""
        clean = self._variants[turn.clip].condition == CLEAN
        return clean or not self._folder.is_told(turn.system)

    def _seed(self, turn: Turn) -> Turn:
        """Return the turn with the seed of the clean clip: conditions differ in speech alone."""
        clip = self._variants[turn.clip].clip
        return turn._replace(seed=clip_seed(self._suite.run.seed, clip, turn.repeat))

    def _check_told(self, supervisors: dict[str, Supervisor]) -> None:
        """Raise StabenchError for a system that is to be run once, and would hear conditions."""
        for name, supervisor in supervisors.items():
            told = self._folder.conditions and self._folder.is_told(name)
            # Of one that could not be loaded nothing is known, and nothing is run.
            if told and supervisor.about and not supervisor.about.get("reads_caption"):
                raise StabenchError(
                    f"system '{name}' has a paradigm that reads the true caption, and does not "
                    "say `reads_caption`: whether it hears conditions is not known; correct one"
                )

    def _run_batch(self, supervisor: Supervisor, batch: Batch) -> Iterator[list[Row]]:
        """Yield rows as they come; a clip whose condition could not be applied fails at once."""
        jobs = []
        for turn in batch:
            reason = self._variants[turn.clip].failure
            if reason is None:
                jobs.append(self._make_job(turn))
            else:
                yield [
                    Row(
                        system=turn.system,
                        clip=turn.clip,
                        repeat=turn.repeat,
                        warmup=False,
                        status="failed",
                        seed=turn.seed,
                        error=Failure("bad-speech", reason),
                        finished_at=timestamp(),
                    )
                ]
        if jobs:
            yield from supervisor.run(jobs)

    @contextmanager
    def _start_supervisors(self, pending: list[Batch]) -> Iterator[dict[str, Supervisor]]:
        """Yield a started worker for each system with work to do; all are ended on the way out."""
        wanted = {batch[0].system for batch in pending} | {*self._profiles.wanted()}
        uses = [use for use in self._suite.systems if use.name in wanted]
        self._check_interpreters(uses)
        crew = {use.name: self._make_supervisor(use) for use in uses}
        try:
            # All begin before the first is waited for: they load at the same time.
            for supervisor in crew.values():
                supervisor.begin()
            for name, supervisor in crew.items():
                supervisor.start()
                self._folder.add_system(name, supervisor.about)
            yield crew
            for supervisor in crew.values():
                supervisor.close()
        finally:
            for supervisor in crew.values():
                supervisor.kill()

    def _check_interpreters(self, uses: list[SystemUse]) -> None:
        """Raise MissingError for what other interpreters lack, before anything is loaded."""
        systems = [
            Wanted(use.name, use.python, registry.target("systems", use.use))
            for use in uses
            if use.python is not None
        ]
        if systems and self._request.in_process:
            raise StabenchError(
                f"system '{systems[0].system}' has an interpreter of its own, "
                f"'{systems[0].python}'; run it without --in-process"
            )
        limit_s = self._suite.run.startup_timeout_s
        check_interpreters(systems, self._request.device, limit_s)

    def _make_supervisor(self, use: SystemUse) -> Supervisor:
        settings = self._suite.run
        audio = self._folder.audio_path(use.name, "").parent
        log = self._folder.log_path(use.name)
        audio.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(exist_ok=True)
        order = Order(
            system=use.name,
            target=registry.target("systems", use.use),
            options=use.options,
            device=self._request.device,
            dtype=use.precision or settings.precision,
            threads=settings.threads,
            audio=str(audio.resolve()),
            phase=self._request.phase,
            task=self._suite.task,
        )

        def connect() -> Connection:
            if self._request.in_process:
                return InProcess()
            return WorkerProcess(use.python, settings.threads, log)

        limits = Limits(settings.startup_timeout_s, settings.timeout_s, settings.warmups)
        # Warm-ups of a resumed run are numbered on: no two rows share a key.
        first = sum(row.system == use.name for row in self._folder.list_rows(warmup=True))
        warming = map(self._make_job, warmups(use.name, list(self._clips), settings.seed, first))
        return Supervisor(order, connect, warming, limits)

    def _make_job(self, turn: Turn) -> Job:
        variant = self._variants[turn.clip]
        # A worker may run in another folder than the engine (gate/trees.py).
        speech = None if variant.speech is None else os.path.abspath(variant.speech)
        caption = self._clips[variant.clip].caption
        return Job(turn.clip, turn.repeat, turn.warmup, turn.seed, speech, caption)

    def _make_profile_job(self, clip: str) -> Job:
        """Return the clip as its first repeat runs it."""
        seed = clip_seed(self._suite.run.seed, clip, 0)
        return self._make_job(Turn("", clip, 0, False, seed))

    def _count_done(self) -> int:
        return sum(row.ok for row in self._folder.list_rows())

    def _count_planned(self) -> int:
        return sum(count.planned for count in self._folder.counts().values())


def check_failures(folder: RunFolder) -> None:
    """Raise TooManyFailures for a system with a larger share of failed clips than allowed."""
    allowed = folder.suite.run.max_failed_share
    for name, (ok, _, planned) in folder.counts().items():
        failed = planned - ok
        if failed > allowed * planned:
            raise TooManyFailures(
                f"system '{name}': {failed} of {planned} clips failed, allowed is "
                f"{allowed * planned:g}; the reasons are in '{folder.journal_path}'"
            )
