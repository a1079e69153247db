"""Saved states: kept few, written whole, and refused in one line where they do not belong."""

import errno

import pytest
import torch

from stabench.systems.training import states
from stabench.systems.training.states import States

RECIPE = {"rate": "0.001", "seed": "1"}


def test_the_last_states_are_kept_and_the_newest_is_loaded(tmp_path):
    saved = States(tmp_path / "toy", RECIPE, keep=2)
    assert saved.load() is None
    for step in (5, 50, 500):
        saved.save(step, {"network": {"a": torch.full((2,), float(step))}})
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == [
        "step-00000050.pt",
        "step-00000500.pt",
    ]
    state = saved.load()
    assert state["step"] == 500
    assert state["network"]["a"].tolist() == [500, 500]
    saved.clear()
    assert saved.load() is None


def test_a_state_of_another_recipe_is_refused_by_what_differs(tmp_path):
    States(tmp_path / "toy", RECIPE).save(5, {})
    other = {"rate": "0.002", "seed": "1", "ema": "0.9"}
    with pytest.raises(
        ValueError, match=r"ema is None, here 0\.9; rate is 0\.001, here 0\.002"
    ) as e:
        States(tmp_path / "toy", other).load()
    assert "step-00000005.pt" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no state at all"])
def test_torn_and_foreign_files_are_refused_by_name(content, tmp_path):
    saved = States(tmp_path / "toy", RECIPE)
    saved.save(5, {})
    (tmp_path / "toy" / "step-00000006.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"step-00000006\.pt: .*; delete it") as error:
        saved.load()
    assert "\n" not in str(error.value)


def test_weights_that_are_no_state_are_refused(tmp_path):
    (tmp_path / "toy").mkdir()
    torch.save({"weight": torch.ones(1)}, tmp_path / "toy" / "step-00000006.pt")
    with pytest.raises(ValueError, match=r"step-00000006\.pt: no state of a training; delete it"):
        States(tmp_path / "toy", RECIPE).load()


def test_a_full_disk_loses_nothing_already_saved(tmp_path, monkeypatch):
    saved = States(tmp_path / "toy", RECIPE)
    saved.save(5, {"network": {"a": torch.ones(1)}})

    def fill_disk(_state, path):
        path.write_bytes(b"PK half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(states.torch, "save", fill_disk)
    with pytest.raises(OSError, match=r"step-00000006\.pt could not be written .*No space left"):
        saved.save(6, {"network": {"a": torch.zeros(1)}})
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["step-00000005.pt"]
    assert saved.load()["network"]["a"] == 1


def test_files_hold_what_any_device_can_read(tmp_path):
    state = {"a": [torch.ones(2), 3], "b": {"c": torch.zeros(1)}, "d": None}
    states.write(state, tmp_path / "x.pt")
    again = torch.load(tmp_path / "x.pt", weights_only=True)
    assert torch.equal(again["a"][0], torch.ones(2))
    assert (again["a"][1], again["d"]) == (3, None)
    assert torch.equal(again["b"]["c"], torch.zeros(1))
