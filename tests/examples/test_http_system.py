"""The example of an endpoint: its server in JavaScript is run as its page says."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.runs.run_folder import RunFolder
from tests.examples.run_example import EXAMPLES, LINES, run_example
from tests.harness.conftest import ROOT

FOLDER = EXAMPLES / "http_system"
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The server's address, on a port that is free."""
    if NODE is None:
        pytest.skip("node is not installed; tests/systems/test_http.py has a server in Python")
    with subprocess.Popen(
        [NODE, str(FOLDER / "server.js"), "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix("listening on ").strip()
        server.terminate()


@pytest.fixture(scope="module")
def example(url: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run of the example on three clips, at the server's port."""
    folder = tmp_path_factory.mktemp("http")
    text = (FOLDER / "suite.toml").read_text()
    assert "http://127.0.0.1:8000" in text
    suite = folder / "suite.toml"
    suite.write_text(text.replace("http://127.0.0.1:8000", url))
    return run_example(suite, folder)


@pytest.mark.slow
def test_the_example_runs(example: RunFolder, url: str) -> None:
    assert example.counts()["half"] == (3, 0, 3)
    about = example.about_systems()["half"]
    assert about["provenance"] == {"url": url, "name": "half", "version": "1"}


@pytest.mark.slow
def test_its_sound_is_the_speech_at_half_its_level(example: RunFolder) -> None:
    for row in example.rows():
        heard, _ = soundfile.read(example.audio_path("half", row.clip), dtype="float32")
        [clip] = [clip for clip in example.clips if clip.id == row.clip]
        spoken, rate_hz = soundfile.read(clip.speech, dtype="float32")
        if rate_hz == row.rate_hz:
            np.testing.assert_allclose(heard, spoken / 2, atol=2**-14)


@pytest.mark.slow
def test_its_own_stage_is_in_the_journal(example: RunFolder) -> None:
    for row in example.rows():
        names = [(span.phase, span.name) for span in row.spans]
        assert names[:2] == [("represent", "write_speech"), ("represent", "server")]
        assert ("generate", "read_sound") in names
        assert {"gain", "server"} & {name for phase, name in names if phase == "generate"}


def test_the_page_says_what_is_run() -> None:
    page = (FOLDER / "README.md").read_text()
    assert len(page.splitlines()) <= LINES
    for line in (
        "node examples/http_system/server.js 8000",
        "stabench run examples/http_system/suite.toml",
    ):
        assert line in page
    assert Path(FOLDER / "server.js").is_file()
