"""The pocket judges through the whole of scoring: kept features give the bits of fresh ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.cli import main
from stabench.harness.scoring.score import score_folders
from stabench.harness.suites import protocols

CLIPS = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory, pocket_clips) -> Path:
    """reference/ and out/ (the recordings in noise, some shorter), half of both in half-*/."""
    root = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(0)
    for index, clip in enumerate(pocket_clips[:CLIPS]):
        samples, rate_hz = soundfile.read(clip.reference, dtype="float32")
        noisy = samples + 0.03 * rng.standard_normal(len(samples)).astype(np.float32)
        for name, sound in (("reference", samples), ("out", noisy[: len(noisy) - 700 * index])):
            for folder in (name, f"half-{name}") if index % 2 else (name,):
                (root / folder).mkdir(exist_ok=True)
                soundfile.write(root / folder / f"{clip.id}.wav", sound, rate_hz)
    return root


def scored(folders: Path, half: str = "") -> bytes:
    path = score_folders(
        folders / f"{half}reference",
        {"noisy": folders / f"{half}out"},
        None,
        folders / "scores",
        protocols.load("pocket"),
        columns=("fad", "fd", "kl", "is", "kad"),
        bootstrap=100,
    )
    return path.read_bytes()


@pytest.mark.slow
def test_a_kept_number_is_a_fresh_one_bit_for_bit(folders, tmp_path, monkeypatch):
    """Fresh in one go, against a cache that a run over half of the clips has begun."""
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    fresh = scored(folders)
    assert scored(folders) == fresh
    shutil.rmtree(tmp_path / "cache")
    half = json.loads(scored(folders, "half-"))
    assert half["systems"]["noisy"]["n"] == CLIPS // 2
    assert scored(folders) == fresh


def test_noise_moves_every_column_from_its_best(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    cells = json.loads(scored(folders))["systems"]["noisy"]["cells"]
    assert all(cells[column]["value"] > 0.05 for column in ("fad", "fd", "kl"))
    assert cells["kad"]["p_value"] <= 1
    assert cells["is"]["reason"] == f"needs at least 72 clips, has {CLIPS}"


FRESH = """
import sys
from pathlib import Path
from stabench.harness.cli import main as cli
from stabench.harness.suites import protocols
from stabench.harness.scoring.score import Hearing, score_folders
here, out = map(Path, sys.argv[1:])
score_folders(here, {"same": here}, None, out, protocols.load("pocket"), columns=("kl",),
              sanity=(), bootstrap=100, hearing=Hearing(threads=3))
import torch
print(torch.get_num_threads())
"""


def test_a_fresh_process_hears_with_the_threads_it_records(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    given = [str(folders / "half-reference"), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *given], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3"]


def test_scores_of_folders_never_replace_earlier_ones(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["score", "--reference", folders / "half-reference", "--outputs"]
    words += [f"same={folders / 'half-out'}", "--columns", "kl", "--no-sanity"]
    words += ["--protocol", "pocket", "--threads", "1"]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["stabench", *map(str, words)])
        assert main.main() == 0
    made = sorted((tmp_path / "results/runs").iterdir())
    assert len(made) == 2
    for folder in made:
        assert folder.name.startswith("scores-")
        assert (folder / "report.md").is_file()
