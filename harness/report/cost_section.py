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


def describe_costs(results: Results, table: Table) -> Section | None:
    """Return the costs of every profiled system, None where nothing was profiled."""
    costs = costs_file.read(results.run.path) if results.run else None
    if costs is None or not costs.systems:
        return None
    labels = table.labels
    lines: list[Line] = []
    points = [_describe_ceilings(costs)]
    for system, profile in costs.systems.items():
        label = labels.get(system, system)
        lines += _print_system(label, profile, costs.ceilings, results.timed(system), results)
        points += [f"{label}: {text}" for text in _describe_clip(profile, results.trials, system)]
    points += _explain_energy(costs, labels)
    if results.untimed:
        points.append(f"No medians: {results.untimed}.")
    else:
        most = max(
            len({row.clip for row in results.timed(name)} - results.copies.keys())
            for name in costs.systems
        )
        if most < least_n(50):
            points.append(f"Medians need {least_n(50)} clips; there are {most}.")
    heads = (Head("Stage"), *(Head(h, "counts") for h in HEADS), *(Head(h, "time") for h in TIMES))
    grid = Grid(heads, tuple(lines)) if lines else None
    return Section("costs", "Costs", ABOUT if lines else (), grid, tuple(points))


def bound_s(stage: StageCost, ceilings: Ceilings | None) -> float | None:
    """Return the seconds that the stage takes at the ceilings, None where one is not known.

    The longer of computing (FLOPs of each precision at its own rate) and reading.
    """
    if ceilings is None or not stage.operations:
        return None
    if stage.flops is None or stage.read_bytes is None:
        return None
    # One unknown rate leaves the sum unknown: a bound from the rest would be too low.
    rates = [ceilings.flops_per_s.get(precision) for precision in stage.flops]
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return None
    computed_s = sum(flops / rate for flops, rate in zip(stage.flops.values(), known, strict=True))
    return max(computed_s, stage.read_bytes / ceilings.bytes_per_s)


def _print_system(
    label: str,
    profile: Profile,
    ceilings: Ceilings | None,
    trials: Sequence[Trial],
    results: Results,
) -> Iterable[Line]:
    stages = [
        stage
        for stage in profile.stages
        # A remainder in which nothing happened says nothing.
        if stage.name != REMAINDER or stage.operations or stage.launches or stage.waits
    ]
    if stages:
        yield Line(heading=label)
    for stage in stages:
        median_ns = _measure_median_ns(stage, trials, results)
        name = f"{stage.phase} {stage.name}" if stage.name == REMAINDER else stage.name
        bound = bound_s(stage, ceilings)
        times = [Printed(_format(bound, 1e-3)), _print_estimate(median_ns.scaled(1e-6))]
        if bound and median_ns.value is not None:
            times.append(_print_estimate(median_ns.scaled(1e-9 / bound)))
        else:
            times.append(Printed(ABSENT))
        yield Line((Printed(name), *_print_counts(stage), *times))


def _print_counts(stage: StageCost) -> Iterable[Printed]:
    # Where neither torch nor the driver was seen at work, a 0 would be a claim.
    active = bool(stage.operations) or bool(stage.launches)
    for count in (stage.operations, stage.launches, stage.kernels, stage.waits):
        yield Printed(f"{count}" if active and count is not None else ABSENT)
    flops = sum(stage.flops.values()) if stage.flops is not None else None
    computes = bool(stage.operations)
    # Where torch ran nothing, the stage may have computed without it: 0 would be a claim too.
    for value, unit in ((flops, 1e9), (stage.read_bytes, 1e6)):
        yield Printed(_format(value, unit) if computes else ABSENT)
    yield Printed(_format(stage.peak_bytes, 1e6))


def _format(value: float | None, unit: float) -> str:
    return ABSENT if value is None else figure(value / unit, decimals([value / unit]))


def _print_estimate(number: Estimate) -> Printed:
    if number.value is None:
        return Printed(ABSENT)
    digits = decimals([number.value])
    return Printed(figure(number.value, digits), interval(number.low, number.high, digits))


def _measure_median_ns(stage: StageCost, trials: Sequence[Trial], results: Results) -> Estimate:
    """Return the median wall time of the stage over the timed clips that have it."""
    if results.run is None:
        return Estimate.missing(results.untimed or "not timed")
    clips: list[str] = []
    walls_ns: list[int] = []
    for row in trials:
        if stage.name == REMAINDER:
            wall_ns = row.remainder_ns(stage.phase)
        else:
            key = (stage.phase, stage.name)
            spans = (span for span in row.spans if (span.phase, span.name) == key)
            wall_ns = next((span.wall_ns for span in spans), None)
        # A stage may be missing in some clips: its median is over those that have it.
        if wall_ns is not None:
            clips.append(results.copies.get(row.clip, row.clip))
            walls_ns.append(wall_ns)
    settings = results.run.suite.run
    return Latency(walls_ns, clips, settings.bootstrap, settings.seed).median


def _describe_clip(profile: Profile, trials: Iterable[Trial], system: str) -> Iterable[str]:
    """Yield memory and energy of a clip, and what could not be counted."""
    # Of all rows, failed ones too: memory is what they may have failed for.
    peaks = [row.peak_memory_bytes for row in trials if row.system == system]
    most = max((peak for peak in peaks if peak is not None), default=None)
    if most is not None:
        yield f"peak memory {most / 2**20:.0f} MiB"
    energy = profile.energy
    if energy is not None and energy.clip_j is not None:
        yield (
            f"energy {_format(energy.clip_j, 1)} J a clip beyond idling at {energy.idle_w:.0f} W "
            f"({energy.clips} clips in {energy.wall_s:.1f} s)"
        )
    yield from profile.failures


def _explain_energy(costs: CostsFile, labels: dict[str, str]) -> Iterable[str]:
    """Yield a point for each reason why there is no energy, with the systems it holds for."""
    systems: dict[str, list[str]] = defaultdict(list)
    for name, profile in costs.systems.items():
        if profile.energy is not None and profile.energy.reason:
            systems[profile.energy.reason].append(labels.get(name, name))
    for reason, names in systems.items():
        whose = "" if len(names) == len(costs.systems) else f" of {', '.join(names)}"
        yield f"Energy{whose} {ABSENT}: {reason}."


def _describe_ceilings(costs: CostsFile) -> str:
    """Return what the device does at best, and how it was measured."""
    if costs.ceilings is None:
        return f"Ceilings {ABSENT}: {costs.no_ceilings or 'nothing computed by torch was counted'}."
    best = costs.ceilings
    rates = [
        f"{ABSENT} in {name}" if rate is None else f"{_format(rate, 1e12)} TFLOP/s in {name}"
        for name, rate in best.flops_per_s.items()
    ]
    bandwidth = f"{_format(best.bytes_per_s, 1e9)} GB/s"
    threads = f", {counted(best.threads or 1, 'thread')}" if best.device == "CPU" else ""
    return (
        f"Ceilings of {best.device}: {', '.join(rates)}, {bandwidth} (torch {best.torch}{threads})."
    )
