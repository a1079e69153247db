"""What the command line asks of a suite: other systems, other keys.

A system is asked for as [NAME=]WHAT, where WHAT is a system of the suite, a registered one, a
class "path.py:Class", or "cascade:asr=NAME,tta=NAME". A key is set as KEY=VALUE with the keys of
the TOML file, dotted; a system is named by its name.
"""

import tomllib
from collections.abc import Sequence
from typing import Any

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.suites.suite import FORMER_RUN, RUN, ConditionUse, Suite, SystemUse, parse

COMPOSED = "cascade:"
HALVES = ("asr", "tta")
# The recogniser that is told what was said: a cascade with it is the oracle.
ORACLE = "caption"


def select_systems(suite: Suite, specs: Sequence[str]) -> Suite:
    """Return the suite with the systems of `specs` alone, in their order; with all for none.

    Raises StabenchError for a name that neither the suite nor the registry knows.
    """
    if not specs:
        return suite
    chosen = [_read_spec(suite, spec) for spec in specs]
    return parse(f"suite '{suite.name}'", {**suite.resolved(), "system": chosen})


def select_conditions(suite: Suite, names: Sequence[str]) -> Suite:
    """Return the suite with the conditions of `names` alone, in their order; with its own for none.

    The clean speech is heard in every case.
    """
    if not names:
        return suite
    known = {condition.name: condition for condition in suite.conditions}
    chosen = [(known.get(name) or ConditionUse(name=name)).model_dump() for name in names]
    return parse(f"suite '{suite.name}'", {**suite.resolved(), "condition": chosen})


def set_keys(suite: Suite, assignments: Sequence[str]) -> Suite:
    """Return the suite with each KEY=VALUE of `assignments` set, read as strictly as a file.

    A value is one of TOML's ("0.5", "true", '["kl"]'); what is none is a text. Raises
    StabenchError for another form, an unknown key or a value that is not allowed.
    """
    if not assignments:
        return suite
    value = suite.resolved()
    value[RUN] = value.pop(FORMER_RUN)
    for text in assignments:
        key, equals, value_text = text.partition("=")
        path = key.split(".")
        if not equals or not all(path):
            raise StabenchError(f"--set '{text}': expected KEY=VALUE, such as run.repeats=3")
        _set_key(suite, value, path, read_value(value_text))
    return parse(f"suite '{suite.name}' with --set", value)


def _read_spec(suite: Suite, spec: str) -> SystemUse | dict[str, Any]:
    """Return the system of one --system."""
    # A path may hold "=" itself: only what looks like a name before it is one.
    name, equals, what = spec.partition("=")
    if not equals or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        name, what = "", spec
    if spec.startswith(COMPOSED):
        name, what = "", spec
    use = _find_system(suite, what)
    return use.model_dump(by_alias=True) | {"name": name} if name else use


def _find_system(suite: Suite, what: str) -> SystemUse:
    known = {system.name: system for system in suite.systems}
    if what in known:
        return known[what]
    if what.startswith(COMPOSED):
        return _compose(what)
    if registry.is_file(what):
        target = registry.target("systems", what)
        return SystemUse(name=target.rsplit(":", 1)[1], use=target)
    registered = registry.entries("systems")
    if what in registered:
        return SystemUse(name=what, use=what)
    raise StabenchError(
        f"suite '{suite.name}': {unknown('system', what, known)}; registered are "
        f"{', '.join(registered)}"
    )


def _compose(what: str) -> SystemUse:
    """Return the cascade of "cascade:asr=NAME,tta=NAME"."""
    parts = dict(part.partition("=")[::2] for part in what.removeprefix(COMPOSED).split(","))
    if set(parts) != set(HALVES):
        raise StabenchError(
            f"--system '{what}': expected cascade:asr=NAME,tta=NAME, such as "
            "cascade:asr=whisper-base,tta=tango2"
        )
    find_part = registry.attribute("stabench.systems.cascade.compose:find_part")
    for half, name in parts.items():
        try:
            find_part(half, name)
        except ValueError as error:
            raise StabenchError(f"--system '{what}': {error}") from None
    asr, tta = (parts[half] for half in HALVES)
    return SystemUse(
        name=f"{asr}+{tta}",
        label=f"{asr} + {tta}",
        paradigm="oracle" if asr == ORACLE else "cascade",
        use="cascade",
        options={"asr": asr, "tta": tta},
    )


def read_value(text: str) -> Any:
    """Return what TOML takes a value for ("0.5", "true", '["kl"]'), else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set_key(suite: Suite, value: dict[str, Any], path: list[str], new: Any) -> None:
    """Put `new` at `path` into the plain suite `value`, making the tables on the way."""
    place: Any = value
    where = ".".join(path)
    if path[0] == FORMER_RUN:
        path = [RUN, *path[1:]]
    if path[0] == "system" and len(path) > 2:
        systems = {system["name"]: system for system in value["system"]}
        # A name may hold dots itself: the longest that is one counts.
        names = [".".join(path[1:end]) for end in range(len(path) - 1, 1, -1)]
        name = next((name for name in names if name in systems), None)
        if name is None:
            what = unknown("system", path[1], systems)
            raise StabenchError(f"--set {where}: suite '{suite.name}': {what}")
        place, path = systems[name], path[2 + name.count(".") :]
    for key in path[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise StabenchError(f"--set {where}: '{key}' is a value, no table of keys")
    place[path[-1]] = new
