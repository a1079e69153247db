"""A worker that imports its own source tree, whatever its interpreter has installed.

Run as a script by the interpreter of a side: tree_guard.py TREE OTHER PROGRAM ARGUMENTS... It needs
nothing but Python. An interpreter in which the head is installed (`pip install -e .`) would hand
the head's modules to the base's worker too, and a comparison of the head with itself is green.
"""

import os
import runpy
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from typing import Any

# This copy of stabench, which serves both sides.
STABENCH = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


class OwnTree:
    """Finds modules as Python does; one of the `other` tree at the same place in this one."""

    def __init__(self, tree: str, other: str) -> None:
        self._tree, self._other = os.path.realpath(tree), os.path.realpath(other)
        # Environments and stabench belong to no side, also where they lie in one of the trees.
        shared = {*map(os.path.realpath, (sys.prefix, sys.base_prefix)), STABENCH}
        self._owners = sorted({self._tree, self._other, *shared}, key=len, reverse=True)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where a module is. Raises ModuleNotFoundError for one of the other tree alone."""
        finders = (finder for finder in sys.meta_path if finder is not self)
        for finder in finders:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                return self._move(spec)
        return None

    def _move(self, spec: ModuleSpec) -> ModuleSpec:
        """Return the spec as it is, or the one of the same file of this tree."""
        inner = spec.submodule_search_locations
        if inner is not None and any(map(self._is_others, inner)):
            inner = [self._mirror(place) if self._is_others(place) else place for place in inner]
            inner = [place for place in dict.fromkeys(inner) if os.path.isdir(place)]
            if not spec.has_location:
                if not inner:
                    raise self._miss(spec.name)
                spec.submodule_search_locations = inner
        if not spec.has_location or not spec.origin or not self._is_others(spec.origin):
            return spec
        origin = self._mirror(spec.origin)
        moved = spec_from_file_location(spec.name, origin, submodule_search_locations=inner)
        if moved is None or not os.path.isfile(origin):
            raise self._miss(spec.name)
        return moved

    def _miss(self, name: str) -> ModuleNotFoundError:
        text = (
            f"No module named '{name}' in '{self._tree}': what is installed is of '{self._other}'"
        )
        return ModuleNotFoundError(text, name=name)

    def _is_others(self, place: str) -> bool:
        """Return whether the innermost owner of a place is the other tree."""
        if self._tree == self._other:
            return False
        real = os.path.realpath(place)
        owners = (
            owner for owner in self._owners if real == owner or real.startswith(owner + os.sep)
        )
        return next(owners, "") == self._other

    def _mirror(self, place: str) -> str:
        return os.path.join(self._tree, os.path.relpath(os.path.realpath(place), self._other))


def main() -> None:
    """Run a program with the modules of its own tree before those that are installed."""
    _, tree, other, *program = sys.argv
    folders = [folder for folder in (tree, os.path.join(tree, "src")) if os.path.isdir(folder)]
    installed = [
        index
        for index, folder in enumerate(sys.path)
        if os.path.basename(folder) in ("site-packages", "dist-packages")
    ]
    # After Python's own modules, which no file of a tree may hide from a worker.
    start = min(installed, default=len(sys.path))
    sys.path[start:start] = folders
    # A system's own commands are not guarded: their tree comes first.
    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *([kept] if kept else [])])
    sys.meta_path.insert(0, OwnTree(tree, other))
    sys.argv = program
    runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main()
