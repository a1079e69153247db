"""One toy run for the tests of submitting and checking."""

import pytest

from tests.harness.board.toy_board import Toy, toy


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A scored run of 24 clips."""
    return toy(tmp_path_factory.mktemp("board"))
