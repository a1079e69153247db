"""Metrics by name: built in, of another package (entry point), or of a file ("path.py:NAME").

Inside the engine a metric goes by its own name; only here it is known what else it was named by.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.tasks.task import DEFAULT, load_task
from stabench.harness.tasks.task import DERIVED as TIMES
from stabench.metrics.protocol import ROLES, Protocol
from stabench.metrics.registry import METRICS, PARTS, Metric

# Names that become columns of tables and keys of options.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
# A column that is no metric (scoring/provenance.py).
DERIVED = "ceiling_share"
MOST_DIGITS = 9


class Columns(NamedTuple):
    """Columns to measure, by their metrics' own `names`; what each known name stands for.

    `metrics` are the built-in ones too; `sources` say where those from outside come from.
    """

    names: tuple[str, ...]
    metrics: Mapping[str, Metric]
    sources: Mapping[str, str]


def metric_names() -> tuple[str, ...]:
    """Return the names of all registered metrics: the built-in ones in their order, then others."""
    return tuple(dict.fromkeys((*METRICS, *registry.entries("metrics"))))


def check_metrics(names: Iterable[str]) -> None:
    """Raise StabenchError with the nearest match for an unknown name; imports no metric.

    Raises MissingError for a file that is not there.
    """
    for name in names:
        if not registry.is_file(name) and not name.endswith(".py") and name not in metric_names():
            raise StabenchError(unknown("column", name, metric_names()))
        registry.target("metrics", name)


def load_metric(name: str) -> Metric:
    """Return the metric of a registered name or "path.py:NAME".

    Raises StabenchError for an unknown name and for a declaration that is wrong, MissingError for
    a file or module that is not there.
    """
    if name in METRICS:
        registry.target("metrics", name)  # refuses another package's metric of the same name
        return METRICS[name]
    metric = registry.load("metrics", name, Metric)
    try:
        _check_declaration(metric)
    except StabenchError as error:
        raise StabenchError(f"column '{name}': {error}") from None
    if not registry.is_file(name) and metric.name != name:
        raise StabenchError(
            f"column '{name}': the metric calls itself '{metric.name}'; give both one name"
        )
    return metric


def load_metrics(names: Iterable[str], task: str = DEFAULT) -> Columns:
    """Return the metrics of some columns, each under its own name.

    Raises what `load_metric` raises, and StabenchError for two different ones of one name and for
    the name of a time, or of a listeners' column, of the task.
    """
    of_task = load_task(task)
    # Their own columns would be in the table too, under the same key.
    taken = {*TIMES, *(phase.column.key for phase in of_task.phases)}
    taken |= {column.key for column in of_task.columns if column.block != "quality"}
    origins: dict[str, str | None] = {}
    metrics = dict(METRICS)
    for name in names:
        metric = load_metric(name)
        origin = registry.origin("metrics", name)
        if metric.name in taken:
            raise StabenchError(
                f"column '{name}': its name '{metric.name}' is that of another column of the task "
                f"'{of_task.name}'; rename it"
            )
        if origins.setdefault(metric.name, origin) != origin:
            raise StabenchError(
                f"column '{name}': another column is called '{metric.name}' too "
                f"({origins[metric.name] or 'built in'}); rename one"
            )
        metrics[metric.name] = metric
    sources = {name: origin for name, origin in origins.items() if origin is not None}
    return Columns(tuple(origins), metrics, sources)


def _check_declaration(metric: Metric) -> None:
    """Raise StabenchError for what the engine or a table could not use."""
    if not isinstance(metric.name, str) or not NAME.fullmatch(metric.name):
        raise StabenchError(
            f"its name is {metric.name!r}; give a letter, then letters, digits, _ or -"
        )
    if metric.name in METRICS or metric.name == DERIVED:
        raise StabenchError(f"its name '{metric.name}' is that of a built-in column; rename it")
    if not isinstance(metric.label, str) or not metric.label.strip():
        raise StabenchError(f"its label is {metric.label!r}; give what a table calls it")
    for key in ("label", "unit", "about"):
        text = getattr(metric, key)
        if not isinstance(text, str) or not text.isprintable():
            raise StabenchError(f"{key} is {text!r}; give one line of text")
    for key in ("lowest", "highest"):
        limit = getattr(metric, key)
        if limit is not None and not isinstance(limit, int | float):
            raise StabenchError(f"{key} is {limit!r}; give a number, or None")
    if metric.better not in ("lower", "higher"):
        raise StabenchError(f"better is {metric.better!r}; give 'lower' or 'higher'")
    least = {"digits": 0, "version": 1, "least": 1}
    for key, low in least.items():
        value = getattr(metric, key)
        high = MOST_DIGITS if key == "digits" else None
        if type(value) is not int or value < low or (high is not None and value > high):
            allowed = f"{low} to {high}" if high is not None else f"{low} or more"
            raise StabenchError(f"{key} is {value!r}; give a whole number, {allowed}")
    known = {"needs": (*ROLES, *PARTS), "rules": tuple(Protocol.model_fields)}
    for key, words in known.items():
        value = getattr(metric, key)
        if not isinstance(value, tuple):
            raise StabenchError(f"{key} is {value!r}; give a tuple, such as ('tagger', 'pair')")
        for word in value:
            if word not in words:
                raise StabenchError(f"{key}: {unknown('word', str(word), words)}")
    _check_measure(metric)


def _check_measure(metric: Metric) -> None:
    """Raise StabenchError for a measure that cannot be called, or for needs that lack a network."""
    if isinstance(metric.measure, str):
        measure = registry.attribute(metric.measure)
    else:
        measure = metric.measure
    if not callable(measure):
        raise StabenchError(
            f"measure is {measure!r}; give a function of (metric, sets), or its 'module:function'"
        )
    # Labels are classes of the tagger, steps those of the timeline.
    for part, role in {"labels": "tagger", "sequence": "timeline", "together": "timeline"}.items():
        if part in metric.needs and role not in metric.needs:
            raise StabenchError(f"needs has '{part}' without '{role}'; add '{role}'")
    if "transcript" not in metric.needs and not {*metric.needs} & {*ROLES}:
        raise StabenchError(
            f"needs is {metric.needs!r}; name a network that hears the sounds: {', '.join(ROLES)}"
        )
