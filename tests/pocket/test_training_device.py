"""Training away from the CPU, proved without a GPU: a second device that is the CPU in disguise.

Its tensors call themselves "meta", compute on the CPU underneath, and refuse to meet CPU tensors,
as CUDA's do. So a batch that nobody sent to the device fails here, and numbers must be the CPU's.
"""

from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from stabench.pocket.configs import WEIGHTS
from stabench.pocket.scenes import items
from stabench.pocket.training import __main__ as training
from stabench.pocket.training import (
    autoencoder,
    bridge,
    clap,
    codec,
    generators,
    hearing,
    plan,
    recogniser,
    tagger,
)
from stabench.pocket.training.corpus import CAPTIONS, Corpus, Utterances, multi_hot
from stabench.pocket.training.corpus import corpus as render
from stabench.systems.training import device
from stabench.systems.training.device import send
from stabench.systems.training.log import read_log
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.workplace import Workplace

CPU, AWAY = torch.device("cpu"), torch.device("meta")
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
CLIPS = 4


class Away(torch.Tensor):
    """A tensor of the second device; `inner` holds its values."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=AWAY,
        )

    def __init__(self, inner):
        self.inner = inner

    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner, *_):
        return Away(inner["inner"])

    def tolist(self):
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return dispatch(function, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """Inside, device "meta" is the second device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return dispatch(function, args, kwargs or {})


def dispatch(function, args, kwargs):
    """Run `function` on the CPU values, and give its results to the device that CUDA would."""
    leaves = tree_flatten((args, kwargs))[0]
    tensors = [each for each in leaves if isinstance(each, torch.Tensor)]
    away = [each for each in tensors if isinstance(each, Away)]
    here = [each for each in tensors if not isinstance(each, Away) and each.dim() > 0]
    if away and here and function not in COPIES:
        raise RuntimeError(f"{function}: tensors of two devices; send the batch to the device")
    wanted = [each for each in leaves if isinstance(each, torch.device)]
    goes_away = AWAY in wanted if wanted else bool(away)
    if function is torch.ops.aten.copy_.default:
        goes_away = isinstance(args[0], Away)
    outer = {id(each.inner): each for each in away}
    if away and torch.Tag.inplace_view in function.tags:
        with no_dispatch():  # the dress must change its shape as what it holds does
            function(*args, **kwargs)
    args, kwargs = tree_map(undressed, (args, kwargs))
    with torch.inference_mode(False), torch.no_grad():  # inference tensors cannot be dressed
        out = function(*args, **kwargs)
        return tree_map(lambda each: dressed(each, outer), out) if goes_away else out


def undressed(each):
    if isinstance(each, torch.device):
        return CPU
    return each.inner if isinstance(each, Away) else each


def dressed(each, outer):
    """A result as the second device shows it: an operand changed in place stays the same object."""
    if not isinstance(each, torch.Tensor):
        return each
    return outer[id(each)] if id(each) in outer else Away(each)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def swap(one, other):
    """`torch.utils.swap_tensors` without its refusal of tensors that weight norm refers to."""
    one.__class__, other.__class__ = other.__class__, one.__class__
    one.__dict__, other.__dict__ = other.__dict__, one.__dict__
    torch._C._swap_tensor_impl(one, other)


@pytest.fixture
def small(monkeypatch):
    """Tiny batches, and what the second device needs of torch."""
    real = torch.tensor  # makes real meta tensors, unseen by modes
    monkeypatch.setattr(
        torch, "tensor", lambda data, device=CPU, **how: real(data, **how).to(device)
    )
    monkeypatch.setattr(torch.utils, "swap_tensors", swap)
    monkeypatch.setattr(codec, "_encode_excerpts", partial(codec._encode_excerpts, batches=21))
    monkeypatch.setattr(codec, "RESOLUTIONS", (128,))
    monkeypatch.setattr(autoencoder, "CROP_FRAMES", 16)
    for module in (autoencoder, bridge, clap, codec, generators, hearing, recogniser, tagger):
        monkeypatch.setattr(module, "BATCH", 2)


def corpus(where: torch.device) -> Corpus:
    """Noise for clips and speech; the labels and marks are true to their kind."""
    rng = np.random.default_rng(0)
    listed = items("train", CLIPS, CAPTIONS)
    offsets = np.cumsum([0, *rng.integers(9_000, 11_000, CLIPS * CAPTIONS)])
    samples = rng.integers(-9_000, 9_000, offsets[-1], dtype=np.int16)
    marks = [
        [(0.1, "word", "a"), (0.1, "phoneme", "@"), (0.3, "word", text.split()[-1])]
        for item in listed
        for text in item.captions
    ]
    audio = torch.from_numpy(rng.integers(-9_000, 9_000, (CLIPS, 64_000), dtype=np.int16))
    labels = torch.from_numpy(multi_hot([item.scene.events for item in listed]))
    return Corpus(audio.to(where), labels.to(where), listed, Utterances(samples, offsets, marks))


def trained(where, folder, names) -> dict[str, torch.Tensor]:
    """Everything that the tasks `names` of a tiny run on device `where` leave on disk."""
    with SecondDevice(), sdpa_kernel(SDPBackend.MATH), pytest.MonkeyPatch.context() as patch:
        # (flash attention rounds otherwise)
        data = corpus(where)
        patch.setattr(plan, "corpus", lambda split, work: data)
        work = Workplace(folder, where, scale=1e-5)
        for task in plan.TASKS:
            if task.name in names:
                task.run(work, folder / "weights")
    return {
        f"{path.relative_to(folder)}/{key}": value
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for key, value in contents(path).items()
    }


def contents(path) -> dict[str, torch.Tensor]:
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True)
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix in {".npy", ".npz"}:
        kept = np.load(path)
        return (
            {"array": torch.from_numpy(kept)}
            if path.suffix == ".npy"
            else {key: torch.from_numpy(kept[key]) for key in kept}
        )
    if path.suffix == ".jsonl":  # seconds are nobody's to repeat
        curves = [(line["loss"], line["rate"], line["gradient_norm"]) for line in read_log(path)]
        return {"curves": torch.tensor(curves, dtype=torch.float64)}
    return {"bytes": torch.tensor(list(path.read_bytes()))}


SYSTEMS = [task.name for task in plan.TASKS if task.name not in plan.JUDGES]


@pytest.mark.filterwarnings("ignore:.*which is a no-op")  # it is one for real meta tensors
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # of WavLM
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(plan.JUDGES, id="judges"),
        pytest.param(SYSTEMS, id="systems", marks=pytest.mark.slow),
    ],
)
def test_every_task_runs_away_from_the_cpu_with_its_numbers(names, tmp_path, small):
    here, away = (trained(where, tmp_path / where.type, names) for where in (CPU, AWAY))
    assert here.keys() == away.keys()
    assert [key for key in here if not torch.equal(here[key], away[key])] == []


def test_a_batch_left_on_the_cpu_is_refused(tmp_path, small, monkeypatch):
    monkeypatch.setattr(tagger, "send", lambda batch, where: torch.from_numpy(batch))
    with pytest.raises(RuntimeError, match="tensors of two devices"):
        trained(AWAY, tmp_path, plan.JUDGES)


class Interrupted(Exception):
    """Stands for a kill."""


def line(where, folder, killed_at=None):
    torch.manual_seed(0)
    network, steps = nn.Linear(3, 1), count(1)

    def loss(rng):
        if next(steps) == killed_at:
            raise Interrupted
        x = send(rng.standard_normal((8, 3)).astype(np.float32), where)
        return (network(x) - x.sum(1, keepdim=True)).square().mean()

    recipe = Recipe(steps=8, rate=0.05, schedule=Trapezoid(3), ema=0.9)
    with SecondDevice():
        fit(Stage("line", network, recipe, Workplace(folder, where)), loss)
    return torch.load(folder / "seed0" / "line.pt", weights_only=True)


@pytest.mark.filterwarnings("ignore:.*which is a no-op")
@pytest.mark.parametrize(("first", "then"), [(CPU, AWAY), (AWAY, CPU)])
def test_a_stage_goes_on_on_another_device(first, then, tmp_path, monkeypatch, small):
    monkeypatch.setattr("stabench.systems.training.loop.SAVE_EVERY_S", -1)
    undisturbed = line(CPU, tmp_path / "one")
    with pytest.raises(Interrupted):
        line(first, tmp_path / "two", killed_at=5)
    resumed = line(then, tmp_path / "two")
    assert torch.equal(resumed["weight"], undisturbed["weight"])


def test_cuda_where_there_is_none_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--device cpu"):
        device.choose("cuda")
    assert device.choose() == CPU


def test_a_scaled_run_leaves_the_shipped_weights_alone(tmp_path):
    options = training._options(["--scale", "0.01", "--work", str(tmp_path)])
    assert options.weights == tmp_path / "weights"
    assert training._options([]).weights == WEIGHTS


def test_a_folder_belongs_to_one_scale(tmp_path):
    folder = tmp_path / "corpus" / "validation"
    folder.mkdir(parents=True)
    (folder / "done").touch()
    (folder / "marks.json").write_text("[]")
    for name in ("speech", "offsets"):
        np.save(folder / f"{name}.npy", np.zeros(1, np.int16))
    np.save(folder / "audio.npy", np.zeros((20, 8), np.int16))
    with pytest.raises(ValueError, match="holds 20 clips, --scale 1 has 400"):
        render("validation", Workplace(tmp_path, CPU))
