"""The ledger: that nothing noted is lost, whoever writes beside."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from checkpoints import ledger


def test_values_are_added_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep/ledger.json"
    assert ledger.read(path) == {}
    ledger.note(path, {"a": 1, "b": 2})
    ledger.note(path, {"b": 3})
    assert ledger.read(path) == {"a": 1, "b": 3}


def test_writers_beside_each_other_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: ledger.note(path, {str(index): index}), range(40)))
    assert ledger.read(path) == {str(index): index for index in range(40)}


@pytest.mark.parametrize("text", ["", "[1]", '{"a": '])
def test_a_broken_ledger_is_not_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no JSON object"):
        ledger.note(path, {"a": 1})
    assert path.read_text() == text


def test_a_held_lock_is_told(tmp_path: Path) -> None:
    with (
        ledger.locked(tmp_path / "lock"),
        pytest.raises(BlockingIOError),
        ledger.locked(tmp_path / "lock", wait=False),
    ):
        pass
