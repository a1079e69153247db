"""Two states of the user's own repository, whose systems one stabench runs side by side.

A path in a suite (an adapter, an interpreter) means the file at that place in each of the trees. A
checkout of stabench is no such tree: there each side's own stabench runs (gate/interleaved.py).
"""

import os
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runner.worker_process import SOURCE
from stabench.harness.runs.run_folder import Request
from stabench.harness.suites.select import select_systems, set_keys
from stabench.harness.suites.suite import Suite, SystemUse, parse
from stabench.harness.tables import read_toml


class Tree(NamedTuple):
    """One state of a repository: its `root`, and the `folder` in it that the gate was typed in."""

    name: str
    root: Path
    folder: Path

    def locate(self, path: str, typed: "Tree") -> Path:
        """Return the place of a path here; one into the root of the tree `typed` is mirrored."""
        # Links stay as they are: that of an environment's python tells which environment it is.
        place = Path(os.path.abspath(typed.folder / os.path.expanduser(path)))
        if place.is_relative_to(typed.root):
            return self.root / place.relative_to(typed.root)
        return place

    def holds(self, name: str) -> bool:
        """Return whether a name is that of a file here, or of a module that workers find here."""
        place = Path(os.path.abspath(self.folder / name))
        if place != self.folder and place.is_relative_to(self.root) and place.exists():
            return True
        top = name.partition(".")[0]
        modules = [r / top for r in (self.root, self.root / "src")] if top.isidentifier() else []
        return any(m.is_dir() or m.with_name(f"{top}.py").is_file() for m in modules)


class Trees(NamedTuple):
    """Base and head."""

    base: Tree
    head: Tree


def holds_stabench(folder: Path) -> bool:
    """Return whether a folder is a checkout of stabench, or what this stabench runs from."""
    if folder.resolve() == SOURCE.resolve():
        return True
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project")
    except (OSError, ValueError):
        return False
    return isinstance(project, dict) and project.get("name") == "stabench"


def find_trees(base: Path, head: Path) -> Trees:
    """Return the trees of the folder `head` and of the same folder in the repository `base`.

    Raises MissingError where there is none.
    """
    if not base.is_dir():
        raise MissingError(f"base '{base}' is not there; give the folder of another state")
    base, head = base.resolve(), head.resolve()
    head_root, base_root = find_root(head), find_root(base)
    if head_root == base_root and head != base:
        # Neither has a repository of its own.
        head_root, base_root = head, base
    inner, folder = head.relative_to(head_root), base
    if base == base_root and (base / inner).is_dir():
        folder = base / inner
    elif base == base_root and (base / ".git").exists():
        raise MissingError(f"base '{base}' has no folder '{inner}', where you are in the head")
    elif base != base_root / inner:
        # Folders that were named as each other's counterparts, such as a copy of this one alone.
        head_root, base_root = head, base
    return Trees(Tree("base", base_root, folder), Tree("head", head_root, head))


def find_root(folder: Path) -> Path:
    """Return the folder of the repository around a folder; without one the folder itself."""
    around = (folder, *folder.parents)
    return next((place for place in around if (place / ".git").exists()), folder)


class Placed(NamedTuple):
    """A system as one side runs it: its absolute places, and its interpreter."""

    use: SystemUse
    python: str
    tree: Tree


def place_systems(
    name: str, suite: Suite, request: Request, trees: Trees, pythons: tuple[str, str]
) -> list[tuple[Placed, Placed]]:
    """Return each system of the suite `name` as base and as head run it.

    The base's systems are those of its own state of the suite file, if it has one. `pythons` are
    the interpreters of systems that name none. Raises StabenchError for a system that one side
    lacks and for one whose code both sides would share, MissingError for a file that is not there.
    """
    of_base = _read_base(name, suite, request, trees)
    before, now = ({use.name: use for use in each.systems} for each in (of_base, suite))
    if apart := sorted(before.keys() ^ now.keys()):
        side = "base" if apart[0] in before else "head"
        raise StabenchError(
            f"system '{apart[0]}' is in the suite of the {side} alone; name those that both have "
            "with --system"
        )
    pairs = []
    for system, use in now.items():
        pair = (
            _place(before[system], trees.base, trees, pythons[0]),
            _place(use, trees.head, trees, pythons[1]),
        )
        if trees.base.root != trees.head.root and _share_code(*pair, trees):
            raise StabenchError(
                f"system '{system}': base and head would run the same code: '{use.use}' is neither "
                f"in '{trees.base.root}' nor in '{trees.head.root}', where the gate was typed; "
                "leave it out with --system, or give --base-python"
            )
        pairs.append(pair)
    return pairs


def _read_base(name: str, suite: Suite, request: Request, trees: Trees) -> Suite:
    """Return the suite with the systems that the base's state of its file has."""
    path = trees.base.locate(name, trees.head)
    if not name.endswith(".toml") or path == trees.head.locate(name, trees.head):
        return suite
    if not path.is_file():
        return suite
    try:
        value = read_toml(f"suite '{path}'", path, f"no suite '{path}'")
        # Clips, metrics and settings are the head's: both sides have the same task.
        systems = {**suite.resolved(), "system": value.get("system", [])}
        whole = parse(f"suite '{path}'", systems)
        return set_keys(select_systems(whole, request.systems), request.set)
    except StabenchError as error:
        raise type(error)(f"base: {error}") from None


def _place(use: SystemUse, tree: Tree, trees: Trees, python: str) -> Placed:
    """Return a system with its places in one tree."""
    what = f"system '{use.name}' of the {tree.name}"
    target = use.use
    if registry.is_file(target):
        path, attribute = target.rsplit(":", 1)
        place = tree.locate(path, trees.head)
        if not place.is_file():
            raise MissingError(f"{what}: no file '{place}'")
        target = f"{place}:{attribute}"
    if use.python is None:
        # An option of the command: a path is one from where the command is typed.
        python = os.path.abspath(python) if os.sep in python else python
    elif os.sep in use.python:
        python = str(tree.locate(use.python, trees.head))
    else:
        python = use.python
    if shutil.which(python) is None:
        raise MissingError(f"{what}: interpreter '{python}' cannot be run; give a python")
    return Placed(use.model_copy(update={"use": target, "python": None}), python, tree)


def _share_code(base: Placed, head: Placed, trees: Trees) -> bool:
    """Return whether nothing that a system runs is of a tree, so that both sides are one."""
    if base.use != head.use or base.python != head.python:
        return False
    module = registry.target("systems", head.use.use).partition(":")[0]
    names = [*_list_words(head.use.options), *([] if module.startswith("stabench.") else [module])]
    return not any(tree.holds(name) for tree in trees for name in names)


def _list_words(value: Any) -> Iterator[str]:
    """Yield every word of the texts in the options of a system."""
    if isinstance(value, str):
        try:
            yield from shlex.split(value)
        except ValueError:
            yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _list_words(part)
