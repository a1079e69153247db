"""Runs an example as its page says: from the top of the repository, with the command line."""

import os
import subprocess
import sys
from pathlib import Path

from stabench.harness.runs.run_folder import RunFolder
from tests.harness.conftest import ROOT

EXAMPLES = ROOT / "examples"
LINES = 25
"""What a page of an example may have."""


def run_example(suite: Path, folder: Path) -> RunFolder:
    """Return the run of a suite on three clips."""
    command = ["stabench", "run", str(suite), "--limit", "3", "--out", str(folder / "runs")]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "STABENCH_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return RunFolder.open("latest", folder / "runs")
