"""Interpreters of systems: each has its own packages only, and is asked before the first clip."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runner import plan
from stabench.harness.runner.engine import Engine
from stabench.harness.runner.interpreters import (
    NEEDS,
    NEWEST,
    NOT_PASSED,
    OLDEST,
    Wanted,
    add_remedy,
    check_interpreters,
    environment,
    list_imports,
)
from stabench.harness.runner.progress import Silent
from stabench.harness.runs.run_folder import Request, RunFolder
from tests.harness.conftest import ROOT, TOYS
from tests.harness.runner.other_python import FILES, add_torch, find_packages, make_python

PYTHONS = ("python3.11", "python3.12", "python3.13")
LIMIT_S = 60.0


@pytest.fixture(scope="session")
def bare(once) -> Path:
    """An interpreter without any package."""
    return once("bare-python", lambda folder: make_python(folder, tuple(FILES))) / "bin" / "python"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """An interpreter with what a worker needs, and a torch of its own."""
    python = make_python(tmp_path / "other")
    add_torch(find_packages(tmp_path / "other"), "0.0.other")
    return python


@pytest.fixture
def uses_torch(tmp_path: Path) -> Path:
    """A system that imports torch."""
    path = tmp_path / "mine" / "uses_torch.py"
    path.parent.mkdir()
    shutil.copy(TOYS, path.with_name("toys.py"))
    path.write_text(
        "import torch\nfrom toys import Toy\n\n\nclass Mine(Toy):\n"
        "    def provenance(self):\n        return {'torch': torch.__version__}\n"
    )
    return path


@pytest.fixture
def begin(tmp_path: Path, speech: Path) -> Callable[..., RunFolder]:
    """A new run folder: `begin({"b": (python, use)})`; python may be None."""

    def make(systems: dict[str, tuple[Path | None, str]], **request: object) -> RunFolder:
        lines = ['name = "other"', "[dataset]", 'use = "folder"', f'speech = "{speech}"']
        lines += ["[protocol]", "warmups = 0", "threads = 1", "startup_timeout_s = 60"]
        for name, (python, use) in systems.items():
            lines += ["[[system]]", f'name = "{name}"', f'use = "{use}"']
            lines += [f'python = "{python}"'] if python else []
        path = tmp_path / "other.toml"
        path.write_text("\n".join(lines) + "\n")
        return plan.begin(str(path), Request(limit=1, **request), tmp_path / "runs")

    return make


def _check(python: Path | str, target: str = f"{TOYS}:Toy", device: str = "cpu") -> None:
    check_interpreters([Wanted("a", str(python), target)], device, LIMIT_S)


def test_the_versions_of_python_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (oldest, newest), after = (OLDEST, NEWEST), NEWEST[1] + 1
    assert newest[0] == oldest[0]
    assert project["requires-python"] == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{after}"


def test_what_a_worker_needs_is_enough_and_its_own_packages_are_recorded(
    begin, other: Path, uses_torch: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Although the user's variables point to another torch."""
    add_torch(tmp_path / "wrong", "9.9.wrong")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "wrong"))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "wrong"))
    folder = begin({"b": (other, f"{uses_torch}:Mine"), "a": (None, f"{TOYS}:Toy")})
    Engine(folder, Silent()).run()
    assert {count.ok for count in folder.counts().values()} == {1}
    about = folder.about_systems()
    assert about["b"]["provenance"] == {"torch": "0.0.other"}
    assert about["b"]["packages"]["torch"] == "0.0.other"
    assert about["b"]["packages"].keys() <= {*FILES, "typing_extensions", "torch"}
    assert "pydantic" in folder.record.environment.packages


def test_variables_that_bring_packages_are_kept_from_other_interpreters_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in NOT_PASSED:
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("MINE", "kept")
    ours, theirs = environment(3), environment(3, "/other/python")
    assert {*NOT_PASSED} <= ours.keys()
    assert not {*NOT_PASSED} & theirs.keys()
    assert theirs["PYTHONNOUSERSITE"] == "1"
    assert theirs["MINE"] == ours["MINE"] == "kept"
    assert theirs["OMP_NUM_THREADS"] == ours["OMP_NUM_THREADS"] == "3"


WHEEL = """
import json, sys
from pathlib import Path
import stabench
from stabench.harness.runner.adapter import Order
from stabench.harness.runner.worker import Job
from stabench.harness.runner.worker_process import WorkerProcess
python, place, target, audio, speech = sys.argv[1:]
assert stabench.__file__ == place, stabench.__file__
worker = WorkerProcess(python, 1, Path(audio) / "log")
worker.begin(Order("b", target, {}, "cpu", "float32", 1, audio, "all"))
about = worker.ready(60)
[row] = worker.run([Job("clip0", 0, False, 1, speech, None)], 60)
worker.close()
print(json.dumps([about["provenance"], about["packages"]["torch"], row.status]))
"""


def test_what_lies_beside_an_installed_stabench_is_not_imported(
    other: Path, uses_torch: Path, tmp_path: Path, speech: Path
) -> None:
    """As a wheel puts it: one folder in the site-packages that hold the other torch too."""
    packages = tmp_path / "site-packages"
    for room in ("stabench", "checkpoints", "harness", "metrics", "systems"):
        place = packages / "stabench" / ("" if room == "stabench" else room)
        shutil.copytree(ROOT / room, place, dirs_exist_ok=True)
    add_torch(packages, "9.9.wrong")
    (packages / "soundfile.py").write_text("raise SystemExit('not mine')\n")
    place = packages / "stabench" / "__init__.py"
    # Last on the path: the engine itself has its packages from where they are.
    script = f"import sys; sys.path.insert(0, {str(packages)!r})\nimport stabench\nsys.path.pop(0)"
    words = (other, place, f"{uses_torch}:Mine", tmp_path, speech / "clip0.wav")
    done = subprocess.run(
        [sys.executable, "-c", script + WHEEL, *map(str, words)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    log = tmp_path / "log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
    assert json.loads(done.stdout) == [{"torch": "0.0.other"}, "0.0.other", "ok"]


def test_all_that_is_missing_is_named_in_one_line_with_the_command(
    bare: Path, uses_torch: Path
) -> None:
    with pytest.raises(MissingError) as caught:
        _check(bare, f"{uses_torch}:Mine")
    version = ".".join(map(str, sys.version_info[:3]))
    assert str(caught.value) == (
        f"system 'a': interpreter '{bare}' (Python {version}), which has its own packages only, "
        f"lacks {', '.join(NEEDS)}, torch; install with: {bare} -m ensurepip && {bare} -m pip "
        f"install {' '.join(NEEDS)} torch"
    )
    assert caught.value.exit_code == 3


def test_torch_is_asked_for_where_the_device_or_the_system_needs_it(tmp_path: Path) -> None:
    python = make_python(tmp_path / "no-torch")
    _check(python)
    with pytest.raises(MissingError, match=r"lacks torch; install with: .* -m pip install torch$"):
        _check(python, device="cuda")


def test_a_package_that_is_there_and_broken_is_named(tmp_path: Path) -> None:
    python = make_python(tmp_path / "broken", without=("soundfile",))
    packages = find_packages(tmp_path / "broken")
    (packages / "soundfile.py").write_text("raise OSError('libsndfile.so: cannot open')\n")
    with pytest.raises(MissingError, match=r"cannot import soundfile \(OSError: libsndfile"):
        _check(python)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (None, "cannot be run: No such file or directory; give the path of a Python"),
        ("#!/bin/sh\necho no licence >&2\nexit 7\n", "exit code 7, no licence"),
        ("#!/bin/sh\nkill -SEGV $$\n", "SIGSEGV (segmentation fault), no words"),
        ("#!/bin/sh\necho '{\"version\": [3, 10, 13]}'\n", "is Python 3.10.13, allowed is 3.11 to"),
        ("#!/bin/sh\necho '{\"version\": [2, 7, 18]}'\n", "is Python 2.7.18, allowed is 3.11 to"),
        ("#!/bin/sh\necho hello\n", "is no Python that answers: exit code 0"),
    ],
)
def test_an_interpreter_that_cannot_run_a_worker(
    tmp_path: Path, script: str | None, line: str
) -> None:
    python = tmp_path / "python"
    if script is not None:
        python.write_text(script)
        python.chmod(0o755)
    with pytest.raises(MissingError) as caught:
        _check(python)
    assert str(caught.value).startswith(f"system 'a': interpreter '{python}' ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_interpreter_that_hangs_is_given_up(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    with pytest.raises(MissingError, match=r"did not answer within 0\.5 s"):
        check_interpreters([Wanted("a", str(python), f"{TOYS}:Toy")], "cpu", 0.5)


def test_each_interpreter_is_started_once_and_all_faults_are_told(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho >> {tmp_path}/count\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    systems = [Wanted(name, str(python), f"{TOYS}:Toy") for name in "ab"]
    check_interpreters(systems, "cpu", LIMIT_S)
    assert (tmp_path / "count").read_text() == "\n"
    nowhere = [Wanted(name, f"/no/{name}", f"{TOYS}:Toy") for name in "cd"]
    with pytest.raises(MissingError, match=r"system 'c': .*; system 'd': interpreter '/no/d'"):
        check_interpreters(systems + nowhere, "cpu", LIMIT_S)


def test_nothing_is_loaded_before_interpreters_are_known_to_do(begin, bare: Path) -> None:
    folder = begin({"a": (None, f"{TOYS}:Toy"), "b": (bare, f"{TOYS}:Toy")})
    with pytest.raises(MissingError, match="system 'b'"):
        Engine(folder, Silent()).run()
    assert not (folder.path / "logs").exists()
    assert folder.rows() == []


def test_a_module_that_loading_misses_comes_with_the_command(begin, tmp_path: Path) -> None:
    python = make_python(tmp_path / "other")
    path = tmp_path / "late.py"
    path.write_text(
        f"import sys\nsys.path.append({str(TOYS.parent)!r})\nfrom toys import Toy\n\n\n"
        "class Late(Toy):\n    def load(self, device, dtype):\n        import sklearn.svm\n"
    )
    with pytest.raises(MissingError, match=r"own packages only: .* -m pip install scikit-learn$"):
        Engine(begin({"b": (python, f"{path}:Late")}), Silent()).run()
    assert add_remedy("No module named 'x'", None) == "No module named 'x'"


def test_in_process_would_run_in_the_wrong_interpreter(begin, bare: Path) -> None:
    folder = begin({"b": (bare, f"{TOYS}:Toy")}, in_process=True)
    with pytest.raises(StabenchError, match=r"own, '.*'; run it without --in-process"):
        Engine(folder, Silent()).run()


def test_imports_are_read_from_the_text(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import jax.numpy\nimport mine\n")
    (tmp_path / "mine.py").write_text(
        "import os, beside\nfrom vllm.engine import LLM\nfrom . import x\n"
        "from stabench import Waveform\n"
        "if os.name == 'nt':\n    import winreg_extra\n"
        "try:\n    import flash_attn\nexcept ImportError:\n    pass\n"
        "def late():\n    import torch\n"
    )
    assert list_imports(f"{tmp_path}/mine.py:Mine") == {"jax", "vllm"}
    assert list_imports("outside.package:System") == {"outside"}
    assert list_imports("stabench.systems.recorded:Recorded") == {"numpy", "soundfile"}
    (tmp_path / "beside.py").write_text("import sys\nsys.path.append('x')\nimport in_x\n")
    assert list_imports(f"{tmp_path}/mine.py:Mine") == {"vllm"}
    (tmp_path / "mine.py").write_text("this is no Python")
    assert list_imports(f"{tmp_path}/mine.py:Mine") == set()


def _find_python(name: str) -> Path | None:
    """Return an interpreter of this name that runs (one of pyenv's shims may not), or None."""
    inner = f".pyenv/versions/{name.removeprefix('python')}*/bin/{name}"
    places = [*map(Path, filter(None, [shutil.which(name)])), *sorted(Path.home().glob(inner))]
    runs = (
        not subprocess.run([place, "-c", ""], capture_output=True).returncode for place in places
    )
    return next((place for place, right in zip(places, runs, strict=True) if right), None)


@pytest.mark.parametrize("name", PYTHONS)
def test_another_minor_version_is_asked_and_runs_where_it_has_the_packages(
    begin, name: str
) -> None:
    version = name.removeprefix("python")
    python = None if f"3.{sys.version_info[1]}" == version else _find_python(name)
    if python is None:
        pytest.skip(f"{name} is not another Python that is here")
    folder = begin({"b": (python, f"{TOYS}:Toy")})
    needed = subprocess.run([python, "-c", f"import {', '.join(NEEDS)}"], capture_output=True)
    if needed.returncode:
        with pytest.raises(MissingError, match=rf"\(Python {re.escape(version)}\.\d+\), .* lacks"):
            Engine(folder, Silent()).run()
        pytest.skip(f"{python} was asked, and lacks {', '.join(NEEDS)}: no worker ran in it")
    Engine(folder, Silent()).run()
    assert folder.counts()["b"].ok == 1
    assert folder.about_systems()["b"]["python"].startswith(f"{version}.")
