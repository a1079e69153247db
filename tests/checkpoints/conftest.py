"""What the tests of weights share: an empty machine, an origin on 127.0.0.1."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints.origin import Origin, empty_machine


@pytest.fixture(autouse=True)
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The weights folder of a machine that has no weights."""
    return empty_machine(monkeypatch, tmp_path)


@pytest.fixture
def origin() -> Iterator[Origin]:
    server = Origin()
    yield server
    server.stop()
