"""The section of costs: what each stage launches, computes and reads, against the ceilings."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from stabench.harness.formatting import counted, decimals, figure, interval
from stabench.harness.profiling import costs_file
from stabench.harness.profiling.costs_file import CostsFile
from stabench.harness.profiling.profile import Profile, StageCost
from stabench.harness.profiling.roofline import Ceilings
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.report.table import Table
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.journal import Row as Trial
from stabench.harness.runs.results import Results
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency, least_n

ABSENT = "n/a"
HEADS = ("operations", "launches", "kernels", "waits", "GFLOP", "read (MB)", "peak (MB)")
TIMES = ("roofline (ms)", "median (ms)", "times roofline")
ABOUT = (
    "Counted on one clip of median length after the timed clips, with the clock off. Operations: "
    "ATen operations that compute or move something. Launches: calls that start kernels, a CUDA "
    "graph being one; kernels: what then ran. Waits: how often the host waited for the device "
    "(on a CPU: values read one by one, for which a GPU's host would wait). GFLOP: two for each "
    "multiply-add of matrix products, convolutions and attention. Read: weights, caches and "
    "inputs, once for every operation that reads them.",
    "Roofline: the longer of the two times that computing and reading take at the ceilings, both "
    "measured on this device. It counts no activations, and a stage whose weights stay in a cache "
    "can be faster. Medians are wall times of the timed clips.",
)


def costs(results: Results, table: Table) -> Section | None:
    """The costs of every profiled system, None where nothing was profiled."""
    found = costs_file.read(results.run.path) if results.run else None
    if found is None or not found.systems:
        return None
    labels = {row.system: row.label for row in table.rows if row.paradigm != "sanity"}
    lines: list[Line] = []
    points = [_ceilings(found)]
    for system, profile in found.systems.items():
        label = labels.get(system, system)
        lines += _lines(label, profile, found.ceilings, results.timed(system), results)
        points += [f"{label}: {text}" for text in _said(profile, results.trials, system)]
    points += [*_without_energy(found, labels), *_too_few(found, results)]
    heads = (Head("Stage"), *(Head(h, "counts") for h in HEADS), *(Head(h, "time") for h in TIMES))
    grid = Grid(heads, tuple(lines)) if lines else None
    return Section("Costs", ABOUT if lines else (), grid, tuple(points))


def roofline_s(stage: StageCost, ceilings: Ceilings | None) -> float | None:
    """Seconds that the stage takes at the ceilings, None where one of them is not known.

    The longer of computing (FLOPs of each precision at its own rate) and reading.
    """
    if ceilings is None or not stage.operations:
        return None
    if stage.flops is None or stage.read_bytes is None:
        return None
    rates = [ceilings.flops_per_s.get(precision) for precision in stage.flops]
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return None
    computed_s = sum(flops / rate for flops, rate in zip(stage.flops.values(), known, strict=True))
    return max(computed_s, stage.read_bytes / ceilings.bytes_per_s)


def _lines(
    label: str,
    profile: Profile,
    ceilings: Ceilings | None,
    trials: Sequence[Trial],
    results: Results,
) -> Iterable[Line]:
    stages = [stage for stage in profile.stages if stage.name != REMAINDER or _busy(stage)]
    if stages:
        yield Line(heading=label)
    for stage in stages:
        median_ns = _median_ns(stage, trials, results)
        cells = (*_counts(stage), *_times(roofline_s(stage, ceilings), median_ns))
        yield Line((Printed(_name(stage)), *cells))


def _name(stage: StageCost) -> str:
    return f"{stage.phase} {stage.name}" if stage.name == REMAINDER else stage.name


def _busy(stage: StageCost) -> bool:
    return bool(stage.operations or stage.launches or stage.waits)


def _counts(stage: StageCost) -> Iterable[Printed]:
    seen = bool(stage.operations) or bool(stage.launches)
    for count in (stage.operations, stage.launches, stage.kernels, stage.waits):
        yield Printed(ABSENT if count is None or not seen else f"{count}")
    flops = sum(stage.flops.values()) if stage.flops is not None else None
    computes = bool(stage.operations)
    for value, unit in ((flops, 1e9), (stage.read_bytes, 1e6)):
        yield Printed(_scaled(value, unit) if computes else ABSENT)
    yield Printed(_scaled(stage.peak_bytes, 1e6))


def _scaled(value: float | None, unit: float) -> str:
    return ABSENT if value is None else figure(value / unit, decimals([value / unit]))


def _times(roofline: float | None, median_ns: Estimate) -> Iterable[Printed]:
    yield Printed(ABSENT if roofline is None else _scaled(roofline, 1e-3))
    yield _printed(median_ns.scaled(1e-6))
    timed = median_ns.value is not None
    yield _printed(median_ns.scaled(1e-9 / roofline)) if roofline and timed else Printed(ABSENT)


def _printed(number: Estimate) -> Printed:
    if number.value is None:
        return Printed(ABSENT)
    digits = decimals([number.value])
    return Printed(figure(number.value, digits), interval(number.low, number.high, digits))


def _median_ns(stage: StageCost, trials: Sequence[Trial], results: Results) -> Estimate:
    """The median wall time of the stage over the timed clips that have it."""
    if results.run is None:
        return Estimate.missing(results.untimed or "not timed")
    walls = [(row.clip, _wall_ns(row, stage)) for row in trials]
    known = [(clip, wall) for clip, wall in walls if wall is not None]
    protocol = results.run.suite.protocol
    clips, samples = [clip for clip, _ in known], [wall for _, wall in known]
    return Latency(samples, clips, protocol.bootstrap, protocol.seed).median


def _wall_ns(row: Trial, stage: StageCost) -> int | None:
    if stage.name == REMAINDER:
        return row.remainder_ns(stage.phase)
    spans = (span for span in row.spans if (span.phase, span.name) == (stage.phase, stage.name))
    return next((span.wall_ns for span in spans), None)


def _said(profile: Profile, trials: Iterable[Trial], system: str) -> Iterable[str]:
    """Memory and energy of a clip, and what could not be counted."""
    peaks = [row.peak_memory_bytes for row in trials if row.system == system]
    most = max((peak for peak in peaks if peak is not None), default=None)
    if most is not None:
        yield f"peak memory {most / 2**20:.0f} MiB"
    energy = profile.energy
    if energy is not None and energy.clip_j is not None:
        yield (
            f"energy {_scaled(energy.clip_j, 1)} J a clip beyond idling at {energy.idle_w:.0f} W "
            f"({energy.clips} clips in {energy.wall_s:.1f} s)"
        )
    yield from profile.failures


def _without_energy(found: CostsFile, labels: dict[str, str]) -> Iterable[str]:
    """A point for each reason why there is no energy, with the systems it holds for."""
    systems: dict[str, list[str]] = defaultdict(list)
    for name, profile in found.systems.items():
        if profile.energy is not None and profile.energy.reason:
            systems[profile.energy.reason].append(labels.get(name, name))
    for reason, names in systems.items():
        of = "" if len(names) == len(found.systems) else f" of {', '.join(names)}"
        yield f"Energy{of} {ABSENT}: {reason}."


def _ceilings(found: CostsFile) -> str:
    """What the device does at best, and how it was measured."""
    if found.ceilings is None:
        return f"Ceilings {ABSENT}: {found.no_ceilings or 'nothing computed by torch was counted'}."
    best = found.ceilings
    rates = [
        f"{ABSENT} in {name}" if rate is None else f"{_scaled(rate, 1e12)} TFLOP/s in {name}"
        for name, rate in best.flops_per_s.items()
    ]
    moved = f"{_scaled(best.bytes_per_s, 1e9)} GB/s"
    threads = f", {counted(best.threads or 1, 'thread')}" if best.device == "CPU" else ""
    return f"Ceilings of {best.device}: {', '.join(rates)}, {moved} (torch {best.torch}{threads})."


def _too_few(found: CostsFile, results: Results) -> Iterable[str]:
    """A point that says why no median is shown."""
    if results.untimed:
        yield f"No medians: {results.untimed}."
        return
    most = max(
        (len({row.clip for row in results.timed(name)}) for name in found.systems), default=0
    )
    if most < least_n(50):
        yield f"Medians need {least_n(50)} clips; there are {most}."
