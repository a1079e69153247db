"""The way in: what `make` offers, and that one file pins everything that gets installed."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
RESULTS = {ROOT / "results" / name for name in ("baselines", "paper")}
_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SETUPTOOLS = _PYPROJECT["project"], _PYPROJECT["tool"]["setuptools"]
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")
PACKAGES = ("stabench", "checkpoints", "harness", "metrics", "systems", "pocket")
MOST_TARGETS = 14
DATA = {".toml", ".safetensors", ".arpa", ".dict", ".json", ".html", ".css", ".js", ".txt"}


def _lines() -> list[Requirement]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    rows = [line.strip() for line in text.splitlines()]
    return [Requirement(row) for row in rows if row and not row.startswith("#")]


def _pins(python: str | None = None) -> dict[str, Version]:
    """What constraints.txt pins: canonical name -> version, for one Python (or this one)."""
    environment = {"python_version": python} if python else None
    return {
        canonicalize_name(line.name): Version(re.sub("^==", "", str(line.specifier)))
        for line in _lines()
        if line.marker is None or line.marker.evaluate(environment)
    }


def _wanted(name: str, extras: set[str]) -> list[Requirement]:
    """What an installed distribution asks for here; nothing where it is not installed."""
    try:
        rows = [Requirement(row) for row in requires(name) or []]
    except PackageNotFoundError:
        return []
    return [
        row
        for row in rows
        if row.marker is None or any(row.marker.evaluate({"extra": e}) for e in extras | {""})
    ]


def _closure(roots: list[Requirement]) -> set[str]:
    """Canonical names of everything that `roots` pull in on this machine."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = list(roots)
    while todo:
        row = todo.pop()
        key = (canonicalize_name(row.name), frozenset(row.extras))
        if key not in seen:
            seen.add(key)
            todo.extend(_wanted(row.name, row.extras))
    return {name for name, _ in seen}


def _roots() -> list[Requirement]:
    return [
        Requirement(row) for rows in (PROJECT["dependencies"], *EXTRAS.values()) for row in rows
    ]


def test_every_line_pins_one_version() -> None:
    assert [
        str(line) for line in _lines() if not re.fullmatch(r"==[^*,]+", str(line.specifier))
    ] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_to_a_version_it_allows(python: str) -> None:
    pins = _pins(python)
    wrong = [
        str(row)
        for row in _roots()
        if (pin := pins.get(canonicalize_name(row.name))) is None or pin not in row.specifier
    ]
    assert wrong == []


def test_the_lock_is_complete() -> None:
    assert sorted(_closure(_roots()) - set(_pins())) == []


def _imported(*folders: str) -> set[str]:
    """Distributions that the code of `folders` imports, wherever in the file."""
    names: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    owners = packages_distributions()
    outside = names - sys.stdlib_module_names - set(PACKAGES) - {"tests", "crosscheck", "_typeshed"}
    return {canonicalize_name(owner) for name in outside for owner in owners.get(name, [name])}


def _declared(rows: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(row).name) for row in rows}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    extras = ("fast", "train", "whisper", "real")
    optional = _declared([line for name in extras for line in EXTRAS[name]])
    assert sorted(_imported(*PACKAGES) - optional) == sorted(_declared(PROJECT["dependencies"]))
    tools = _declared(PROJECT["dependencies"]) | _declared(EXTRAS["dev"]) | optional
    assert sorted(_imported("tests") - tools) == []


def test_no_pin_twice_and_none_with_a_local_version() -> None:
    for python in PYTHONS:
        names = [
            canonicalize_name(line.name)
            for line in _lines()
            if line.marker is None or line.marker.evaluate({"python_version": python})
        ]
        assert len(names) == len(set(names))
    assert [name for name, version in _pins().items() if version.local] == []


def test_make_help_lists_few_targets_and_all_of_them() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    listed = re.findall(r"^ +make (\S+)", done.stdout, flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    assert sorted(listed) == sorted(phony[1].split())
    assert len(listed) <= MOST_TARGETS


def test_packages_carry_their_data() -> None:
    held = {
        path
        for name, globs in SETUPTOOLS["package-data"].items()
        for glob in globs
        for path in _folder(name).glob(glob)
    }
    carried = [*(ROOT / room for room in PACKAGES), *RESULTS]
    data = {
        path
        for folder in carried
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in DATA
    }
    assert sorted(map(str, data - held)) == []


def _folder(package: str) -> Path:
    """Return the folder of a package, as setuptools finds it by package-dir."""
    roots = SETUPTOOLS["package-dir"]
    root = max((name for name in roots if f"{package}.".startswith(f"{name}.")), key=len)
    return ROOT / roots[root] / package.removeprefix(root).strip(".").replace(".", "/")


def test_the_wheel_has_every_room_under_one_name() -> None:
    listed = SETUPTOOLS["packages"]
    assert {name.split(".")[0] for name in listed} == {"stabench"}
    assert all(_folder(name).is_dir() for name in listed)
    rooms = {path.parent for room in PACKAGES for path in (ROOT / room).rglob("__init__.py")}
    assert {_folder(name) for name in listed} == rooms | RESULTS
