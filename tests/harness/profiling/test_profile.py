"""The profile: counts that can be worked out by hand, from the counter to a finished run."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stabench.harness.device import Cpu
from stabench.harness.errors import StabenchError
from stabench.harness.profiling import costs_file
from stabench.harness.profiling import profile as profile_module
from stabench.harness.profiling.profile import Profile, Work, profile
from stabench.harness.profiling.stages import Stage, Stages
from stabench.harness.profiling.trace import Traffic
from stabench.harness.runner import plan, profiles
from stabench.harness.runner.engine import Engine
from stabench.harness.runner.progress import Silent
from stabench.harness.runner.supervisor import Limits, Supervisor
from stabench.harness.runner.worker import Job, Service
from stabench.harness.runner.worker_process import WorkerLost
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.metrics.audio import encode
from stabench.systems.contract import Utterance
from stabench.systems.networks.cuda_graph import Graphed, without_graphs
from tests.harness.profiling.torch_toy import ROWS, STEPS, WIDTH, Multiplier, work

TORCH_TOY = f"{Path(__file__).with_name('torch_toy.py')}:Multiplier"
FLOPS = 2 * ROWS * WIDTH * WIDTH


def test_a_profile_has_all_counts_of_each_stage() -> None:
    system, one = work()
    found = profile("clip0", one, Cpu())
    assert (found.clip, found.failures, found.eager, system.eager_runs) == ("clip0", (), True, 1)
    by_name = {stage.name: stage for stage in found.stages if stage.name != REMAINDER}
    assert list(by_name) == ["encode", "pick", "sampler"]
    assert by_name["encode"].flops == {"float32": FLOPS}
    assert (by_name["pick"].waits, by_name["pick"].launches) == (1, None)
    assert by_name["sampler"].peak_bytes is None
    assert found.energy.reason.startswith("a CPU has no energy counter")


def test_a_pass_that_fails_is_a_line_and_the_others_count() -> None:
    _, one = work(broken_under="counter")
    found = profile("clip0", one, Cpu())
    [failure] = found.failures
    assert failure == "operations not counted: RuntimeError: no one may look at this"
    assert {stage.name: stage.waits for stage in found.stages}["pick"] == 1
    assert all(stage.operations is None for stage in found.stages)


def test_flops_inside_cuda_graphs_are_not_known_without_eager(monkeypatch) -> None:
    system, _ = work()
    replayed = {Stage("generate", "sampler"): Traffic(1, 1, 900, 0)}
    monkeypatch.setattr(profile_module, "trace", lambda *_: replayed)
    samples = np.zeros(1_600, np.float32)
    bare = SimpleNamespace(represent=system.represent, generate=system.generate)
    one = Work(bare, Utterance("clip0", samples, 16_000), 7, ("represent", "generate"))
    found = profile("clip0", one, Cpu())
    assert found.failures == (
        "FLOPs of sampler not known: it replays CUDA graphs, and the system has no eager()",
    )
    [sampler] = [stage for stage in found.stages if stage.name == "sampler"]
    assert (sampler.flops, sampler.operations, sampler.kernels) == (None, None, 900)


class Replaying(Multiplier):
    """The toy with its steps in a CUDA graph, by a stand-in: a replay launches nothing of torch."""

    def load(self, device: str, dtype: str) -> None:
        super().load(device, dtype)
        self.replays = 0
        self._graphed = Graphed(super()._sound, torch.zeros(ROWS, WIDTH))
        self._graphed._graph = SimpleNamespace(replay=self._replay)
        self._graphed._output = torch.zeros(ROWS * WIDTH)

    def _replay(self) -> None:
        self.replays += 1

    def _sound(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._graphed(hidden)

    def eager(self) -> AbstractContextManager[None]:
        return without_graphs()


def test_flops_inside_graphs_are_counted_eagerly_and_all_else_on_the_graphs() -> None:
    system = Replaying()
    system.load("cpu", "float32")
    utterance = Utterance("clip0", np.linspace(-1, 1, 1_600, dtype=np.float32), 16_000)
    one = Work(system, utterance, 7, ("represent", "generate"))
    found = profile("clip0", one, Cpu())
    assert (found.eager, found.failures) == (True, ())
    [sampler] = [stage for stage in found.stages if stage.name == "sampler"]
    assert sampler.flops == {"float32": STEPS * FLOPS}
    assert system.replays == 2  # for memory, and under torch's profiler
    one.can_be_eager = False
    [sampler] = [stage for stage in profile("clip0", one, Cpu()).stages if stage.name == "sampler"]
    assert sampler.flops == {}
    assert system.replays == 2 + 3


def test_memory_is_the_peak_within_each_stage() -> None:
    class Growing(Cpu):
        """A device with 100 bytes more in every stage."""

        name = "cuda"
        peak = 0

        def peak_bytes(self) -> int:
            self.peak += 100
            return self.peak

    _, one = work()
    found = profile_module._measure_peaks(one, Growing())
    assert found[Stage("represent", "encode")] == 100
    assert found[Stage("represent", REMAINDER)] == 300
    assert found[Stage("generate", "sampler")] == 400


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunFolder]:
    """A finished run; its ceilings are small ones."""
    monkeypatch.setattr("stabench.harness.profiling.roofline.SIZES", {"cpu": (16,)})
    monkeypatch.setattr("stabench.harness.profiling.roofline.MOVED_BYTES", {"cpu": 1 << 12})
    monkeypatch.setattr("stabench.harness.profiling.roofline.LEAST_S", 1e-5)

    def make(suite: Path, **request: object) -> RunFolder:
        request = {"in_process": True, **request}
        folder = plan.begin(str(suite), Request(**request), tmp_path / "runs")
        Engine(folder, Silent()).run()
        return folder

    return make


def systems(folder: RunFolder) -> dict[str, Profile]:
    return costs_file.read(folder.path).systems


def test_the_journal_is_the_same_with_and_without_a_profile(suite, run) -> None:
    """No row more, none fewer, and none different but for times and memory."""
    rows = []
    for number in (0, 1):
        path = suite({"a": {}}, use=TORCH_TOY, name=f"profile{number}", profile=number)
        folder = run(path)
        rows.append([json.loads(line) for line in folder.journal_path.read_text().splitlines()])
        assert (folder.path / "costs.json").exists() == bool(number)
    for row in (*rows[0], *rows[1]):
        for name in ("phase_ns", "finished_at", "peak_memory_bytes"):
            row.pop(name)
        row["spans"] = [span["name"] for span in row["spans"]]
    assert rows[0] == rows[1]
    assert len(rows[1]) == 6 + 1


def test_the_clip_is_the_one_of_median_duration(suite, run, speech: Path) -> None:
    for index, keep in enumerate((100, 900, 300, 500, 700, 200)):
        samples = np.zeros(ROWS * WIDTH + keep, np.float32)
        (speech / f"clip{index}.wav").write_bytes(encode(samples, 16_000))
    folder = run(suite({"a": {}}, use=TORCH_TOY, profile=1))
    assert systems(folder)["a"].clip == "clip3"


def test_ceilings_are_measured_once_and_in_the_precisions_used(suite, run, monkeypatch) -> None:
    path = suite({"a": {}, "b": {}}, use=TORCH_TOY, profile=1)
    folder = run(path)
    costs = costs_file.read(folder.path)
    assert costs.ceilings.precisions == {"float32"}
    assert min(costs.ceilings.flops_per_s["float32"], costs.ceilings.bytes_per_s) > 0
    before = (folder.path / "costs.json").read_bytes()
    monkeypatch.setattr(profiles.roofline, "measure", lambda *_: pytest.fail("measured twice"))
    Engine(plan.resume(str(path), folder, {}), Silent()).run()
    assert (folder.path / "costs.json").read_bytes() == before


@pytest.mark.parametrize("error", [StabenchError("no GPU"), RuntimeError("no\nGPU")])
def test_without_ceilings_a_run_is_whole_and_says_why(suite, run, monkeypatch, error) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(profiles.roofline, "measure", fail)
    costs = costs_file.read(run(suite({"a": {}}, use=TORCH_TOY, profile=1)).path)
    assert costs.ceilings is None
    assert costs.no_ceilings.endswith("no GPU")


def test_a_run_killed_before_its_profiles_is_profiled_on_resume(suite, run) -> None:
    path = suite({"a": {}, "b": {}}, use=TORCH_TOY, profile=1)
    folder = run(path)
    costs = costs_file.read(folder.path)
    kept = costs.model_copy(update={"systems": {"a": costs.systems["a"]}})
    costs_file.write(folder.path, kept)
    journal = folder.journal_path.read_bytes()
    Engine(plan.resume(str(path), folder, {}), Silent()).run()
    assert systems(folder) == costs.systems
    assert folder.journal_path.read_bytes() == journal


def test_represent_alone_has_no_stage_of_generate(suite, run) -> None:
    folder = run(suite({"a": {}}, use=TORCH_TOY, profile=1), phase="represent")
    assert {stage.phase for stage in systems(folder)["a"].stages} == {"represent"}


def test_a_system_that_never_worked_is_a_line_and_fails_nothing_else(suite, run) -> None:
    options = {"fault": "raise", "where": "represent"}
    folder = run(suite({"a": options}, profile=1, max_failed_share=1.0))
    found = systems(folder)["a"]
    assert found.failures == ("not profiled: no clip of this system was run successfully",)
    assert costs_file.read(folder.path).ceilings is None


def test_a_system_of_another_kind_has_stages_without_counts(monkeypatch, tmp_path, speech) -> None:
    """As a worker process sees it, which has no torch unless the system imports it."""
    monkeypatch.setattr(profile_module, "sys", SimpleNamespace(modules={}))
    toys = f"{Path(__file__).parents[1] / 'toys.py'}:Toy"
    order = ["toy", toys, {}, "cpu", "float32", 1, str(tmp_path), "all"]
    service = Service()
    names = ["system", "target", "options", "device", "dtype", "threads", "audio", "phase"]
    service.answer({"order": dict(zip(names, order, strict=True))})
    job = ["clip0", 0, False, 1, str(speech / "clip0.wav"), None]
    found = service.answer({"profile": job})["profile"]
    assert found["failures"] == ("the system runs without torch: no operations to count",)
    assert [stage["name"] for stage in found["stages"]] == [REMAINDER, "listen", REMAINDER, "speak"]
    missing = service.answer({"profile": [*job[:4], "nowhere.wav", None]})["profile"]
    assert missing["failures"][0].startswith("not profiled: ")


def test_a_worker_that_dies_while_it_is_profiled_leaves_the_run_whole(
    suite, run, monkeypatch
) -> None:
    """The fault is of a clip that no timed row runs, so that only the profile meets it."""
    real = profiles.Profiles.run

    def faulty(self, supervisors, job) -> None:
        real(self, supervisors, lambda clip: job(clip)._replace(clip="clip9"))

    monkeypatch.setattr(profiles.Profiles, "run", faulty)
    options = {"fault": "kill", "clips": ["clip9"]}
    folder = run(suite({"a": options}, profile=1), in_process=False, limit=2)
    [failure] = systems(folder)["a"].failures
    assert failure.startswith("not profiled: the worker died while it was profiled in clip clip9: ")
    assert "SIGKILL" in failure
    assert folder.counts()["a"] == (2, 0, 2)


def test_a_profile_that_hangs_ends_with_its_worker() -> None:
    class Hanging:
        """A worker that answers nothing."""

        asked_s = 0.0
        killed = False

        def begin(self, order: object) -> None: ...

        def ready(self, timeout_s: float) -> dict[str, object]:
            return {}

        def alive(self) -> bool:
            return True

        def profile(self, job: Job, timeout_s: float) -> Profile:
            self.asked_s = timeout_s
            raise WorkerLost("timeout", "no answer within 300 s; the worker was killed")

        def kill(self) -> None:
            self.killed = True

    worker = Hanging()
    supervisor = Supervisor(None, lambda: worker, iter(()), Limits(100, 20, 1))
    found = supervisor.profile(Job("clip0", 0, False, 1, None, None))
    assert found.failures == ("not profiled: no answer within 300 s; the worker was killed",)
    assert (worker.asked_s, worker.killed) == (100 + 10 * 20, True)


def test_a_process_of_a_worker_counts_as_this_one_does(suite, run, monkeypatch) -> None:
    path = suite({"a": {}}, use=TORCH_TOY, profile=1)
    here = run(path, limit=1)
    ceilings = costs_file.read(here.path).ceilings
    monkeypatch.setattr(profiles.roofline, "measured_apart", lambda *_: ceilings)
    there = run(path, in_process=False, limit=1)
    assert costs_file.read(here.path) == costs_file.read(there.path)


def test_nothing_watches_when_nothing_is_asked() -> None:
    """The spans of an energy block leave no trace of their own."""
    system, one = work()
    assert one(Stages(lambda _: nullcontext())) is None
    assert system.eager_runs == 0
