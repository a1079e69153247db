"""The policy of a gate: what is guarded and how large a change counts, read from gate.toml."""

import re
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError

from stabench.harness.compare.evidence import Evidence
from stabench.harness.compare.verdict import Bounds
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.schema import Strict, first_wrong
from stabench.harness.suites.metrics import metric_names
from stabench.harness.tables import read_toml
from stabench.harness.tasks.task import Task

PERCENT = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")
MACHINE = "machine"


class Effect(NamedTuple):
    """The least change that counts: in the metric's unit, or a share of the old value."""

    value: float
    relative: bool

    def bounds(self, old: float) -> Bounds:
        """Return the effect as a difference; no more than it is called the same."""
        size = self.value * abs(old) if self.relative else self.value
        return Bounds(size, size)


def percent(text: object) -> float:
    """Return the share of a text such as "5 %": 0.05. Raises ValueError for another form, or 0."""
    match = PERCENT.match(text) if isinstance(text, str) else None
    if match is None or not 0 < float(match[1]) < 1000:
        raise ValueError(f'{text!r} is no percentage; write such as "5 %"')
    return float(match[1]) / 100


def _parse_effect(value: object) -> Effect:
    if isinstance(value, str):
        return Effect(percent(value), True)
    # TOML's true is an int in Python, and no effect.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf:
        return Effect(float(value), False)
    raise ValueError(f'{value!r} is no effect; write a number of 0 or more, or such as "5 %"')


class Quality(Strict):
    """The metrics that guard, each with the least change that counts."""

    provenance: Literal["equal"] = Field(
        "equal", description="Numbers of another provenance are refused."
    )
    effects: dict[str, Annotated[Effect, BeforeValidator(_parse_effect)]] = Field(
        {},
        description="Metric = least change that counts, in the metric's unit or in percent of the "
        "baseline. Metrics that are not named do not guard.",
        json_schema_extra={"written": "table", "allowed": 'numbers of 0 or more, or such as "3 %"'},
    )


class Latency(Strict):
    """The phases that guard, and the least slowdown that counts, as a share.

    `threshold` None is the word "machine".
    """

    phases: tuple[str, ...] | None = Field(
        None,
        description="Columns of the phases that guard.",
        json_schema_extra={"default": "all of the task", "allowed": "`processing`, `generation`"},
    )
    threshold: Annotated[
        float | None, BeforeValidator(lambda text: None if text == MACHINE else percent(text))
    ] = Field(
        None,
        description="Least slowdown that counts. `machine`: what `stabench doctor --noise` found "
        "for this machine; where it has not measured it, `unmeasured`.",
        json_schema_extra={
            "written": "text",
            "default": '`"machine"`',
            "allowed": '`"machine"`, or such as `"5 %"`',
        },
    )
    unmeasured: Annotated[float, BeforeValidator(percent)] = Field(
        0.1,
        description="Least slowdown that counts on a machine whose noise was not measured.",
        json_schema_extra={"written": "text", "default": '`"10 %"`', "allowed": 'such as `"5 %"`'},
    )

    def guarded(self, task: Task) -> tuple[str, ...]:
        """Return the columns of the phases that guard. Raises StabenchError for an unknown one."""
        known = tuple(phase.column.key for phase in task.phases)
        for name in self.phases or ():
            if name not in known:
                raise StabenchError(f"policy, latency.phases: {unknown('phase', name, known)}")
        return known if self.phases is None else self.phases


class Policy(Strict):
    """gate.toml."""

    systems: tuple[str, ...] = Field(
        (),
        description="Systems that are guarded, by name.",
        json_schema_extra={"default": "all of the baseline"},
    )
    max_failed_share: float = Field(
        0.0, ge=0, le=1, description="Share of a system's clips that may fail; above it: exit 4."
    )
    may_be_unmeasured: tuple[str, ...] = Field(
        (),
        description='What may lack a number, as METRIC or SYSTEM/METRIC, such as "star/wer"; of '
        "all else a missing number ends with exit 5.",
    )
    quality: Quality = Quality()
    latency: Latency = Latency()


# Beside this file: what a gate guards where no policy is given.
DEFAULT = Path(__file__).with_name("default.toml")
# The least change that counts of a metric that it does not name.
USUAL = Effect(0.03, True)


def load_default() -> Policy:
    """Return the policy that comes with stabench; it names no system."""
    return load(DEFAULT)


def choose_effect(metric: str, rules: Policy) -> Effect:
    """Return the least change that counts of a metric, also of one that the rules do not name."""
    return rules.quality.effects.get(metric, USUAL)


def derive(evidence: Evidence) -> Policy:
    """Return the policy of all that a run has measured, with what it could not as unmeasured."""
    rules = load_default()
    systems, task = evidence.systems, evidence.of_task
    columns = dict.fromkeys(key for system in systems.values() for key in system.columns)
    measured = {
        name: {key for key, cell in system.columns.items() if cell.value is not None}
        | {phase.column.key for phase in task.phases if phase.name in system.samples_ns}
        for name, system in systems.items()
    }
    anywhere = set().union(*measured.values())
    effects = {key: choose_effect(key, rules) for key in columns if key in anywhere}
    phases = tuple(phase.column.key for phase in task.phases if phase.column.key in anywhere)
    lacking = tuple(
        f"{name}/{key}"
        for name, keys in measured.items()
        for key in (*effects, *phases)
        if key not in keys
    )
    return rules.model_copy(
        update={
            "systems": tuple(systems),
            "may_be_unmeasured": lacking,
            "quality": rules.quality.model_copy(update={"effects": effects}),
            "latency": rules.latency.model_copy(update={"phases": phases}),
        }
    )


def load(path: Path, further: Iterable[str] = ()) -> Policy:
    """Read a policy. Raises MissingError without the file, StabenchError for what is wrong.

    `further` are metrics that are measured here and not registered, by their own names.
    """
    what = f"policy '{path}'"
    value = read_toml(what, Path(path), f"{what} is not there; give a gate.toml")
    return parse(what, value, further)


def parse(what: str, value: dict[str, Any], further: Iterable[str] = ()) -> Policy:
    """Return a policy from plain values; `what` begins the line of an error."""
    try:
        policy = Policy.model_validate(value)
    except ValidationError as error:
        raise StabenchError(f"{what}: {first_wrong(error, Policy)}") from None
    known = {*metric_names(), *further}
    for name in policy.quality.effects:
        if name not in known:
            raise StabenchError(f"{what}: quality.effects: {unknown('metric', name, known)}")
    return policy
