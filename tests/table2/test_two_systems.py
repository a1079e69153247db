"""A cascade and STAR out of the suite `table2`, two clips each: what test_table2.py has whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.table2 import machine
from tests.table2.conftest import TIMEOUT_S, Command, environment

pytestmark = pytest.mark.timeout(TIMEOUT_S)
SYSTEMS = ("whisper-tango2", "star")


@pytest.mark.slow
def test_a_cascade_and_star_have_their_numbers(home: Path, stabench: Command) -> None:
    stabench(home, "run", machine.suite(home, machine.only(*SYSTEMS)), "--limit", 2)
    report = json.loads((home / "results" / "runs" / "latest" / "report.json").read_text("utf-8"))
    assert [row["system"] for row in report["rows"]] == [*SYSTEMS]
    assert {row["failed"] for row in report["rows"]} == {0}
    for row in report["rows"]:
        values = {key for key, cell in row["cells"].items() if cell["value"] is not None}
        assert values >= {"processing", "generation", "fad", "fd", "kl", "clap"}
        assert ("wer" in values) == (row["paradigm"] == "cascade")


def test_a_connection_would_have_been_seen(tmp_path: Path) -> None:
    """That no run left a note of one says something."""
    script = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tmp_path), capture_output=True, text=True
    )
    assert "Network is unreachable" in done.stderr
    assert (tmp_path / "connections.txt").read_text() == "socket.getaddrinfo 127.0.0.1\n"
