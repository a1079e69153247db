"""Where the numbers come from in full: the environment, and the networks with whole digests."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from harness.environment import Environment
from harness.metrics_file import ProvenanceRecord
from harness.page import Grid, Head, Line, Printed, Section
from harness.results import Results


def facts(results: Results) -> tuple[Section, ...]:
    """What a reviewer looks up; the other reports keep it in report.json."""
    found = []
    if results.metrics and results.metrics.provenance.embedders:
        found.append(_networks(results.metrics.provenance))
    if results.run:
        found += [_environment(results.run.record.environment)]
        found += [_packages(results.run.record.environment)]
    return tuple(found)


def _networks(provenance: ProvenanceRecord) -> Section:
    lines = [
        (role, net.name, net.origin, net.licence, net.sha256, net.identity)
        for role, net in provenance.embedders.items()
    ]
    return _section("Networks", ("Role", "Name", "Origin", "Licence", "sha256", "Identity"), lines)


def _environment(environment: Environment) -> Section:
    values = asdict(environment)
    values.pop("packages")
    lines = ((name.replace("_", " "), _written(value)) for name, value in values.items())
    return _section("Environment", ("What", "Value"), lines)


def _packages(environment: Environment) -> Section:
    return _section("Packages", ("Package", "Version"), environment.packages.items())


def _section(title: str, heads: Iterable[str], lines: Iterable[Iterable[str]]) -> Section:
    grid = Grid(tuple(map(Head, heads)), tuple(Line(tuple(map(Printed, cells))) for cells in lines))
    return Section(title, grid=grid)


def _written(value: Any) -> str:
    """A fact in a few words; what is not known says so."""
    if value is None or value == ():
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_written(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_written, value))
    return str(value)
