"""`stabench train` as it is typed: from a tiny AudioCaps to a STAR that hears and sounds."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stabench.harness.cli import main
from stabench.systems.contract import Utterance
from stabench.systems.star.star import Star
from stabench.systems.training.log import read_log
from tests.harness.prepare import tiny_audiocaps as tiny

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
STAGES = """
[stage1]
epochs = 3
batch = 4
patience = 2
qformer = {{ queries = 4, width = 16, heads = 2, ffn = 32, layers = 1, output_width = 32 }}

[stage2]
start = "{start}"
dtype = "float32"
latent_frames = 50

[stage2.training]
steps = 4
batch = 2
warmup = 1

[stage2.validation]
every = 2
samples = 3

[stage2.sampler]
steps = 2

[stage2.udit]
width = 32
heads = 2
depth = 4
lora_rank = 4
lora_alpha = 4
context_width = 32
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny networks, a tiny AudioCaps, its recipe, and what was prepared of it."""
    folder = tmp_path_factory.mktemp("training")
    networks = tiny.write_networks(folder / "networks")
    audiocaps = tiny.write_audiocaps(folder / "audiocaps")
    recipe = tiny.write_recipe(audiocaps, networks)
    text = recipe.read_text().partition("[stage1]")[0]
    text = text.replace("[data.labels]", f'validation = "{audiocaps}/train.csv"\n[data.labels]')
    recipe.write_text(text + STAGES.format(start=networks / "ezaudio-l"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABENCH_CACHE", str(folder / "cache"))
        assert type_words(patch, "prepare", recipe, "--out", folder / "data") == 0
    return folder


def type_words(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run `stabench` in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["stabench", *map(str, words)])
    return main.main()


def train(monkeypatch: pytest.MonkeyPatch, place: Path, out: Path, *words: object) -> int:
    recipe = place / "audiocaps" / "recipe.toml"
    options = ("--data", place / "data", "--out", out, "--device", "cpu")
    return type_words(monkeypatch, "train", recipe, *options, *words)


def test_both_stages_make_a_star_that_loads_by_itself(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "out"
    assert train(monkeypatch, place, out) == 0
    printed = capsys.readouterr().out
    assert "stage 1: mAP" in printed
    assert printed.splitlines()[-1] == f"trained: {out / 'star'}"
    # In a folder of their own no weights but those of the file are read.
    shutil.move(out / "star", tmp_path / "moved")
    star = Star(weights=tmp_path / "moved", steps=2)
    star.load("cpu", "float32")
    speech = np.random.default_rng(0).standard_normal(8_000).astype(np.float32) * 0.1
    heard = star.represent(Utterance("a", speech, 16_000), lambda _: nullcontext())
    (sound,) = star.generate([heard], [0], lambda _: nullcontext())
    assert sound.samples.shape == (50 * 480,)
    assert np.isfinite(sound.samples).all()
    assert sound.samples.std() > 0


@pytest.mark.slow
def test_a_training_starts_from_ezaudio_and_moves_the_projection_and_the_generator(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stabench.systems.networks.ezaudio_weights import read_udit, udit_file

    out = tmp_path / "out"
    assert train(monkeypatch, place, out) == 0
    trained = torch.load(out / "seed0" / "generator.pt", weights_only=True)
    bridge = torch.load(out / "seed0" / "bridge.pt", weights_only=True)
    start = read_udit(udit_file(place / "networks" / "ezaudio-l")).state_dict()
    moved = max(float((trained[f"udit.{name}"] - each).abs().max()) for name, each in start.items())
    # Four steps of AdamW at the warm rate of 2.5e-5 move no number by more than 1e-4 or so.
    assert 0 < moved < 2e-4
    weight = trained["projection.weight"] - bridge["0.projection.weight"]
    assert 0 < float(weight.abs().max()) < 2e-4


@pytest.mark.slow
def test_what_is_finished_is_kept_and_stage_2_needs_stage_1(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "out"
    assert train(monkeypatch, place, out, "--stage", 2) == 3
    assert "stage 1 is not finished; train it first: --stage 1" in capsys.readouterr().err
    assert train(monkeypatch, place, out, "--stage", 1) == 0
    bridge = (out / "seed0" / "bridge.pt").read_bytes()
    assert train(monkeypatch, place, out, "--stage", 2) == 0
    assert (out / "seed0" / "bridge.pt").read_bytes() == bridge
    generator = (out / "seed0" / "generator.pt").read_bytes()
    assert train(monkeypatch, place, out) == 0
    assert (out / "seed0" / "generator.pt").read_bytes() == generator


@pytest.mark.slow
def test_rendered_sounds_are_scored_and_their_curve_drawn(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "out"
    assert train(monkeypatch, place, out, "--score", "pocket") == 0
    lines = read_log(out / "seed0" / "generator.log.jsonl")
    scored = {line["step"]: line for line in lines if "fad" in line}
    assert set(scored) == {2, 4}
    assert all(line["fad"] > 0 and -1 <= line["clap"] <= 1 for line in scored.values())
    assert (out / "curves.svg").read_text().lstrip().startswith("<?xml")
    rendered = sorted(path.name for path in (out / "seed0").rglob("step-000004/*.wav"))
    assert len(rendered) == 3


def launch(place: Path, out: Path, recipe: Path) -> list[tuple[int, str, str]]:
    """Train stage 2 in two processes, as accelerate launches them; exit code and prints of each."""
    words = ["train", recipe, "--data", place / "data", "--out", out, "--device", "cpu"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "stabench", *map(str, words), "--stage", "2"],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate() for process in processes]
    return [(p.returncode, *texts) for p, texts in zip(processes, printed, strict=True)]


@pytest.mark.slow
def test_two_processes_train_one_generator_and_only_one_of_them_writes(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    recipe = place / "audiocaps" / "recipe.toml"
    assert train(monkeypatch, place, alone) == 0
    assert train(monkeypatch, place, together, "--stage", 1) == 0
    # Processes that do not know of each other would train on this batch, each by itself.
    odd = tmp_path / "odd.toml"
    odd.write_text(recipe.read_text().replace("steps = 4\nbatch = 2", "steps = 4\nbatch = 3"))
    for code, _, errors in launch(place, together, odd):
        assert code == 2
        assert "a batch of 3 cannot be shared by 2 processes" in errors
    results = launch(place, together, recipe)
    assert [code for code, _, _ in results] == [0, 0], results
    assert [f"trained: {together / 'star'}" in out for _, out, _ in results] == [True, False]
    one, two = (
        [line["validation"] for line in read_log(log) if "validation" in line]
        for log in (out / "seed0" / "generator.log.jsonl" for out in (alone, together))
    )
    assert one == pytest.approx(two, abs=1e-5)


def test_several_processes_are_for_stage_2(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert train(monkeypatch, place, tmp_path / "out") == 2
    assert "2 processes: one trains stage 1; add --stage 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs no GPU")
@pytest.mark.parametrize("more", [(), ("--stage", "2", "--precision", "bfloat16")])
def test_a_gpu_that_is_not_there_is_not_replaced_by_the_cpu(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    recipe = place / "audiocaps" / "recipe.toml"
    words = ("--data", place / "data", "--out", tmp_path / "out", "--device", "cuda")
    assert type_words(monkeypatch, "train", recipe, *words, *more) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("epochs = 3", "epoch = 3", "stage1: unknown key 'epoch'; did you mean 'epochs'"),
        ("steps = 4", "step = 4", "did you mean 'steps'"),
        ('dtype = "float32"', 'dtype = "half"', "stage2"),
        ("heads = 2\ndepth", "heads = 4\ndepth", "EzAudio's DiT is a"),
        ("samples = 3", "samples = 0", "set stage2.validation.samples"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_one_line(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    old: str,
    new: str,
    line: str,
) -> None:
    shutil.copytree(place / "audiocaps", tmp_path / "copy")
    recipe = tmp_path / "copy" / "recipe.toml"
    text = recipe.read_text()
    assert text.count(old) == 1
    recipe.write_text(text.replace(old, new))
    words = ("--data", place / "data", "--out", tmp_path / "out", "--device", "cpu")
    assert type_words(monkeypatch, "train", recipe, *words, "--score", "pocket") == 2
    (error,) = capsys.readouterr().err.splitlines()[-1:]
    assert line in error


@pytest.mark.slow
def test_another_recipe_than_the_prepared_one_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    record = json.loads((place / "data" / "prepared.json").read_text())
    assert set(record["splits"]) == {"train", "validation"}
    recipe = place / "audiocaps" / "recipe.toml"
    other = tmp_path / "other.toml"
    other.write_text(recipe.read_text().replace("[data]", "[data]\nvoice_seed = 5", 1))
    words = ("--data", place / "data", "--out", tmp_path / "out", "--device", "cpu")
    assert type_words(monkeypatch, "train", other, *words) == 2
    assert "voice_seed" in capsys.readouterr().err
