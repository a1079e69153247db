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

from stabench.checkpoints.tensors import (
    MODEL,
    PICKLED,
    fill_network,
    read_json,
    read_tensors,
    read_torch,
    save_tensors,
)

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
    content = read_torch(saved(tmp_path / "x.pt", {"model": TENSORS, "step": 3}, zipped))
    assert content["step"] == 3
    assert all(torch.equal(content["model"][name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("numpy_1", [False, True], ids=["NumPy 2", "NumPy 1"])
def test_arrays_and_scalars_of_numpy_come_back(tmp_path: Path, numpy_1: bool) -> None:
    """As in PANNs' sampler and LAION's epoch and loss."""
    sampler = {"indexes": np.arange(7), "used": np.array([True, False]), "names": np.array(["a"])}
    written = {
        "model": TENSORS,
        "sampler": sampler,
        "loss": np.float64(0.5),
        "type": np.dtype("f4"),
    }
    path = saved(tmp_path / "x.pt", written)
    content = read_torch(as_numpy_1(path) if numpy_1 else path)
    assert all(np.array_equal(content["sampler"][name], sampler[name]) for name in sampler)
    assert content["loss"] == 0.5
    assert content["type"] == np.dtype("f4")
    assert torch.equal(content["model"]["weight"], TENSORS["weight"])


@FORMATS
def test_a_pickle_that_runs_code_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    made = tmp_path / "made"
    path = saved(tmp_path / "x.pt", {"model": TENSORS, "more": Bomb(made)}, zipped)
    with pytest.raises(ValueError, match=r"its pickle asks for posix\.system") as caught:
        read_torch(path)
    assert "\n" not in str(caught.value)
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists(), "the bomb is a dud, so the test proves nothing"


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"model": Bomb(tmp_path / "made")}))
    with pytest.raises(ValueError, match=r"x\.pt"):
        read_torch(path)
    assert not (tmp_path / "made").exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"a": np.array([{}, None], dtype=object)})
    with pytest.raises(ValueError, match=r"asks for numpy\.dtypes\.ObjectDType"):
        read_torch(path)


def test_other_classes_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"path": Path("x"), "model": TENSORS})
    with pytest.raises(ValueError, match="its pickle asks for pathlib"):
        read_torch(path)


def test_what_is_allowed_here_is_allowed_nowhere_else(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    path = saved(tmp_path / "x.pt", {"a": np.arange(3)})
    read_torch(path)
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@FORMATS
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_told(tmp_path: Path, zipped: bool, share: float) -> None:
    path = saved(tmp_path / "x.pt", {"weight": torch.zeros(5000)}, zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"x\.pt") as caught:
        read_torch(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_zip_is_called_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", TENSORS)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"is truncated \(at 900 bytes\)"):
        read_torch(path)


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><html>not found</html>", b"\x93NUMPY", b"\x80"])
def test_another_format_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.pt"):
        read_torch(path)


def test_a_checkpoint_is_a_dict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a Tensor; a dict of tensors is expected"):
        read_torch(saved(tmp_path / "x.pt", torch.zeros(2)))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_torch(tmp_path / "x.pt")


def test_a_folder_is_read_by_the_names_that_hubs_use(tmp_path: Path) -> None:
    saved(tmp_path / PICKLED, TENSORS)
    assert torch.equal(read_tensors(tmp_path)["weight"], TENSORS["weight"])
    save_tensors(tmp_path / MODEL, torch.nn.Linear(1, 1))
    assert read_tensors(tmp_path)["weight"].shape == (1, 1)
    with pytest.raises(FileNotFoundError, match=r"gone\.pt: no such weights; fetch or train them"):
        read_tensors(tmp_path / "gone.pt")


def test_a_part_of_a_training_checkpoint(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"model": TENSORS, "step": 3})
    assert read_tensors(path, part="model").keys() == TENSORS.keys()
    with pytest.raises(ValueError, match=r"x\.pt: no table 'state' in it, but model, step; fetch"):
        read_tensors(path, part="state")


def test_a_network_takes_what_fits_and_keeps_what_it_derives() -> None:
    network = torch.nn.BatchNorm1d(2)
    state = {name: value + 1 for name, value in network.state_dict().items()}
    fill_network(network, state, "here", derived=("running_mean", "elsewhere"))
    assert network.weight.tolist() == [2, 2]
    assert network.running_mean is not None
    assert network.running_mean.tolist() == [0, 0]
    half = {name: value.half() for name, value in torch.nn.Linear(1, 1).state_dict().items()}
    linear = torch.nn.Linear(1, 1)
    fill_network(linear, half, "here")
    assert linear.weight.dtype == torch.float32
    fill_network(linear, half, "here", assign=True)
    assert linear.weight.dtype == torch.float16


@pytest.mark.parametrize(
    ("state", "misfit"),
    [
        ({"weight": TENSORS["weight"]}, "missing bias;"),
        (TENSORS | {"more": TENSORS["bias"]}, "left over more;"),
        (
            {"weight": TENSORS["weight"], "biass": TENSORS["bias"]},
            r"missing bias \(is it biass\?\)",
        ),
        (TENSORS | {"bias": torch.ones(3)}, r"bias is \(3,\) instead of \(2,\);"),
        (TENSORS, r"bias is torch\.int64 instead of torch\.float32;"),
        (TENSORS | {"bias": 3}, "no tensor bias;"),
    ],
)
def test_what_does_not_fit_is_named(state: dict[str, Any], misfit: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^here: its tensors do not fit Linear: .*{misfit}"
    ) as no:
        fill_network(torch.nn.Linear(3, 2), state, "here")
    assert str(no.value).endswith("belongs to this file, or fetch it again")


def test_json_may_hold_comments_and_must_be_a_table(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"url": "http://host", // an address\n "n": 1}')
    assert read_json(path) == {"url": "http://host", "n": 1}
    for text, message in (("[1]", "holds a list, expected a table"), ("{", "not JSON")):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"config\.json: {message}"):
            read_json(path)
