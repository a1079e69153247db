"""Interpreters of systems: one that a suite names has its own packages only, and can be asked.

A worker in another interpreter runs this copy of stabench (stabench/start.py) and needs of that
interpreter's packages `NEEDS` alone; pydantic, torch and all others are for the engine, for scoring
and for systems that import them.
"""

import ast
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness import registry
from stabench.harness.errors import MissingError
from stabench.harness.runner.last_words import describe_ending, find_last_words

PROBE = Path(__file__).with_name("probe.py")
# Versions of Python that a worker runs on; those of pyproject.toml.
OLDEST, NEWEST = (3, 11), (3, 13)
# What a worker imports that Python does not bring; a test runs one with nothing else.
NEEDS = ("numpy", "soundfile", "threadpoolctl")
# Modules that pip knows by another name.
NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
    "whisper": "openai-whisper",
    "yaml": "pyyaml",
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FLAGS = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
# Variables that would bring our packages, or the user's folder, into another interpreter.
NOT_PASSED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "PYTHONPLATLIBDIR",
    "PYTHONEXECUTABLE",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)
NO_USER_FOLDER = {"PYTHONNOUSERSITE": "1"}


def environment(threads: int, python: str | None = None) -> dict[str, str]:
    """Return ours, with the number of CPU threads fixed, and no imports from the folder of work.

    For another interpreter, `python`, without what would give it packages that are not its own.
    """
    fixed = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if python is None:
        return {**os.environ, **fixed, **FLAGS}
    kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED}
    return {**kept, **fixed, **FLAGS, **NO_USER_FOLDER}


def find_program(python: str | None) -> str:
    """Return the interpreter to start: ours where none is named; "~" is the home folder."""
    return sys.executable if python is None else os.path.expanduser(python)


class Wanted(NamedTuple):
    """A system with an interpreter of its own: its name, that interpreter, its registry string."""

    system: str
    python: str
    target: str


def check_interpreters(systems: Iterable[Wanted], device: str, timeout_s: float) -> None:
    """Ask every interpreter once whether it can run its systems.

    Raises MissingError with one line that names all that is missing, and how to install it.
    """
    by_python: dict[str, list[Wanted]] = {}
    for system in systems:
        by_python.setdefault(system.python, []).append(system)
    faults = []
    for python, served in by_python.items():
        modules = {module for system in served for module in list_imports(system.target)}
        # Of a GPU the worker asks torch: how to wait for it, and how much memory was in use.
        modules |= {"torch"} if device == "cuda" else set()
        names = ", ".join(f"'{system.system}'" for system in served)
        who = f"system{'s' if len(served) > 1 else ''} {names}: interpreter '{python}'"
        fault = _find_fault(python, sorted(modules - {*NEEDS}), timeout_s)
        faults += [f"{who} {fault}"] if fault else []
    if faults:
        raise MissingError("; ".join(faults))


def _find_fault(python: str, modules: list[str], timeout_s: float) -> str | None:
    """Return what keeps an interpreter from running a worker, or None."""
    answer = _ask(python, modules, timeout_s)
    if isinstance(answer, str):
        return answer
    version = ".".join(map(str, answer["version"]))
    if not OLDEST <= tuple(answer["version"][:2]) <= NEWEST:
        allowed = " to ".join(".".join(map(str, end)) for end in (OLDEST, NEWEST))
        return f"is Python {version}, allowed is {allowed}; name another with python = ..."
    absent, broken = answer["absent"], answer["broken"]
    if absent:
        where = ", which has its own packages only,"
        return f"(Python {version}){where} lacks {', '.join(absent)}; {_say_how(python, answer)}"
    if broken:
        name, reason = next(iter(broken.items()))
        return f"(Python {version}) cannot import {name} ({' '.join(reason.split())}); repair it"
    return None


def _say_how(python: str, answer: dict[str, Any]) -> str:
    """Return the command that installs what is absent."""
    program = shlex.quote(find_program(python))
    # Without -s pip takes what lies in the user's folder for installed.
    pip = f"{program} {'-s ' if answer['users'] else ''}-m pip"
    names = " ".join(map(_name_distribution, answer["absent"]))
    first = "" if answer["pip"] else f"{program} -m ensurepip && "
    return f"install with: {first}{pip} install {names}"


def add_remedy(message: str, python: str | None) -> str:
    """Return a message of another interpreter's worker that lacks a module, with what to do."""
    lacking = re.search(r"No module named '(\w+)", message)
    if python is None or lacking is None or lacking[1] == "stabench":
        return message
    program, name = shlex.quote(find_program(python)), _name_distribution(lacking[1])
    return f"{message}; '{python}' has its own packages only: {program} -m pip install {name}"


def _name_distribution(module: str) -> str:
    """Return what pip calls a module: as it is here, where it is installed."""
    return NAMES.get(module) or packages_distributions().get(module, [module])[0]


def _ask(python: str, modules: list[str], timeout_s: float) -> dict[str, Any] | str:
    """Return the answer of probe.py, or why there is none."""
    question = json.dumps({"needs": NEEDS, "modules": modules})
    try:
        done = subprocess.run(
            [find_program(python), str(PROBE), question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(1, python),
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return f"did not answer within {timeout_s:g} s; try '{python} -c \"import numpy\"'"
    except OSError as error:
        return f"cannot be run: {error.strerror}; give the path of a Python"
    lines = done.stdout.decode(errors="replace").splitlines()
    try:
        # What its site packages print as they start comes before.
        answer = json.loads(lines[-1])
        answer["version"]
    except (IndexError, ValueError, TypeError, KeyError):
        words = find_last_words(done.stderr.decode(errors="replace")) or "no words"
        return f"is no Python that answers: {describe_ending(done.returncode)}, {words}"
    return answer


def list_imports(target: str) -> set[str]:
    """Return names of outside packages that a system's module imports whenever it is imported.

    Read from the text, as the interpreter that has them is another one. Modules of stabench and
    those beside the file are followed; imports under a condition or in a function are not.
    """
    where = target.rsplit(":", 1)[0]
    found: set[str] = set()
    if registry.is_file(target):
        _follow(Path(where), found, set())
    elif (path := _find_ours(registry.inside(where))) is not None:
        _follow(path, found, set())
    else:
        found.add(where.partition(".")[0])
    return found


def _follow(path: Path, found: set[str], seen: set[Path]) -> None:
    """Add to `found` the outside packages that the module at `path` imports."""
    if path in seen:
        return
    seen.add(path)
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # Whatever it is, loading the system says it.
    if _changes_path(tree):
        return  # It finds modules in places that its text does not tell.
    for module in _list_modules(tree):
        top = module.partition(".")[0]
        beside = [path.parent / f"{top}.py", path.parent / top / "__init__.py"]
        if top == "stabench":
            inner = _find_ours(module)
            if inner is not None:
                _follow(inner, found, seen)
        elif neighbour := next((place for place in beside if place.is_file()), None):
            _follow(neighbour, found, seen)
        elif top not in sys.stdlib_module_names:
            found.add(top)


def _changes_path(tree: ast.Module) -> bool:
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return any(ast.unparse(node) in ("sys.path", "site.addsitedir") for node in attributes)


def _list_modules(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            # `from package import module` reads the module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _find_ours(module: str) -> Path | None:
    """Return the file of a module of stabench, or None."""
    if module.partition(".")[0] != "stabench":
        return None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # `module` is a class in one
        return None
    return Path(spec.origin) if spec and spec.origin else None
