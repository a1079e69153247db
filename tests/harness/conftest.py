"""Folders, suites and processes that the tests of the engine share."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabench.metrics.audio import encode

ROOT = Path(__file__).resolve().parents[2]
TOYS = Path(__file__).with_name("toys.py")

Runner = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features that tests hear are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a scored run of 24 clips (`toy_board.Toy`), for submitting and checking."""
    from tests.harness.submission.toy_board import toy

    return toy(tmp_path_factory.mktemp("board"))


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Six short WAVs, clip0 to clip5, at 16 kHz."""
    folder = tmp_path / "speech"
    folder.mkdir()
    for index in range(6):
        samples = np.random.default_rng(index).uniform(-0.5, 0.5, 1_600).astype(np.float32)
        (folder / f"clip{index}.wav").write_bytes(encode(samples, 16_000))
    return folder


@pytest.fixture
def suite(tmp_path: Path, speech: Path) -> Callable[..., Path]:
    """Writes a suite TOML: `suite({"a": {"spin_ms": 1}}, block=2)`; returns its path."""

    def write(
        systems: dict[str, dict[str, Any]],
        use: str = f"{TOYS}:Toy",
        name: str = "toys",
        **protocol: Any,
    ) -> Path:
        protocol = {"warmups": 1, "threads": 1, "startup_timeout_s": 60, **protocol}
        lines = [f'name = "{name}"', "[dataset]", 'use = "folder"', f'speech = "{speech}"']
        lines += [
            "[protocol]",
            *(f"{key} = {json.dumps(value)}" for key, value in protocol.items()),
        ]
        for system, options in systems.items():
            lines += ["[[system]]", f'name = "{system}"', f'use = "{use}"', "[system.options]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in options.items()]
        path = tmp_path / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a child process that finds this source."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture
def stabench(tmp_path: Path, environment: dict[str, str]) -> Runner:
    """Runs the command in `tmp_path`; `check` is the exit code it must end with."""

    def call(*words: object, check: int = 0) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "stabench", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == check, done.stdout + done.stderr
        return done

    return call
