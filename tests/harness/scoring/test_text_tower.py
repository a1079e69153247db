"""No number comes from a CLAP whose text tower is broken, whoever wrote it; the others stay."""

import json
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.cli.doctor import examine
from stabench.harness.scoring.score import score_folders
from stabench.harness.suites import protocols
from tests.harness import listeners
from tests.harness.fake_run import tone, write_wav

NETWORKS = """
import numpy as np
from tests.harness.listeners import Frames, Matcher


class Collapsed(Matcher):
    def embed_text(self, captions):
        rows = 1e-3 * np.random.default_rng(0).standard_normal((len(captions), 3))
        return (np.array([0.5, 0.5, 0.7]) + rows).astype(np.float32)


class Random(Collapsed):
    origin = "random, seed 0"


class Late(Matcher):
    def load(self, device, precision="float32"):
        raise RuntimeError("no such kernel")


class Wordless(Frames):
    pass
"""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "networks.py"
    path.write_text(NETWORKS)
    return path


def score(tmp_path: Path, clap: str, captions: str) -> dict:
    rng = np.random.default_rng(0)
    for index, event in enumerate(("low", "middle", "high")):
        for name in ("reference", "outputs"):
            write_wav(tmp_path / name / f"{index}.wav", tone((event,), rng))
    (tmp_path / "captions.csv").write_text(captions)
    here = Path(listeners.__file__)
    protocol = protocols.load("paper", {"fad": f"{here}:Frames", "clap": clap})
    path = score_folders(
        tmp_path / "reference",
        {"x": tmp_path / "outputs"},
        tmp_path / "captions.csv",
        tmp_path / "scores",
        protocol,
        columns=("fad", "clap"),
        sanity=(),
        bootstrap=100,
    )
    return json.loads(path.read_text())["systems"]["x"]["cells"]


CAPTIONS = "id,caption\n0,low\n1,middle\n2,high\n"


def test_a_column_of_a_broken_text_tower_has_a_reason_and_no_number(networks, tmp_path):
    cells = score(tmp_path, f"{networks}:Collapsed", CAPTIONS)
    assert cells["clap"]["value"] is None
    assert "unrelated captions have cosine 1.0000, expected under 0.95" in cells["clap"]["reason"]
    assert cells["fad"]["value"] > 0


@pytest.mark.parametrize(
    ("name", "captions"),
    [
        # It knows three words alone, none of them in the captions that have nothing in common.
        ("Matcher", CAPTIONS),
        ("Random", CAPTIONS),
    ],
)
def test_a_small_vocabulary_and_random_weights_are_no_fault(networks, tmp_path, name, captions):
    where = listeners.__file__ if name == "Matcher" else networks
    assert score(tmp_path, f"{where}:{name}", captions)["clap"]["value"] is not None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Collapsed", "broken   text tower     networks.py:Collapsed: unrelated captions have"),
        ("Random", "-        text tower     networks.py:Random: random weights, which tell"),
        ("Late", "broken   text tower     networks.py:Late: RuntimeError: no such kernel"),
        ("Wordless", "broken   text tower     networks.py:Wordless: reads no captions"),
    ],
)
def test_the_doctor_examines_the_text_tower_of_a_judge(networks, tmp_path, name, line):
    lines = [str(each) for each in examine(tmp_path, {"clap": f"{networks}:{name}"})]
    assert any(each.startswith(line) for each in lines), lines
    (pocket,) = (each for each in lines if "pocket-clap: " in each)
    assert pocket.startswith("ok       text tower     pocket-clap: tells captions apart")
    (absent,) = (each for each in lines if "clap-630k: " in each)
    assert absent.endswith("not examined, its weights are not here")
