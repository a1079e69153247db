"""Base and head of a source tree as two systems of one run, so that they take turns clip by clip.

A machine that is slow for a while is slow for both. The engine is the head's. Where the trees are
checkouts of stabench, the workers are each side's own stabench; where they are the user's, one
stabench runs the systems of either (gate/trees.py), each of which imports its own tree alone.
"""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness import files
from stabench.harness.compare.evidence import Evidence, SystemEvidence
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate.trees import Placed, Tree
from stabench.harness.runner.interpreters import NO_USER_FOLDER, NOT_PASSED
from stabench.harness.suites.suite import Suite, SystemUse, parse

# Suffixes of the two names of a system.
BASE, HEAD = "+base", "+head"
# It is called as an interpreter is: `shift` drops the engine's own start.py.
LAUNCHER = """#!/bin/sh
# Workers import the source tree that belongs to their side, whatever tree the engine runs from.
{variables}case $1 in
*/start.py) shift; exec {python} {start} "$@" ;;
*) exec {python} "$@" ;;
esac
"""
START = Path("stabench") / "start.py"
GUARD = Path(__file__).resolve().with_name("tree_guard.py")
EARLIER_LAUNCHER = """#!/bin/sh
{variables}export PYTHONPATH={source}
case $1 in
*/start.py) exec {python} -c {program} ;;
*) exec {python} "$@" ;;
esac
"""
# Where it lies in earlier trees, which import their rooms without "stabench.".
EARLIER_WORKER = Path("harness") / "worker.py"
EARLIER_PROGRAM = """
from harness import registry, worker
attribute, moved = registry.attribute, {"systems.cascade.registry": "systems.cascade.published"}
def attribute_here(target):
    module, name = target.removeprefix("stabench.").rsplit(":", 1)
    return attribute(moved.get(module, module) + ":" + name)
registry.attribute = attribute_here
worker.main()
"""


# The guard keeps modules of the other tree out, also from what is asked of the interpreter.
TREE_LAUNCHER = """#!/bin/sh
# A worker runs in the folder of its side and imports its tree; stabench is one for both.
{variables}cd {folder} && exec {python} {guard} {tree} {other} "$@"
"""


class Side(NamedTuple):
    """A source tree, the `checkout`, and the interpreter that runs it."""

    checkout: Path
    python: Path = Path(sys.executable)


def interleave(suite: Suite, base_python: Path | str, head_python: Path | str) -> Suite:
    """Return the suite with every system twice, NAME+base and NAME+head, interleaved by clip.

    Raises StabenchError for a system with an interpreter of its own and for batches: both sides
    would not run as they do alone, or not interleaved.
    """
    check_batches(suite)
    for system in suite.systems:
        if system.python is not None:
            raise StabenchError(
                f"system '{system.name}' has an interpreter of its own, '{system.python}'; "
                "base and head cannot be told apart: leave it out with --system"
            )
    pairs = [
        tuple(use.model_copy(update={"python": str(p)}) for p in (base_python, head_python))
        for use in suite.systems
    ]
    return pair_systems(suite, pairs)


def interleave_trees(suite: Suite, pairs: list[tuple[Placed, Placed]], folder: Path) -> Suite:
    """Return the suite with every system twice, as each tree has it, and write their launchers.

    The launchers are put into `folder`.
    """
    uses = []
    for pair in pairs:
        base, head = pair
        paths = [
            write_tree_launcher(folder, f"{placed.use.name}{suffix}", placed, other.tree)
            for placed, suffix, other in ((base, BASE, head), (head, HEAD, base))
        ]
        uses.append(
            tuple(
                placed.use.model_copy(update={"python": str(path)})
                for placed, path in zip(pair, paths, strict=True)
            )
        )
    return pair_systems(suite, uses)


def check_batches(suite: Suite) -> None:
    """Raise StabenchError for a suite of batches, whose sides cannot take turns clip by clip, and
    for one with conditions, which an older tree may not know.
    """
    if suite.conditions:
        raise StabenchError(
            f"suite '{suite.name}' has conditions; a gate of two trees hears the clean speech "
            "alone: give it a suite without them"
        )
    if suite.run.batch_size > 1:
        raise StabenchError(
            f"suite '{suite.name}': batch_size is {suite.run.batch_size}; base and head take "
            "turns clip by clip, set batch_size = 1"
        )


def pair_systems(suite: Suite, pairs: Sequence[tuple[SystemUse, ...]]) -> Suite:
    """Return the suite with both systems of each pair, base and head, interleaved by clip."""
    value = suite.resolved()
    value["system"] = [
        {**use.model_dump(mode="json", by_alias=True), "name": use.name + suffix}
        for pair in pairs
        for use, suffix in zip(pair, (BASE, HEAD), strict=True)
    ]
    # Turns of one clip: in longer ones a slow spell of the machine would hit one side alone.
    value["protocol"] |= {"block": 1}
    return parse(f"suite '{suite.name}', interleaved", value)


def check_side(side: Side) -> None:
    """Raise MissingError for a checkout or interpreter that is not there."""
    checkout, python = side.checkout.absolute(), side.python.absolute()
    if not any((checkout / worker).is_file() for worker in (START, EARLIER_WORKER)):
        raise MissingError(f"'{checkout}' is no checkout of stabench: it has no {START}")
    if not (python.is_file() and os.access(python, os.X_OK)):
        raise MissingError(f"interpreter '{python}' cannot be run; give an environment's python")


def write_launcher(folder: Path, name: str, side: Side) -> Path:
    """Write an executable script in `folder` that runs the side's interpreter on its source."""
    # The engine hands its own source to its workers: without the script both would run the head's.
    checkout, python = side.checkout.absolute(), side.python.absolute()
    path = folder.absolute() / name
    form = LAUNCHER if (checkout / START).is_file() else EARLIER_LAUNCHER
    parts = {
        "python": python,
        "start": checkout / START,
        "source": checkout,
        "program": EARLIER_PROGRAM,
    }
    quoted = {name: shlex.quote(str(part)) for name, part in parts.items()}
    own = python == Path(sys.executable).absolute()
    text = form.format(variables=_set_back() if own else "", **quoted)
    files.write_bytes(path, text.encode())
    path.chmod(0o755)
    return path


def write_tree_launcher(folder: Path, name: str, placed: Placed, other: Tree) -> Path:
    """Write an executable script in `folder` that runs one side's system in its own tree."""
    path, tree = folder.absolute() / name, placed.tree
    parts = {
        "folder": tree.folder,
        "python": placed.python,
        "guard": GUARD,
        "tree": tree.root,
        "other": other.root,
    }
    quoted = {name: shlex.quote(str(part)) for name, part in parts.items()}
    variables = _set_back() if placed.python == sys.executable else ""
    files.write_bytes(path, TREE_LAUNCHER.format(variables=variables, **quoted).encode())
    path.chmod(0o755)
    return path


def _set_back() -> str:
    """Return lines of a shell that undo what the engine keeps from other interpreters."""
    kept = [
        f"export {name}={shlex.quote(os.environ[name])}\n"
        for name in NOT_PASSED
        if name in os.environ
    ]
    unset = [f"unset {name}\n" for name in NO_USER_FOLDER if name not in os.environ]
    return "".join(kept + unset)


def write_suite(path: Path, suite: Suite) -> None:
    """Write the suite as a TOML file that `stabench run` reads, also to resume."""
    value = {key: part for key, part in suite.resolved().items() if part is not None}
    systems = value.pop("system")
    # Plain values come first: after a table's head TOML would read them as the table's.
    plain = {key: part for key, part in value.items() if not isinstance(part, dict)}
    lines = [*_format_pairs(plain)]
    for key, part in value.items():
        if isinstance(part, dict):
            lines += [f"[{key}]", *_format_pairs(part)]
    for system in systems:
        lines += ["[[system]]", *_format_pairs(system)]
    files.write_bytes(path, ("\n".join(lines) + "\n").encode())


def _format_pairs(table: dict[str, Any]) -> list[str]:
    return [
        f"{_quote(key)} = {_format_toml(value)}"
        for key, value in table.items()
        if value is not None
    ]


def _format_toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(_format_pairs(value))} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_format_toml, value))}]"
    return _quote(value) if isinstance(value, str) else json.dumps(value)


def _quote(value: str) -> str:
    """Return a string as a basic one of TOML."""
    # JSON's strings are TOML's, but that TOML asks for DEL to be escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def is_interleaved(run: Evidence) -> bool:
    """Return whether every system of a run is one side of a pair."""
    names = set(run.systems)
    heads = {name.removesuffix(HEAD) for name in names if name.endswith(HEAD)}
    return bool(heads) and names == {head + suffix for head in heads for suffix in (BASE, HEAD)}


def take_side(run: Evidence, suffix: str) -> Evidence:
    """Return one side of an interleaved run, with the plain names of its systems."""
    systems = {
        plain: system.model_copy(update={"name": plain})
        for name, system in run.systems.items()
        if name.endswith(suffix)
        for plain in (name.removesuffix(suffix),)
    }
    update: dict[str, Any] = {"systems": systems, "name": run.name + suffix}
    if run.hardware and not run.hardware.is_known:
        # Both sides ran on one machine, whatever it is called.
        same = {"cpu_model": f"the machine of {run.name}", "gpu": run.hardware.gpu or "its GPU"}
        update["hardware"] = run.hardware.model_copy(update=same)
    if suffix == BASE:
        # The run records the head's commit alone.
        update["git_commit"] = None
    return run.model_copy(update=update)


def replace_times(stored: Evidence, base: Evidence) -> Evidence:
    """Return a stored baseline's quality with the times of the base that ran beside the head."""

    def replace(name: str, system: SystemEvidence) -> SystemEvidence:
        # None for a system that the base lacks: the stored times are of another day.
        now = base.systems.get(name)
        times = {
            "samples_ns": now.samples_ns if now else {},
            "stages_ns": now.stages_ns if now else {},
            "untimed": now.untimed if now else None,
        }
        return system.model_copy(update=times)

    systems = {name: replace(name, system) for name, system in stored.systems.items()}
    name = f"{stored.name} (quality), {base.name} (times)"
    update = {"systems": systems, "hardware": base.hardware, "name": name}
    return stored.model_copy(update=update)
