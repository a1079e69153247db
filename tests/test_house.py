"""House rules about the shape of the code: who may import whom, and how long things get."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("checkpoints", "harness", "metrics", "systems", "pocket")
ARROWS = {
    "checkpoints": set(),
    "harness": {"checkpoints", "metrics"},
    "metrics": {"checkpoints"},
    "systems": {"checkpoints", "metrics"},
    "pocket": {"checkpoints", "harness", "metrics", "systems"},
}
FLOORS = (
    ("errors", "schema", "files", "tables", "registry", "environment", "device", "formatting"),
    ("tasks", "stats"),
    ("datasets", "suites", "render"),
    ("runs", "prepare"),
    ("profiling",),
    ("runner", "scoring", "probing"),
    ("judges", "report"),
    ("compare", "reproduce"),
    ("gate", "submission"),
    ("history",),
    ("leaderboard",),
    ("cli",),
)
"""Rooms of the harness, the ground first: each imports only from floors below, or from itself."""
MOST_FILES = 25
HEAVY = ("torch", "transformers", "diffusers", "scipy", "pandas", "sklearn", "matplotlib")
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
CATCH_ALL = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}


def _files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _name(path: Path) -> str:
    """`metrics/embedders/__init__.py` -> `stabench.metrics.embedders`."""
    parts = ("stabench", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


MODULES = {_name(path): path for path in _files(*PACKAGES)}


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """The module that a `from ... import` names; relative ones are resolved."""
    if node.level == 0:
        return node.module or ""
    package = _name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    kept = package[: len(package) - (node.level - 1)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _imports(path: Path, late: bool) -> Iterator[str]:
    """Names that a file imports: `a.b` and, for `from a import b`, also `a.b`.

    `late` takes the imports within functions as well as those that run on import.
    """
    todo: list[ast.AST] = [_tree(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            todo.extend(ast.iter_child_nodes(node))


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of the graph, or an empty list."""
    done: set[str] = set()

    def walk(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if found := walk(other, [*trail, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def test_no_circles_of_imports_even_late_ones() -> None:
    graph = {
        name: {other for other in _imports(path, late=True) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    assert _circle(graph) == []


def test_circles_are_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_between_packages(package: str) -> None:
    allowed = ARROWS[package] | {package}
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in _files(package)
        for other in sorted(set(_imports(path, late=True)))
        if other.split(".")[0] in PACKAGES or ((top := _package(other)) and top not in allowed)
    ]
    assert wrong == []


def test_systems_take_of_metrics_the_readers_of_wav_files_alone() -> None:
    """They and the scores hear a file alike; how they are judged is nothing to them."""
    readers = {f"stabench.metrics.{name}" for name in ("audio", "wav_folder", "wav_header")}
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in _files("systems")
        for other in sorted(set(_imports(path, late=True)) & MODULES.keys())
        if _package(other) == "metrics" and other not in readers
    ]
    assert wrong == []


def _package(module: str) -> str | None:
    """Return the package of ours that a module belongs to, or None."""
    parts = module.split(".")
    return parts[1] if parts[0] == "stabench" and len(parts) > 1 else None


def _room(module: str) -> str | None:
    """Return the room of the harness that a module lies in, or None."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["stabench", "harness"] and len(parts) > 2 else None


def _floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_rooms_import_only_from_floors_below() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in _files("harness")
        if (room := _room(_name(path)))
        for other in sorted(set(_imports(path, late=True)))
        if other in MODULES and (theirs := _room(other)) not in (None, room)
        if _floor(theirs) > _floor(room) or (_floor(theirs) == _floor(room) > 0)
    ]
    assert wrong == []


def test_no_folder_is_crowded() -> None:
    folders = Counter(path.parent for path in _files(*PACKAGES))
    assert {str(f.relative_to(ROOT)): n for f, n in folders.items() if n > MOST_FILES} == {}


@pytest.mark.parametrize(
    "module",
    [
        "stabench",
        "stabench.harness.registry",
        "stabench.harness.cli.main",
        "stabench.harness.report.table",
        "stabench.harness.cli.weights",
        "stabench.harness.report.report",
        "stabench.harness.report.html.document",
        "stabench.harness.compare.command",
        "stabench.harness.reproduce.reproduce",
        "stabench.harness.leaderboard.site",
    ],
)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_long_files() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _all_files()}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > LONGEST_FILE} == {}


def test_no_long_functions() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines"
        for path in _all_files()
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) >= LONGEST_FUNCTION
    ]
    assert long == []


def test_no_catch_all_files() -> None:
    assert [str(path) for path in _all_files() if path.name in CATCH_ALL] == []


def test_every_module_says_what_it_is() -> None:
    mute = [
        str(path.relative_to(ROOT))
        for path in _all_files()
        if path.name != "__init__.py" and not ast.get_docstring(_tree(path))
    ]
    assert mute == []


def _all_files() -> list[Path]:
    return _files(*PACKAGES, "tests")
