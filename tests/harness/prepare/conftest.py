"""Tiny networks and a tiny AudioCaps, for the tests of every step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.harness.prepare import tiny_audiocaps as tiny


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that two runs of a test are equal to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def audiocaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    return tiny.write_audiocaps(tmp_path / "audiocaps")
