"""The profiles of a run: which systems still need one, on which clip, and their file."""

from collections.abc import Callable

from stabench.harness.errors import StabenchError, one_line
from stabench.harness.profiling import costs_file, roofline
from stabench.harness.profiling.costs_file import CostsFile
from stabench.harness.profiling.profile import unprofiled
from stabench.harness.runner.interpreters import environment
from stabench.harness.runner.supervisor import Supervisor
from stabench.harness.runner.worker import Job
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.runs.timings import timed

NO_CLIP = "no clip of this system was run successfully"


class Profiles:
    """Profiles the systems of a run after its timed clips, where the suite asks for it.

    Nothing here fails a run: what cannot be counted is a line in costs.json and in the report.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._settings = folder.suite.run
        self._request = folder.record.request

    def wanted(self) -> list[str]:
        """Return the systems without a profile, in the suite's order; failed ones are retried."""
        if not self._settings.profile:
            return []
        done = {name for name, profile in self._read_costs().systems.items() if profile.done}
        return [use.name for use in self._folder.suite.systems if use.name not in done]

    def run(self, supervisors: dict[str, Supervisor], job: Callable[[str], Job]) -> None:
        """Profile what is wanted, a system after the other; `job` makes a clip's job."""
        for name in self.wanted():
            rows = timed(self._folder.rows(), name)
            durations_s = {row.clip: row.speech_s or 0.0 for row in rows}
            # The (upper) median duration stands for the run; of equal ones the id decides, so that
            # a run that is resumed profiles the same clip.
            clips = sorted(durations_s, key=lambda clip: (durations_s[clip], clip))
            clip = clips[len(clips) // 2] if clips else None
            profile = unprofiled(NO_CLIP) if clip is None else supervisors[name].profile(job(clip))
            # Written after each: what an interrupted run has profiled is not done again.
            costs = self._read_costs()
            systems = {**costs.systems, name: profile}
            self._write_costs(costs.model_copy(update={"systems": systems}))

    def measure_ceilings(self) -> None:
        """Measure what the device can do, once a run, in the precisions that systems used."""
        costs = self._read_costs()
        known = costs.ceilings.precisions if costs.ceilings else set()
        if not costs.precisions - known:
            return
        update: dict[str, roofline.Ceilings | str | None]
        device, threads = self._request.device, self._settings.threads
        precisions = sorted(costs.precisions)
        try:
            if self._request.in_process:
                ceilings = roofline.measure(device, precisions, threads)
            else:
                ceilings = roofline.measured_apart(
                    device, precisions, threads, environment(threads)
                )
            update = {"ceilings": ceilings, "no_ceilings": None}
        except StabenchError as error:
            update = {"no_ceilings": str(error)}
        except Exception as error:  # Such as too little memory, in the engine's own process.
            update = {"no_ceilings": one_line(error)}
        self._write_costs(costs.model_copy(update=update))

    def _read_costs(self) -> CostsFile:
        return costs_file.read(self._folder.path) or CostsFile()

    def _write_costs(self, costs: CostsFile) -> None:
        costs_file.write(self._folder.path, costs)
