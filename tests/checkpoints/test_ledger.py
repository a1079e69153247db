"""The ledger: that nothing noted is lost, whoever writes beside."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stabench.checkpoints import digests


def test_values_are_added_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep/ledger.json"
    assert digests.read(path) == {}
    digests.note(path, {"a": 1, "b": 2})
    digests.note(path, {"b": 3})
    assert digests.read(path) == {"a": 1, "b": 3}


def test_writers_beside_each_other_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: digests.note(path, {str(index): index}), range(40)))
    assert digests.read(path) == {str(index): index for index in range(40)}


@pytest.mark.parametrize("text", ["", "[1]", '{"a": '])
def test_a_broken_ledger_is_not_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no JSON object"):
        digests.note(path, {"a": 1})
    assert path.read_text() == text


def test_a_held_lock_is_told(tmp_path: Path) -> None:
    with (
        digests.locked(tmp_path / "lock"),
        pytest.raises(BlockingIOError),
        digests.locked(tmp_path / "lock", wait=False),
    ):
        pass
