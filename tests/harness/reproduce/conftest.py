"""Runs beside published tables: one of other systems, one as if it had done what a paper did."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.reproduce.paper import read_all
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

PAPERS = {paper.name: paper for paper in read_all()}
TABLE1, TABLE2 = PAPERS["star-table1"], PAPERS["star-table2"]
PUBLISHED = {"fad": 2.23, "fd": 15.42, "kl": 1.48, "is": 12.22, "clap": 0.422}
ORIGINS = {"fad": "vggish", "tagger": "cnn14-16k", "clap": "clap-630k-audioset-best"}
SYSTEMS = (
    ("cascade", "cascade", "Whisper + TANGO 2"),
    ("star", "end-to-end", "STAR"),
    ("small", "end-to-end", "STAR (pocket)"),
)
MINIATURES = ("pocket-star-nobridge", "pocket-star", "pocket-star-dac")
USES = {"cascade": "whisper-tango2", "star": "star", "small": "pocket-star-dac"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = FakeRun(tmp_path_factory.mktemp("run"), systems=SYSTEMS).make()
    score_run(run.path)
    return run.path


@pytest.fixture
def as_published(made: Path, tmp_path: Path) -> Path:
    """The run as if it had done all that the paper's figures need, with STAR's own scores."""
    folder = tmp_path / "run"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("audio"))

    def run(value: Any) -> None:
        value["request"]["device"] = "cuda"
        value["dataset"]["name"] = "audiocaps"
        for system in value["suite"]["system"]:
            system["use"] = USES[system["name"]]

    assert TABLE2.conditions is not None
    digest = TABLE2.conditions.digest

    def scores(value: Any) -> None:
        value["provenance"]["protocol"] |= {"name": "paper", "digest": digest}
        for role, name in ORIGINS.items():
            value["provenance"]["embedders"][role]["origin"] = f"published: {name}"
        for system in value["systems"].values():
            for key, middle in PUBLISHED.items():
                ends = {"low": 0.9 * middle, "high": 1.1 * middle}
                system["cells"][key] = {"value": middle, **ends, "n": 975}

    edit(folder, run, scores)
    return folder


def edit(folder: Path, run: Any = None, scores: Any = None) -> Path:
    """Change run.json and metrics.json by two functions of their values."""
    for name, change in (("run.json", run), ("metrics.json", scores)):
        if change is not None:
            value = json.loads((folder / name).read_text())
            change(value)
            (folder / name).write_text(json.dumps(value))
    return folder
