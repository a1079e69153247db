"""The worker: one system under the clock, in a process that speaks JSON lines on pipes."""

import faulthandler
import json
import os
import platform
import queue
import shutil
import signal
import sys
import threading
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from stabench.harness import environment, files, registry
from stabench.harness.device import Cpu, device, limit_threads
from stabench.harness.errors import MissingError, StabenchError, one_line
from stabench.harness.profiling.profile import Profile, Work, profile, unprofiled
from stabench.harness.runner import adapter
from stabench.harness.runner.adapter import (
    REPRESENTATION,
    WAVEFORM,
    Order,
    Refused,
    SpeechError,
    check_count,
    checked,
    read_speech,
    transcript,
)
from stabench.harness.runner.clock import Clock
from stabench.harness.runner.last_words import ASK
from stabench.harness.runs import journal
from stabench.harness.runs.journal import Failure, Row, timestamp
from stabench.harness.tasks.task import DEFAULT, load_task
from stabench.metrics import audio
from stabench.metrics.audio import content_sha256

# By name, as everything of `systems`: the harness imports none of it.
UTTERANCE = "stabench.systems.contract:Utterance"

SPEECH_RATE_HZ = 16_000
PACKAGES = ("numpy", "torch", "transformers", "diffusers", "soundfile")
# Variable that names a folder for files of a worker's systems; it goes when the worker ends.
SCRATCH = "STABENCH_SCRATCH"


class Job(NamedTuple):
    """One clip to run; `speech` is a path."""

    clip: str
    repeat: int
    warmup: bool
    seed: int
    speech: str | None
    caption: str | None


@dataclass
class _Draft:
    """A row in the making: `fields` are those of Row, failed until the last check has passed."""

    job: Job
    fields: dict[str, Any] = field(default_factory=dict)
    representation: Any = None
    error: Failure | None = None

    def hand_on(self, representation: Any, phase: str) -> None:
        """Keep what the next phase gets, and its transcript. Raises Refused for anything else."""
        text, tokens = transcript(representation, phase)
        self.representation = representation
        if text is not None or "text" not in self.fields:
            self.fields.update(text=text, tokens=tokens)

    def finish(self, system: str, peak_bytes: int | None) -> Row:
        return Row(
            system=system,
            clip=self.job.clip,
            repeat=self.job.repeat,
            warmup=self.job.warmup,
            status="ok" if self.error is None else "failed",
            seed=self.job.seed,
            error=self.error,
            peak_memory_bytes=peak_bytes,
            finished_at=timestamp(),
            **self.fields,
        )


class Worker:
    """One loaded system. Raises MissingError, StabenchError or adapter.LoadFailed while loading."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._device = device(order.device)
        self._system, self._provenance = adapter.load(order)
        # What is done elsewhere has no memory, no GPU and no versions that are seen from here.
        self._elsewhere = getattr(self._system, "runs_elsewhere", False)
        if self._elsewhere:
            self._device = Cpu()
        self._clock = Clock(self._device)
        names = load_task(order.task).phase_names
        self._last = names[-1]
        self._phases = names if order.phase == "all" else names[: names.index(order.phase) + 1]
        self._untimed = tuple(getattr(self._system, "untimed", ()))
        if self._untimed and order.phase != "all":
            raise StabenchError(
                f"system '{order.system}' does everything at once: there is no "
                f"'{self._untimed[0]}' to time; run all phases"
            )
        self._utterance_type = registry.attribute(UTTERANCE)
        self._speech_rate_hz = getattr(self._system, "speech_rate_hz", SPEECH_RATE_HZ)
        self._reads_caption = getattr(self._system, "reads_caption", False)
        self._threads = limit_threads(order.threads)

    def about(self) -> dict[str, Any]:
        """Return what the run folder keeps of the system: provenance, rates, versions, threads."""
        return {
            "provenance": self._provenance,
            "sample_rate_hz": self._system.sample_rate,
            "speech_rate_hz": self._speech_rate_hz,
            "reads_caption": self._reads_caption,
            "torch_threads": self._threads,
            **({"replays": True} if getattr(self._system, "replays", False) else {}),
            "python": None if self._elsewhere else platform.python_version(),
            "packages": {} if self._elsewhere else environment.versions_in_use(PACKAGES),
        }

    def run(self, jobs: list[Job]) -> list[Row]:
        """Run the first phase clip by clip, the others on all as one batch; return a row each.

        Raises OSError only when an output cannot be written.
        """
        first, *later = self._phases
        drafts = [self._begin(first, job) for job in jobs]
        for phase in later:
            self._continue(phase, [draft for draft in drafts if draft.error is None])
        peak_bytes = None if self._elsewhere else self._device.peak_bytes()
        return [draft.finish(self._order.system, peak_bytes) for draft in drafts]

    def profile(self, job: Job) -> Profile:
        """Return what the clip costs beyond time; a system that fails leaves the reason alone."""
        try:
            utterance = self._read_utterance(job)
            work = Work(self._system, utterance, job.seed, self._phases)
            return profile(job.clip, work, self._device)
        except (Exception, SystemExit) as error:
            return unprofiled(_make_failure(error).message, job.clip)

    def usable(self) -> bool:
        """Return False when no further clip can be run.

        The device is broken for good, as CUDA is after an illegal access, or the system says so.
        """
        try:
            self._device.synchronize()
        except RuntimeError:
            return False
        return getattr(self._system, "usable", lambda: True)()

    def _begin(self, phase: str, job: Job) -> _Draft:
        draft = _Draft(job)
        self._clock.reset()
        try:
            self._device.reset_peak()
            utterance = self._read_utterance(job)
            draft.fields["speech_s"] = len(utterance.samples) / utterance.rate_hz
            with self._clock.phase(phase):
                representation = getattr(self._system, phase)(utterance, self._clock)
            draft.hand_on(representation, phase)
            draft.fields.update(phase_ns={}, spans=())
            self._add_times(draft, phase)
        except (Exception, SystemExit) as error:
            draft.error = _make_failure(error)
        return draft

    def _read_utterance(self, job: Job) -> Any:
        if self._reads_caption and job.caption is None:
            raise Refused("no-caption", "the system reads captions, and the clip has none")
        path = None if job.speech is None else Path(job.speech)
        samples = read_speech(path, self._speech_rate_hz)
        caption = job.caption if self._reads_caption else None
        return self._utterance_type(job.clip, samples, self._speech_rate_hz, caption)

    def _continue(self, phase: str, drafts: list[_Draft]) -> None:
        if not drafts:
            return
        self._clock.reset()
        representations = [draft.representation for draft in drafts]
        seeds = [draft.job.seed for draft in drafts]
        try:
            with self._clock.phase(phase):
                outputs = getattr(self._system, phase)(representations, seeds, self._clock)
            what = WAVEFORM if phase == self._last else REPRESENTATION
            check_count(outputs, len(drafts), phase, what)
        except (Exception, SystemExit) as error:
            # A batch fails as one: nobody knows which of its clips was at fault.
            for draft in drafts:
                draft.error = _make_failure(error)
            return
        for draft, output in zip(drafts, outputs, strict=True):
            draft.fields.update(batch=len(drafts))
            self._add_times(draft, phase)
            try:
                if phase == self._last:
                    self._keep_output(draft, output)
                else:
                    draft.hand_on(output, phase)
            except Refused as refused:
                draft.error = refused.failure

    def _add_times(self, draft: _Draft, phase: str) -> None:
        """Add the times of the phase that has just run, unless the system says it did nothing."""
        if phase in self._untimed:
            return
        # The time of all that could not be told apart must not pass for that of one phase.
        name = journal.JOINED.join((*self._untimed, phase))
        spans = (span._replace(phase=name) for span in self._clock.spans)
        draft.fields["phase_ns"] |= {name: self._clock.phase_ns[phase]}
        draft.fields["spans"] += tuple(spans)

    def _keep_output(self, draft: _Draft, waveform: Any) -> None:
        """Check one output, hash it, and write that of the first repeat. May raise Refused."""
        samples = checked(waveform, self._system.sample_rate)
        rate_hz = int(waveform.rate_hz)
        # Before it is written: scoring compares the file with what the system returned.
        sha256 = content_sha256(samples)
        draft.fields.update(samples=len(samples), rate_hz=rate_hz, audio_sha256=sha256)
        if draft.job.repeat == 0 and not draft.job.warmup:
            path = Path(self._order.audio) / f"{draft.job.clip}.wav"
            files.write_bytes(path, audio.encode(samples, rate_hz))


def _make_failure(error: BaseException) -> Failure:
    if isinstance(error, Refused):
        return error.failure
    if isinstance(error, SpeechError):
        return Failure("bad-speech", str(error))
    traceback.print_exception(error)
    return Failure("raised", one_line(error))


class Service:
    """Answers requests, a value each: first {"order"}, then {"jobs"} and {"profile"}."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._worker is None:
                order = Order(**request["order"])
                self._worker = Worker(order._replace(task=request.get("task", DEFAULT)))
                about = self._worker.about()
                if request.get("foreign") and about["packages"]:
                    # run.json holds those of the engine's interpreter only.
                    about["packages"] = {**environment.installed(), **about["packages"]}
                return {"about": about}
            if "profile" in request:
                costs = self._worker.profile(Job(*request["profile"]))
                return {"profile": asdict(costs), "usable": self._worker.usable()}
            rows = self._worker.run([Job(*job) for job in request["jobs"]])
            return {"rows": [journal.to_json(row) for row in rows], "usable": self._worker.usable()}
        except (StabenchError, adapter.LoadFailed) as error:
            kinds = {MissingError: "missing", adapter.LoadFailed: "load-failed"}
            return {"refused": kinds.get(type(error), "usage"), "message": str(error)}
        except OSError as error:
            return {"disk": [error.errno, error.strerror, str(error.filename or "")]}


def main() -> None:
    """Serve until the engine closes the pipe or dies, which ends this process at once."""
    # The log says where a fatal signal struck, and where the system is when the engine asks.
    faulthandler.enable(all_threads=False)
    faulthandler.register(ASK, all_threads=False)
    # The system must not read our requests, nor print among our replies: both pipes move to
    # descriptors that it does not know, /dev/null and the log take their places.
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    listening = (requests, inbox, os.environ.get(SCRATCH))
    threading.Thread(target=_listen, args=listening, daemon=True).start()
    service = Service()
    while True:
        reply = service.answer(json.loads(inbox.get()))
        replies.write(json.dumps(reply, allow_nan=False).encode() + b"\n")
        replies.flush()


def _listen(requests: BinaryIO, inbox: "queue.SimpleQueue[bytes]", scratch: str | None) -> None:
    for line in requests:
        inbox.put(line)
    # At once: the main thread may be deep in a clip that nobody waits for.
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with the processes that the system started
    os._exit(0)


if __name__ == "__main__":
    main()
