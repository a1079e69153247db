"""The system audit: a system that can be run is asked whether it listens, and whether it computes.

It runs code of the system: only of one that is trusted.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from stabench.harness import registry
from stabench.harness.datasets.dataset import Clip
from stabench.harness.device import device as open_device
from stabench.harness.device import limit_threads
from stabench.harness.errors import one_line
from stabench.harness.runner import adapter
from stabench.harness.runner.adapter import Order, read_speech
from stabench.harness.runner.plan import Plan
from stabench.harness.runner.worker import SPEECH_RATE_HZ, UTTERANCE
from stabench.harness.submission.cards import first_rows
from stabench.harness.submission.findings import Finding, error, note, warning
from stabench.harness.submission.package import Package
from stabench.harness.suites.select import select_systems
from stabench.harness.tasks.task import load_task

FILE = "system"
CLIPS = 6
CACHED = 0.5
# Gain of speech that no hash knows and every listener takes for the same.
QUIETER = 0.98
# A swapped speech changes the output by more than so many times what a second run changes.
NOISE = 2.0

# Relative distance of one system's sounds on two machines; samplers magnify the last digits.
ALIKE = 0.01


class Failed(Exception):
    """The system raised an error; one line."""


class Sound(NamedTuple):
    """One output and the time it took."""

    samples: np.ndarray
    wall_ns: int


class Bench:
    """A loaded system with the clips of a suite; `now` is the clock."""

    def __init__(
        self, use: Any, plan: Plan, device: str, now: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        settings = plan.suite.run
        precision = use.precision or settings.precision
        target, threads = registry.target("systems", use.use), settings.threads
        order = Order(use.name, target, use.options, device, precision, threads, "", "all")
        order = order._replace(task=plan.suite.task)
        self._phases = load_task(order.task).phase_names
        self._device, self._now = open_device(device), now
        self._system, _ = adapter.load(order)
        limit_threads(threads)
        self._utterance = registry.attribute(UTTERANCE)
        self._rate_hz = getattr(self._system, "speech_rate_hz", SPEECH_RATE_HZ)
        self._reads = getattr(self._system, "reads_caption", False)

    def output(self, spoken: Clip, seed: int, name: str, gain: float = 1.0) -> Sound:
        """What the system makes of a clip's speech (and caption, for an oracle) called `name`.

        Raises Failed when it raises an error.
        """
        try:
            return self._output(spoken, seed, name, np.float32(gain))
        # Whatever code of others raises is a finding, and no error of the audit.
        except Exception as fault:
            how = "" if gain == 1.0 else f", played at {gain:g} of its level"
            raise Failed(f"fails on clip '{spoken.id}'{how}: {one_line(fault)}") from fault

    def _output(self, spoken: Clip, seed: int, name: str, gain: np.float32) -> Sound:
        samples = gain * read_speech(spoken.speech, self._rate_hz)
        caption = spoken.caption if self._reads else None
        utterance = self._utterance(name, samples, self._rate_hz, caption)
        # A GPU still works when a call returns: it is waited for before either look at the clock.
        self._device.synchronize()
        start_ns = self._now()
        first, *later = self._phases
        output = getattr(self._system, first)(utterance, _Unmarked)
        for phase in later:
            [output] = getattr(self._system, phase)([output], [seed], _Unmarked)
        self._device.synchronize()
        return Sound(np.asarray(output.samples), self._now() - start_ns)


class _Unmarked:
    """Stages that nobody times."""

    def __init__(self, _name: str) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...


def exercise(system: str, plan: Plan, package: Package, device: str = "cpu") -> Iterator[Finding]:
    """Run a system of the suite, or "path.py:Class", on a few clips and say what it does."""
    [use] = select_systems(plan.suite, (system,)).systems
    if use.python is not None:
        message = f"not run: it has an interpreter of its own, '{use.python}', and this is another"
        yield error(FILE, "run", message)
        return
    clips = [clip for clip in plan.dataset.clips if clip.id in package.submission.outputs]
    seeds = {clip: row.seed for clip, row in first_rows(package.sources.rows).items()}
    try:
        bench = Bench(use, plan, device)
        yield from check_listening(bench, clips, seeds)
        yield from check_computing(bench, clips, seeds)
        yield compare_outputs(bench, clips, seeds, package)
    except (adapter.LoadFailed, Failed) as fault:
        yield error(FILE, "run", str(fault))


def check_listening(bench: Bench, clips: list[Clip], seeds: dict[str, int]) -> Iterator[Finding]:
    """Swap speeches: the output must change, and must not change with a clip's name."""
    clip = clips[0]
    other = next((spoken for spoken in clips if spoken.caption != clip.caption), None)
    if other is None:
        yield warning(FILE, "input", "all clips say the same: whether it listens is unchecked")
        return
    seed = seeds[clip.id]
    first = bench.output(clip, seed, clip.id).samples
    # What the system changes on its own, given the same once more.
    noise = _distance(first, bench.output(clip, seed, clip.id).samples)
    swapped = _distance(first, bench.output(other, seed, clip.id).samples)
    renamed = _distance(first, bench.output(clip, seed, "another-name").samples)
    if swapped <= NOISE * noise:
        message = f"other speech changes the output by {swapped:.3g}, a second run by {noise:.3g}"
        yield error(FILE, "input", f"{message}: it ignores what is said")
    # A system that repeats itself to the bit has no noise; a rounding still is no knowledge.
    if renamed > NOISE * noise + 1e-6:
        message = f"another id changes the output by {renamed:.3g}"
        yield error(FILE, "clip id", f"{message}: it knows the clips by name")


def _distance(samples: np.ndarray, other: np.ndarray) -> float:
    """Relative distance of two sounds; 1 for other lengths."""
    if samples.shape != other.shape:
        return 1.0
    difference = float(np.linalg.norm(samples.astype(np.float64) - other))
    return difference / (float(np.linalg.norm(samples)) or 1.0)


def check_computing(bench: Bench, clips: list[Clip], seeds: dict[str, int]) -> Iterator[Finding]:
    """Time clips never heard against one clip again and again: a cache shows.

    And against the same speech at another level: a table of the suite's speeches shows, by its
    speed, by one answer to all that it does not hold, or by none.
    """
    fresh = clips[-CLIPS:]
    unique = [bench.output(clip, seeds[clip.id], clip.id).wall_ns for clip in fresh]
    other = [bench.output(clip, seeds[fresh[-1].id], clip.id, QUIETER) for clip in fresh]
    known = median(unique) / max(median(sound.wall_ns for sound in other), 1)
    if known < CACHED:
        message = f"the suite's speech takes {100 * known:.0f} % of the same at another level"
        yield error(FILE, "speed", f"{message}: answers are kept")
    if len(fresh) > 1 and all(_distance(other[0].samples, sound.samples) == 0 for sound in other):
        yield error(FILE, "input", "speech at another level makes one sound of all clips")
    again = [bench.output(fresh[-1], seeds[fresh[-1].id], fresh[-1].id) for _ in fresh]
    share = median(sound.wall_ns for sound in again) / max(median(unique), 1)
    message = f"one clip again takes {100 * share:.0f} % of clips heard first"
    if share < CACHED:
        yield error(FILE, "speed", f"{message}: a cache answers")
    else:
        yield note(FILE, "speed", message)


def compare_outputs(
    bench: Bench, clips: list[Clip], seeds: dict[str, int], package: Package
) -> Finding:
    """Say whether the system gives the sounds of the package, as far as machines agree."""
    asked = clips[:CLIPS]
    outputs = {clip.id: bench.output(clip, seeds[clip.id], clip.id).samples for clip in asked}
    worst = max(
        (_distance(package.sounds[clip].samples, samples) for clip, samples in outputs.items()),
        default=0.0,
    )
    message = f"{len(asked)} submitted sounds made again, relative distance up to {worst:.3g}"
    # A warning at most: samplers on another machine may go another way.
    return (note if worst < ALIKE else warning)(FILE, "outputs", message)
