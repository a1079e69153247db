"""The gate: a run against a baseline, under a policy. Pure; command.py reads and writes."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from stabench.harness.compare.compare import Comparison, SystemComparison, compare
from stabench.harness.compare.evidence import Evidence, SystemEvidence, is_one_machine
from stabench.harness.compare.families import STAGE_SHARE
from stabench.harness.compare.paired import STANDARD, Sampling
from stabench.harness.compare.verdict import ALPHA, Bounds, Line, Options, Word, call, is_no_worse
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.formatting import counted
from stabench.harness.gate.noise import Noise
from stabench.harness.gate.policy import Policy


class Check(NamedTuple):
    """One guarded metric of one system. `stages`: those that slowed their phase, largest first.

    `closed`: with --strict this check does not hold the gate open. `allowed`: the policy names it
    as one that may be not measured.
    """

    system: str
    metric: str
    label: str
    line: Line | None
    verdict: Word
    reason: str = ""
    stages: tuple[Line, ...] = ()
    closed: bool = True
    allowed: bool = False

    @property
    def blind(self) -> bool:
        """Whether what is guarded was not measured, and the policy does not allow that."""
        return self.verdict == "not measured" and not self.allowed


class Gate(NamedTuple):
    """Every check, systems in which `too_many` clips failed, and what a reader must know."""

    old: Evidence
    new: Evidence
    checks: tuple[Check, ...]
    too_many: tuple[str, ...]
    notes: tuple[str, ...]
    strict: bool

    @property
    def exit_code(self) -> int:
        """Return 1: regressed; 4: too many clips failed; 5: not measured, with --strict also open.

        What is guarded and not measured is never green: nobody knows how it is.
        """
        # Too many failures have an exit code of their own, below.
        if any(check.verdict == "regressed" and check.metric != "failed" for check in self.checks):
            return 1
        if self.too_many:
            return 4
        return 5 if not self.measured or any(map(self.opened, self.checks)) else 0

    @property
    def measured(self) -> bool:
        """Return whether there is a number of anything: that no clip failed is not enough."""
        return any(
            check.verdict != "not measured" for check in self.checks if check.metric != "failed"
        )

    def opened(self, check: Check) -> bool:
        """Return whether a check keeps the gate from passing; with nothing measured, each does."""
        open_ = not check.closed and not check.allowed
        return check.blind or not self.measured or (self.strict and open_)

    @property
    def unmeasured(self) -> int:
        """How many checks have no number, allowed or not."""
        return sum(check.verdict == "not measured" for check in self.checks)


class Counts(NamedTuple):
    """Clips of a system: `failed` and not run (`unrun`) of those `planned`."""

    failed: int
    unrun: int
    planned: int


def gate(
    old: Evidence,
    new: Evidence,
    policy: Policy,
    counts: Mapping[str, Counts],
    *,
    noise: Noise | None = None,
    strict: bool = False,
    sampling: Sampling = STANDARD,
) -> Gate:
    """Judge every guarded system of `new` against that of the same name in `old`.

    The p-values of all checks are adjusted together (Holm): the gate has one answer. Raises
    StabenchError for numbers of another provenance and for a system that neither has.
    """
    wanted = policy.systems or tuple(old.systems)
    for name in wanted:
        if name not in (known := {**old.systems, **new.systems}):
            raise StabenchError(f"policy: {unknown('system', name, known)}")
    both = {name: name for name in wanted if name in old.systems and name in new.systems}
    thresholds, notes = _choose_thresholds(policy, new, noise)
    options = Options(
        names=both,
        bounds={phase: Bounds(size, size) for phase, size in thresholds.items()},
        family="all",
        sampling=sampling,
    )
    comparison = (
        compare(_keep_guarded(old, policy), _keep_guarded(new, policy), options) if both else None
    )
    checks = [
        check._replace(
            allowed={check.metric, f"{name}/{check.metric}"} & {*policy.may_be_unmeasured} != set()
        )
        for name in wanted
        for check in _build_checks(name, comparison, policy, counts, old)
    ]
    too_many = tuple(name for name in wanted if _has_too_many(counts.get(name), policy))
    return Gate(old, new, tuple(checks), too_many, notes, strict)


def _choose_thresholds(
    policy: Policy, new: Evidence, noise: Noise | None
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the least slowdown of each phase that counts, and a note of where it comes from."""
    rules, guarded = policy.latency, policy.latency.guarded(new.of_task)
    if rules.threshold is not None:
        return dict.fromkeys(guarded, rules.threshold), ()
    # The noise of another machine says nothing of this one.
    known = noise.phases if noise and is_one_machine(noise.hardware, new.hardware) else None
    thresholds: dict[str, float] = {
        phase: known[phase].threshold if known and phase in known else rules.unmeasured
        for phase in guarded
    }
    sizes = ", ".join(f"{phase} {size:.1%}" for phase, size in thresholds.items())
    if known is not None:
        return thresholds, (f"least slowdown that counts, by this machine's own noise: {sizes}",)
    return thresholds, (
        f"least slowdown that counts: {sizes}; this machine's noise is not measured "
        "(stabench doctor --noise)",
    )


def _keep_guarded(run: Evidence, policy: Policy) -> Evidence:
    """Return only what the policy guards of a run."""
    # Each test beyond the policy would raise the adjusted p-values of those that it asks for.
    guarded = policy.latency.guarded(run.of_task)
    phases = {phase.name for phase in run.of_task.phases if phase.column.key in guarded}

    def keep(system: SystemEvidence) -> SystemEvidence:
        columns = {k: v for k, v in system.columns.items() if k in policy.quality.effects}
        samples = {k: v for k, v in system.samples_ns.items() if k in phases}
        stages = {k: v for k, v in system.stages_ns.items() if k.split("/")[0] in phases}
        return system.model_copy(
            update={"columns": columns, "samples_ns": samples, "stages_ns": stages}
        )

    systems = {name: keep(system) for name, system in run.systems.items()}
    return run.model_copy(update={"systems": systems})


def _build_checks(
    name: str,
    comparison: Comparison | None,
    policy: Policy,
    counts: Mapping[str, Counts],
    old: Evidence,
) -> Iterator[Check]:
    """Yield the checks of a system: quality in the policy's order, latencies, failures."""
    systems = {pair.new: pair for pair in comparison.systems} if comparison else {}
    system = systems.get(name)
    lack = f"no system '{name}' in the {'run' if name in old.systems else 'baseline'}"
    lines = {line.key: line for line in system.lines} if system else {}
    for key in policy.quality.effects:
        line = lines.get(key)
        label = old.heads[key].label if key in old.heads else key
        if line is None:
            reason = "in neither run" if system else lack
            yield Check(name, key, label, None, "not measured", reason, closed=system is not None)
        else:
            yield _check_quality(name, line, policy)
    for key in policy.latency.guarded(old.of_task):
        if system is None:
            yield Check(name, key, key.capitalize(), None, "not measured", lack, closed=False)
        else:
            yield _check_latency(name, lines[key], system)
    if name in counts:
        yield _check_failures(name, counts[name], policy)


def _check_quality(name: str, line: Line, policy: Policy) -> Check:
    """Judge a line by the bounds of the policy, which may be shares of the system's old value."""
    change = line.change
    if change is None:
        return _build_check(name, line)
    bounds = policy.quality.effects[line.key].bounds(change.old)
    line = line._replace(bounds=bounds)
    if line.p_adjusted is None:
        return _build_check(name, line)
    word, reason = call(change, line.p_adjusted, line.better, bounds, relative=False)
    fine = word == "improved" or is_no_worse(change, line.better, bounds, relative=False)
    return _build_check(name, line._replace(verdict=word, reason=reason, no_worse=fine))


def _build_check(name: str, line: Line, stages: tuple[Line, ...] = ()) -> Check:
    """Return the check of a line, open where the line neither passes nor is a regression."""
    missing = line.verdict == "not measured"
    open_ = line.expected if missing else line.verdict == "inconclusive" and not line.no_worse
    reason = "; ".join(part for part in (line.reason, line.note) if part)
    return Check(name, line.key, line.label, line, line.verdict, reason, stages, not open_)


def _check_latency(name: str, line: Line, system: SystemComparison) -> Check:
    """Judge a phase; a stage that regressed fails it too, where the phase became slower."""
    stages = _find_slower_stages(line, system)
    check = _build_check(name, line, stages)
    alone = [stage.label for stage in stages if stage.verdict == "regressed"]
    if line.verdict != "regressed" and alone:
        return check._replace(verdict="regressed", reason=f"stage {', '.join(alone)} is slower")
    return check


def _find_slower_stages(line: Line, system: SystemComparison) -> tuple[Line, ...]:
    """Return the stages whose change is significant, of a phase that became slower."""
    if line.change is None or line.change.change <= 1 or line.verdict == "not measured":
        return ()
    least_ns = STAGE_SHARE * line.change.old
    stages = [
        (stage.change.old - stage.change.new, stage)
        for stage in system.lines
        if stage.block == "stage"
        and stage.phase == line.key
        and stage.change is not None
        and (stage.p_adjusted if stage.p_adjusted is not None else 1.0) <= ALPHA
        and stage.change.change > 1
        and stage.change.new - stage.change.old >= least_ns
    ]
    # By what they lost alone: stages of equal loss keep the order of the run.
    return tuple(stage for _, stage in sorted(stages, key=lambda pair: pair[0]))


def _has_too_many(counts: Counts | None, policy: Policy) -> bool:
    return counts is not None and counts.failed > policy.max_failed_share * counts.planned


def _check_failures(name: str, counts: Counts, policy: Policy) -> Check:
    failed, unrun, planned = counts
    reason = f"{failed} of {counted(planned, 'clip')} failed"
    if failed:
        reason += f", allowed {policy.max_failed_share * planned:g}"
    if unrun:
        reason += f", {unrun} not run"
    word: Word = "not measured" if unrun else "same"
    word = "regressed" if _has_too_many(counts, policy) else word
    return Check(name, "failed", "Failed clips", None, word, reason, closed=not unrun)
