"""The measurement of full-size training; one true step of it where that is asked for."""

import os

import pytest
import torch

from stabench.systems.networks.config import UDiTConfig
from stabench.systems.star.config import BridgeConfig, StarConfig
from stabench.systems.training import stage2_speed

TINY = StarConfig(
    bridge=BridgeConfig(queries=3, width=8, heads=2, output_width=8),
    udit=UDiTConfig(width=16, heads=2, depth=2, lora_rank=2, lora_alpha=2, context_width=8),
    latent_frames=20,
)
FULL_SIZE = "STABENCH_TEST_FULL_SIZE"


def test_a_measurement_is_of_the_steps_that_were_asked_for():
    speed = stage2_speed.measure(torch.device("cpu"), "float32", 2, 5, TINY)
    assert (speed.batch, speed.steps, speed.precision) == (2, 5, "float32")
    assert speed.samples_per_s == pytest.approx(2 / speed.seconds_per_step)
    assert 0.1 < speed.peak_memory_gib < 64
    assert 0 < speed.loss < 100


def test_without_a_gpu_nothing_is_measured_and_no_file_claims_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        stage2_speed.main(["--out", str(tmp_path / "speed.json")])
    assert ended.value.code == 3
    assert "not measured: torch" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(FULL_SIZE not in os.environ, reason=f"11 GiB and minutes; set {FULL_SIZE}=1")
def test_a_full_size_step_fits_into_24_gib():
    speed = stage2_speed.measure(torch.device("cpu"), "float32", batch=1, steps=1)
    print(speed)
    assert speed.peak_memory_gib < 24
    assert 0.5 < speed.loss < 20
