"""A package that stabench does not know: one file for each thing it brings, one line to name it.

A metric, a sanity row, a system, an embedder, a dataset, a protocol and a suite are installed
beside stabench, run and scored; then the package goes, and what was measured is still read.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stabench.metrics.audio import encode

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "zoo-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: zoo\nVersion: 1.5\n",
    "zoo-1.5.dist-info/entry_points.txt": """
[stabench.metrics]
roar = zoo.roar:ROAR
[stabench.sanity]
hiss = zoo.hiss:HISS
[stabench.systems]
lion = zoo.lion:Lion
[stabench.embedders]
ears = zoo.ears:Ears
[stabench.datasets]
savanna = zoo.savanna:savanna
[stabench.protocols]
tracks = zoo
[stabench.suites]
safari = zoo
""",
    "zoo/__init__.py": "",
    "zoo/roar.py": '''
"""How much louder than its recording an output is, in dB, by the embedding of `ears`."""

import numpy as np

from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets


def measure(metric: Metric, sets: Sets) -> np.ndarray:
    pairs = sets.pairs("fad")
    louder = [pair.gen.embeddings[0, 0] - pair.ref[0].embeddings[0, 0] for pair in pairs]
    return np.array(louder, np.float64)


ROAR = Metric(
    name="roar", label="Roar", better="higher", unit="dB", digits=1, version=3,
    needs=("fad", "pair"), measure=measure, about="louder than the recording",
)
''',
    "zoo/hiss.py": '''
"""Each recording with a hiss of its own loudness over it."""

import numpy as np

from stabench.harness.scoring.sanity import SanityRow
from stabench.metrics.audio import Audio


def add_hiss(clip: str, recording: Audio, random: np.random.Generator) -> Audio:
    noise = random.standard_normal(len(recording.samples)) * np.std(recording.samples)
    return Audio(recording.samples + noise.astype(np.float32), recording.rate_hz)


HISS = SanityRow(name="hiss", label="Recordings under a hiss", make=add_hiss)
''',
    "zoo/lion.py": '''
"""Says twice as loud what it hears."""

from stabench.systems.contract import Representation, Waveform


class Lion:
    sample_rate = 16_000

    def __init__(self, gain=2.0):
        self.gain = gain

    def load(self, device, dtype): ...

    def represent(self, speech, spans):
        with spans("ear"):
            return Representation(speech.samples)

    def generate(self, representations, seeds, spans):
        with spans("throat"):
            return [Waveform(one.payload * self.gain, 16_000) for one in representations]
''',
    "zoo/ears.py": '''
"""Level and crest factor of a sound, dB."""

import numpy as np

from stabench.metrics.contract import Features


class Ears:
    rate_hz = 16_000
    sha256 = "00" * 32
    identity = "zoo ears 1"
    origin = "zoo"
    licence = "Apache-2.0"
    precision = "float32"

    def load(self, device, precision=None): ...

    def embed(self, waveforms):
        return [Features(self.listen(one)) for one in waveforms]

    def listen(self, samples):
        level, peak = np.sqrt(np.mean(samples**2)) + 1e-9, np.abs(samples).max() + 1e-9
        return 20 * np.log10(np.array([[level, peak / level]], np.float32))
''',
    "zoo/savanna.py": '''
"""The WAVs of the folder that SAVANNA names: what is said is what is to be heard."""

import os
from pathlib import Path

from stabench.harness.datasets.dataset import Clip, Dataset


def savanna():
    paths = sorted(Path(os.environ["SAVANNA"]).glob("*.wav"))
    return Dataset("savanna", "1", tuple(Clip(p.stem, f"a {p.stem}", p, p) for p in paths))
''',
    "zoo/protocols/tracks.toml": """
name = "tracks"
version = 1
columns = ["fad", "roar"]
[networks.fad]
network = "ears"
""",
    "zoo/suites/safari.toml": """
name = "safari"
[dataset]
use = "savanna"
[protocol]
threads = 1
warmups = 0
bootstrap = 100
[metrics]
protocol = "tracks"
columns = ["fad", "roar"]
sanity = ["noise", "hiss"]
[[system]]
name = "lion"
use = "lion"
[[system]]
name = "cub"
use = "lion"
options = { gain = 0.5 }
""",
}
CLIPS = 14
Zoo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package in `site`, and sounds in `wavs`."""
    place = tmp_path_factory.mktemp("zoo")
    for name, text in FILES.items():
        path = place / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    (place / "wavs").mkdir()
    for index in range(CLIPS):
        rng = np.random.default_rng(index)
        times = np.arange(8_000) / 16_000
        sound = 0.2 * np.sin(2 * np.pi * 440 * times) + rng.uniform(
            0.01, 0.1
        ) * rng.standard_normal(8_000)
        data = encode(sound.clip(-0.5, 0.5).astype(np.float32), 16_000)
        (place / "wavs" / f"beast{index:02}.wav").write_bytes(data)
    return place


@pytest.fixture(scope="module")
def zoo(place: Path) -> Zoo:
    """Return a call of stabench in `place`; `there`: with the package on the path."""

    def call(
        *words: object, there: bool = True, check: int = 0
    ) -> "subprocess.CompletedProcess[str]":
        paths = [str(ROOT), *([str(place / "site")] if there else [])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "SAVANNA": str(place / "wavs"),
            "STABENCH_CACHE": str(place / "cache"),
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "stabench", *map(str, words)]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == check, done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="module")
def run(zoo: Zoo, place: Path) -> Path:
    """Return the folder of a run of the package's suite."""
    zoo("run", "safari", "--limit", 12)
    return (place / "results/runs/latest").resolve()


def test_it_is_listed_and_nothing_is_wrong_with_it(zoo: Zoo) -> None:
    done = zoo("list")
    for line in ("roar", "hiss", "lion", "ears", "savanna", "tracks", "safari"):
        assert f"  {line} " in done.stdout
    assert "zoo.roar:ROAR  (zoo)" in done.stdout
    assert done.stderr == ""


def test_its_metric_and_its_row_are_in_the_scores(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    about = metrics["columns"]["roar"]
    assert about["source"] == "zoo 1.5"
    assert (about["label"], about["unit"], about["digits"], about["version"]) == (
        "Roar",
        "dB",
        1,
        3,
    )
    assert "source" not in metrics["columns"]["fad"]
    # Twice as loud is 6.02 dB more, half as loud as much less.
    values = {name: system["cells"]["roar"] for name, system in metrics["systems"].items()}
    assert values["lion"]["value"] == pytest.approx(6.02, abs=0.01)
    assert values["cub"]["value"] == pytest.approx(-6.02, abs=0.01)
    assert values["lion"]["n"] == 12
    rows = metrics["sanity"]
    assert (rows["hiss"]["label"], rows["hiss"]["source"]) == ("Recordings under a hiss", "zoo 1.5")
    # A hiss of the same power: 3 dB more.
    assert rows["hiss"]["cells"]["roar"]["value"] == pytest.approx(3.01, abs=0.3)
    assert "source" not in rows["noise"]
    assert rows["noise"]["cells"]["roar"]["value"] == pytest.approx(0.0, abs=0.3)


@pytest.mark.slow
def test_what_was_measured_is_read_without_the_package(run: Path, zoo: Zoo, place: Path) -> None:
    done = zoo("report", run, there=False)
    assert "Roar" in done.stdout
    assert "Recordings under a hiss" in done.stdout
    assert "from zoo 1.5" in (run / "report.md").read_text()
    assert "Roar" in (run / "report.html").read_text()
    assert "Roar" in zoo("compare", run, run, there=False).stdout
    zoo("baseline", run, "--out", "base.json.gz", there=False)
    (place / "gate.toml").write_text("[quality.effects]\nroar = 0.5\n")
    words = ("gate", run, "--baseline", "base.json.gz", "--policy", "gate.toml", "--out", "judged")
    zoo(*words, there=False)
    checks = json.loads((place / "judged/gate.json").read_text())
    assert '"roar"' in json.dumps(checks)
    (place / "gate.toml").write_text("[quality.effects]\nraor = 0.5\n")
    done = zoo(*words, there=False, check=2)
    assert "unknown metric 'raor'; did you mean 'roar'?" in done.stderr


def test_without_the_package_scoring_says_what_is_missing(run: Path, zoo: Zoo) -> None:
    before = (run / "metrics.json").read_bytes()
    done = zoo("score", run, there=False, check=2)
    assert done.stderr.startswith("stabench: unknown protocol 'tracks'")
    assert len(done.stderr.splitlines()) == 1
    assert (run / "metrics.json").read_bytes() == before


@pytest.mark.slow
def test_another_version_gives_the_same_numbers_and_another_provenance(
    run: Path, zoo: Zoo, place: Path
) -> None:
    copy = Path(shutil.copytree(run, place / "copy"))
    info = place / "site/zoo-1.5.dist-info/METADATA"
    text = info.read_text()
    info.write_text(text.replace("1.5", "1.6"))
    try:
        zoo("score", copy)
    finally:
        info.write_text(text)
    # Scored again, all else is the same to the bit.
    again = (copy / "metrics.json").read_text()
    assert again.count("zoo 1.6") == 2
    assert again.replace("zoo 1.6", "zoo 1.5") == (run / "metrics.json").read_text()
    done = zoo("compare", run, copy, there=False, check=2)
    assert "provenance of roar" in done.stderr


@pytest.mark.slow
def test_folders_are_scored_by_its_protocol_and_by_a_file(zoo: Zoo, place: Path) -> None:
    words = ("score", "--reference", "wavs", "--outputs", "same=wavs", "--protocol", "tracks")
    zoo(*words, "--out", "by-name")
    by_name = json.loads((place / "by-name/metrics.json").read_text())
    assert by_name["systems"]["same"]["cells"]["roar"]["value"] == pytest.approx(0.0, abs=1e-6)
    text = FILES["zoo/roar.py"].replace('name="roar"', 'name="growl"').replace("Roar", "Growl")
    (place / "growl.py").write_text(text)
    zoo(*words, "--columns", "fad,growl.py:ROAR", "--out", "by-file")
    by_file = json.loads((place / "by-file/metrics.json").read_text())
    assert list(by_file["columns"]) == ["fad", "growl"]
    assert by_file["columns"]["growl"]["source"].startswith("growl.py, sha256 ")
    assert by_file["systems"]["same"]["cells"]["growl"]["n"] == CLIPS
    done = zoo(*words, "--columns", "roarr", check=2)
    assert "--columns: unknown column 'roarr'; did you mean 'roar'?" in done.stderr


@pytest.mark.slow
def test_a_suite_names_files_too(zoo: Zoo, place: Path) -> None:
    (place / "snarl.py").write_text(FILES["zoo/roar.py"].replace('"roar"', '"snarl"'))
    (place / "wind.py").write_text(FILES["zoo/hiss.py"].replace('"hiss"', '"wind"'))
    suite = FILES["zoo/suites/safari.toml"].replace('"roar"', '"snarl.py:ROAR"')
    suite = suite.replace('"hiss"', '"wind.py:HISS"').replace('"safari"', '"files"')
    (place / "files.toml").write_text(suite)
    zoo("run", "files.toml", "--limit", 12, "--out", "runs")
    run = (place / "runs/latest").resolve()
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["columns"]) == ["fad", "snarl"]
    assert list(metrics["sanity"]) == ["noise", "wind"]
    assert metrics["sanity"]["wind"]["source"].startswith("wind.py, sha256 ")
    # The file goes: what it measured is still shown, and a new score says what it lacks.
    (place / "snarl.py").unlink()
    assert "Roar" in zoo("report", run, there=False).stdout
    assert "snarl.py': no such file" in zoo("score", run, check=3).stderr


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("columns", '["roarr"]', "metrics.columns: unknown column 'roarr'; did you mean 'roar'?"),
        ("sanity", '["his"]', "metrics.sanity: unknown sanity row 'his'; did you mean 'hiss'?"),
        ("columns", '["gone.py:ROAR"]', "no such file"),
        ("sanity", '["gone.py:HISS"]', "no such file"),
    ],
)
def test_a_name_that_nothing_brings_ends_a_run_before_it_begins(
    key: str, value: str, line: str, zoo: Zoo, place: Path
) -> None:
    suite = FILES["zoo/suites/safari.toml"]
    old = next(text for text in suite.splitlines() if text.startswith(key))
    (place / "slip.toml").write_text(suite.replace(old, f"{key} = {value}"))
    done = zoo("run", "slip.toml", "--out", "slips", check=3 if "gone" in value else 2)
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (place / "slips").exists()
