"""A machine without a network that holds everything tiny, and the command that runs on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.harness.runner.interpreters import THREAD_VARIABLES
from tests.checkpoints.origin import HELD
from tests.table2 import machine

ROOT = Path(__file__).resolve().parents[2]
NO_NETWORK = Path(__file__).with_name("no_network")
TIMEOUT_S = 900
"""The whole suite takes two or three minutes on two cores that nobody else uses."""
Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]
Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def whole(once: Once) -> Path:
    """A folder with everything, which no test changes."""
    return once("table2", machine.write)


@pytest.fixture(scope="session")
def stabench() -> Command:
    """`stabench(home, "run", ...)` in that folder, its cache and its home there too.

    `check` is the exit code it must end with. Whatever it said, it asked no network.
    """

    def call(home: Path, *words: object, check: int = 0) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "stabench", *map(str, words)],
            cwd=home,
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == check, done.stdout + done.stderr
        assert not (home / "connections.txt").exists(), (home / "connections.txt").read_text()
        return done

    return call


@pytest.fixture(scope="session")
def table2(whole: Path, stabench: Command, once: Once) -> Path:
    """The folder of the one run of the whole suite."""

    def run(folder: Path) -> None:
        stabench(whole, "run", machine.suite(whole), "--out", folder)

    return once("table2-runs", run) / "latest"


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A folder of the test's own with the same files, linked: replace a file, do not write it."""
    for name in ("cache/weights", "weights", "audiocaps"):
        shutil.copytree(whole / name, tmp_path / name, copy_function=os.link)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    """Of a child process: this source, `home` and nothing else of this machine, no network.

    One thread for sums of small matrices: two that wait for each other are many times slower where
    cores are shared.
    """
    kept = {name: value for name, value in os.environ.items() if name not in HELD.split()}
    return {
        **kept,
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "HOME": str(home / "home"),
        "STABENCH_CACHE": str(home / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, NO_NETWORK))),
        "STABENCH_TEST_CONNECTIONS": str(home / "connections.txt"),
        "COLUMNS": "200",
    }
