"""Checkpoints of others: what they may hold is read; what could run code is not."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stabench.checkpoints import torch_file

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1, 2])}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Bomb:
    """Unpickled, it makes the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.path}'",)


def saved(path: Path, content: Any, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def as_numpy_1(path: Path) -> Path:
    """The same checkpoint as NumPy 1 would have written it."""
    text = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(text, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in data
                data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            new.writestr(name, data)
    path.write_bytes(text.getvalue())
    return path


@FORMATS
def test_tensors_come_back(tmp_path: Path, zipped: bool) -> None:
    read = torch_file.read(saved(tmp_path / "x.pt", {"model": TENSORS, "step": 3}, zipped))
    assert read["step"] == 3
    assert all(torch.equal(read["model"][name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("numpy_1", [False, True], ids=["NumPy 2", "NumPy 1"])
def test_arrays_and_scalars_of_numpy_come_back(tmp_path: Path, numpy_1: bool) -> None:
    """As in PANNs' sampler and LAION's epoch and loss."""
    sampler = {"indexes": np.arange(7), "used": np.array([True, False]), "names": np.array(["a"])}
    content = {
        "model": TENSORS,
        "sampler": sampler,
        "loss": np.float64(0.5),
        "type": np.dtype("f4"),
    }
    path = saved(tmp_path / "x.pt", content)
    read = torch_file.read(as_numpy_1(path) if numpy_1 else path)
    assert all(np.array_equal(read["sampler"][name], sampler[name]) for name in sampler)
    assert read["loss"] == 0.5
    assert read["type"] == np.dtype("f4")
    assert torch.equal(read["model"]["weight"], TENSORS["weight"])


@FORMATS
def test_a_pickle_that_runs_code_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    made = tmp_path / "made"
    path = saved(tmp_path / "x.pt", {"model": TENSORS, "more": Bomb(made)}, zipped)
    with pytest.raises(ValueError, match=r"its pickle asks for posix\.system") as caught:
        torch_file.read(path)
    assert "\n" not in str(caught.value)
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists(), "the bomb is a dud, so the test proves nothing"


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"model": Bomb(tmp_path / "made")}))
    with pytest.raises(ValueError, match=r"x\.pt"):
        torch_file.read(path)
    assert not (tmp_path / "made").exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"a": np.array([{}, None], dtype=object)})
    with pytest.raises(ValueError, match=r"asks for numpy\.dtypes\.ObjectDType"):
        torch_file.read(path)


def test_other_classes_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"path": Path("x"), "model": TENSORS})
    with pytest.raises(ValueError, match="its pickle asks for pathlib"):
        torch_file.read(path)


def test_what_is_allowed_here_is_allowed_nowhere_else(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    path = saved(tmp_path / "x.pt", {"a": np.arange(3)})
    torch_file.read(path)
    assert torch.serialization.get_safe_globals() == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@FORMATS
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_told(tmp_path: Path, zipped: bool, share: float) -> None:
    path = saved(tmp_path / "x.pt", {"weight": torch.zeros(5000)}, zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"x\.pt") as caught:
        torch_file.read(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_zip_is_called_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", TENSORS)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"is truncated \(at 900 bytes\)"):
        torch_file.read(path)


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><html>not found</html>", b"\x93NUMPY", b"\x80"])
def test_another_format_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.pt"):
        torch_file.read(path)


def test_a_checkpoint_is_a_dict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a Tensor; a dict of tensors is expected"):
        torch_file.read(saved(tmp_path / "x.pt", torch.zeros(2)))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        torch_file.read(tmp_path / "x.pt")
