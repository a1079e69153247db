"""The environment record, against what the system says of itself by other ways."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from stabench.harness import environment


def test_the_record_is_plain_data_of_this_machine() -> None:
    record = environment.record(3)
    value = json.loads(json.dumps(asdict(record)))
    assert value["python"] == platform.python_version()
    assert value["packages"]["numpy"] == np.__version__
    assert (value["threads"], value["cpu_cores"]) == (3, os.cpu_count())
    assert 1 <= value["cpu_usable"] <= value["cpu_cores"]
    assert value["torch"] == metadata.version("torch")
    assert value["cpu_model"]


def test_the_record_imports_no_torch() -> None:
    script = (
        "import sys; from stabench.harness import environment as e;"
        "e.record(1); print(sorted(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert "'torch'" not in done.stdout


def test_gpus_as_nvidia_smi_prints_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "NVIDIA H200, 570.1, 143771, 345, 1980\nTesla T4, 570.1, 15360, [N/A], [N/A]"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(environment, "_run_command", lambda *_: text)
    assert environment.gpus() == (
        ("NVIDIA H200", "570.1", 143771, 345, 1980),
        ("Tesla T4", "570.1", 15360, None, None),
    )
    monkeypatch.setattr(environment, "_run_command", lambda *_: None)
    assert environment.gpus() == ()


@pytest.mark.parametrize(
    ("visible", "asked", "known"),
    [(None, [()], 2), ("1", [("--id=1",)], 1), ("MIG-3", [("--id=MIG-3",), ()], 2), ("", [], 0)],
)
def test_gpus_that_cuda_may_not_use_are_not_recorded(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, asked: list[tuple], known: int
) -> None:
    calls: list[tuple[str, ...]] = []

    def answer(*command: str) -> str | None:
        calls.append(command[3:])
        lines = {(): 2, ("--id=1",): 1}.get(command[3:])
        return lines and "\n".join(["NVIDIA H200, 570.1, 143771, 345, 1980"] * lines)

    monkeypatch.setattr(environment, "_run_command", answer)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert (len(environment.gpus()), calls) == (known, asked)


def _git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_git_state_of_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "SOURCE", tmp_path)
    assert environment.git() is None
    source = tmp_path / "environment.py"
    source.write_text("a = 1\n")
    _git(tmp_path, "init", "-q", "-b", "main")
    assert environment.git() is None
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert environment.git() == (commit, "main", False)
    (tmp_path / "other.py").touch()
    assert environment.git() == (commit, "main", False)
    source.write_text("a = 2\n")
    assert environment.git() == (commit, "main", True)


def test_versions_leave_out_what_is_not_installed() -> None:
    assert environment.versions(("numpy", "no-such-thing")) == {"numpy": np.__version__}


def test_a_version_in_use_is_that_of_what_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("numpy", "torch", "no_such_package")
    assert environment.versions_in_use(names) == environment.versions(names)
    (tmp_path / "torch.py").write_text("__version__ = '0.0.other'\n")
    spec = importlib.util.spec_from_file_location("torch", tmp_path / "torch.py")
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    monkeypatch.setitem(sys.modules, "torch", other)
    assert environment.versions_in_use(names) == {"numpy": np.__version__, "torch": "0.0.other"}
