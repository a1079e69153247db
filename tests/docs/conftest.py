"""A folder in which the commands of a page are typed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stabench.harness.scoring.score import score_run
from tests.docs.blocks import ROOT
from tests.harness.fake_run import FakeRun


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features that tests hear are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def scored_run(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return a folder with a scored run of three systems, in runs/latest."""

    def make(folder: Path) -> None:
        run = FakeRun(folder).make()
        score_run(run.path)

    return once("documented_run", make)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make and enter a folder with the results that a fresh clone has."""
    kept = shutil.ignore_patterns("runs")
    for folder in ("results", "examples"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=kept)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def clone_with_run(clone: Path, scored_run: Path) -> Path:
    """Make the same with two runs in it: results/runs/latest and mine/runs/latest."""
    shutil.copytree(scored_run / "runs", clone / "results" / "runs", symlinks=True)
    (clone / "mine").mkdir()
    os.symlink(clone / "results" / "runs", clone / "mine" / "runs")
    return clone
