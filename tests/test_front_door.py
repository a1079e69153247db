"""One import name: what a researcher keeps beside a notebook or an adapter is not in our way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.environment import START
from stabench.metrics.audio import encode

ROOT = Path(__file__).resolve().parents[1]
ADAPTER = '''
"""A system that takes its gain from a metrics.py of its own, and its sound from its own harness."""
import metrics
from harness.sound import tone
from systems import names
from stabench import Representation, Waveform


class Mine:
    sample_rate = 16_000
    speech_rate_hz = 16_000

    def load(self, device, dtype):
        pass

    def represent(self, utterance, spans):
        return Representation(names.FIRST)

    def generate(self, representations, seeds, spans):
        assert representations[0].payload == "first"
        return [Waveform(metrics.GAIN * tone(), self.sample_rate)]
'''
SCRIPT = """
import metrics, systems.names, harness.sound
from stabench.metrics import frechet
from stabench.harness.stats import bootstrap
from stabench import Utterance
assert metrics.GAIN == 0.5 and systems.names.FIRST == "first"
assert frechet.__name__ == "stabench.metrics.frechet"
print("both")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A researcher's folder with rooms of the same names as ours."""
    (tmp_path / "metrics.py").write_text("GAIN = 0.5\n")
    for room, text in {
        "systems/names.py": "FIRST = 'first'\n",
        "harness/sound.py": "import numpy as np\n\n\ndef tone():\n"
        "    return np.sin(np.arange(1600) / 9).astype(np.float32)\n",
    }.items():
        (tmp_path / room).parent.mkdir()
        (tmp_path / room).with_name("__init__.py").write_text("")
        (tmp_path / room).write_text(text)
    (tmp_path / "mine.py").write_text(ADAPTER)
    return tmp_path


def test_a_script_beside_folders_of_the_same_names_has_both(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("both\n", 0), done.stderr


def test_an_adapter_in_a_worker_imports_what_lies_beside_it(folder: Path) -> None:
    (folder / "speech").mkdir()
    samples = np.full(1600, 0.1, np.float32)
    (folder / "speech" / "a.wav").write_bytes(encode(samples, 16_000))
    (folder / "suite.toml").write_text(
        'name = "mine"\n[dataset]\nuse = "folder"\nspeech = "speech"\n'
        "[protocol]\nwarmups = 0\nthreads = 1\n"
        f'[[system]]\nname = "mine"\nuse = "{folder / "mine.py"}:Mine"\n'
    )
    done = subprocess.run(
        [sys.executable, START, "stabench", "run", "suite.toml", "--out", "runs"],
        cwd=folder,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [journal] = (
        path for path in (folder / "runs").glob("*/journal.jsonl") if not path.parent.is_symlink()
    )
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [row["status"] for row in rows if "status" in row] == ["ok"]
