"""Several processes and half precision, through accelerate, on the CPU."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stabench.systems.training.compute import Accelerated, Compute
from stabench.systems.training.log import read_log
from tests.systems.training.tiny_stage2 import CONFIG, SAVING, train

ROOT = Path(__file__).resolve().parents[3]


def run_processes(folder, count, precision="float32"):
    """Train in `count` processes; return the losses that the first one logged."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"WORLD_SIZE": str(count), "ACCELERATE_USE_CPU": "true"} if count > 1 else {}
    script = [sys.executable, "-m", "tests.systems.training.tiny_stage2", str(folder), precision]
    processes = [
        subprocess.Popen(
            script,
            cwd=ROOT,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    log = read_log(folder / "seed0" / "tiny.log.jsonl")
    return np.array([line["loss"] for line in log]), len(log)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one_with_the_whole_batch(tmp_path):
    pytest.importorskip("accelerate")
    together, lines = run_processes(tmp_path / "two", 2)
    train(tmp_path / "one", records=SAVING)
    log = read_log(tmp_path / "one" / "seed0" / "tiny.log.jsonl")
    alone = np.array([line["loss"] for line in log])
    assert lines == CONFIG.steps, "only one of them logs"
    assert np.abs(together - alone).max() < 1e-5
    # Steps learned from different halves: a process by itself would have gone elsewhere.
    assert np.abs(np.diff(alone)).min() > 1e-4


@pytest.mark.slow
def test_bfloat16_keeps_float32_weights_and_about_the_same_losses(tmp_path):
    pytest.importorskip("accelerate")
    half, _ = run_processes(tmp_path / "half", 1, "bfloat16")
    train(tmp_path / "full", records=SAVING)
    full = [line["loss"] for line in read_log(tmp_path / "full" / "seed0" / "tiny.log.jsonl")]
    assert half.tolist() != full
    assert np.abs(half / full - 1).max() < 0.03
    stored = torch.load(tmp_path / "half" / "seed0" / "tiny.pt", weights_only=True)
    weights = stored["udit.patch_embed.proj.weight"]
    assert weights.dtype == torch.float32
    assert not torch.equal(weights, weights.bfloat16().float())


def test_each_process_takes_its_own_rows_of_a_batch():
    batch = torch.arange(6)
    second = Compute()
    second.rank, second.count = 1, 3
    assert Compute().share(batch).tolist() == list(range(6))
    assert second.share(batch).tolist() == [2, 3]
    second.count = 4
    with pytest.raises(ValueError, match="a batch of 6 cannot be shared by 4 processes"):
        second.share(batch)


def test_precisions_that_cannot_be_had_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="precision is 'fp8', allowed are float32, bfloat16"):
        Accelerated("fp8")
    with pytest.raises(ValueError, match="'float16', which needs a GPU; use bfloat16 or float32"):
        Accelerated("float16", "cpu")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ValueError, match=r"need accelerate.*pip install 'stabench\[train\]'"):
        Accelerated("bfloat16", "cpu")
