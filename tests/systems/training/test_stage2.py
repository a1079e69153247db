"""Stage 2: its recipe, what it trains, how it is validated, and that a kill loses nothing."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import nn

from stabench.systems.contract import Utterance
from stabench.systems.networks.checkpoint import save_part
from stabench.systems.networks.config import SamplerConfig, VaeConfig
from stabench.systems.networks.ezaudio_weights import read_udit
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import build_vae
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.config import BridgeConfig
from stabench.systems.star.flow_matching import FlowDraw
from stabench.systems.star.parts import build_parts
from stabench.systems.star.star import Star
from stabench.systems.training.data import TensorFrames
from stabench.systems.training.log import read_log
from stabench.systems.training.loop import Records
from stabench.systems.training.schedules import Constant, Trapezoid
from stabench.systems.training.stage2 import (
    Stage2Config,
    draw_pass,
    read_states,
    start_udit,
    write_star,
)
from stabench.systems.training.stage2_network import Stage2Network
from stabench.systems.training.stage2_validation import Renderer, Stage2Validation
from tests.systems.training.tiny_stage2 import CONFIG, SAVING, UDIT, new_network, random_data, train
from tests.systems.tta import tiny_ezaudio

SCRIPT = [sys.executable, "-m", "tests.systems.training.tiny_stage2"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def losses(folder):
    lines = read_log(folder / "seed0" / "tiny.log.jsonl")
    return np.array([line["loss"] for line in lines if "loss" in line])


def test_the_default_recipe_is_that_of_the_authors_code():
    recipe = Stage2Config().recipe(sounds=49_838)
    assert recipe.steps == -(-100 * 49_838 // 16)
    assert (recipe.rate, recipe.schedule, recipe.clip) == (2.5e-5, Constant(1000), 1.0)
    assert (recipe.weight_decay, recipe.betas, recipe.ema) == (0.01, (0.9, 0.999), None)
    assert Stage2Config(paper_rate=True).recipe(16).rate == pytest.approx(3.2e-4)
    assert Stage2Config(decay=0.6, steps=9).recipe(16).schedule == Trapezoid(1000, 0.6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"t_sampling": "uniforn"}, "stage2.t_sampling is 'uniforn', allowed are logit-normal"),
        ({"batch": 0}, "stage2.batch is 0, allowed is more than 0"),
        ({"drop": 1.0}, "stage2.drop is 1.0, allowed are 0 to under 1"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Stage2Config(**values)


def test_every_sound_comes_once_an_epoch_in_an_order_of_its_own():
    numbers = np.concatenate([draw_pass(10, 4, seed=3, step=step) for step in range(5)])
    assert Counter(numbers[:10]) == Counter(numbers[10:]) == Counter(range(10))
    assert numbers[:10].tolist() != numbers[10:].tolist()
    again = np.concatenate([draw_pass(10, 5, seed=3, step=step) for step in range(4)])
    assert again.tolist() == numbers.tolist()
    assert draw_pass(3, 8, seed=0, step=0).shape == (8,)


@pytest.mark.parametrize("train_projection", [True, False])
def test_frozen_parts_stay_and_the_others_learn(train_projection, tmp_path):
    config = dataclasses.replace(
        CONFIG, steps=6, ema=None, frozen=".mlp.", train_projection=train_projection
    )
    before, after = new_network().state_dict(), train(tmp_path, config=config).state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert not any(".mlp." in key for key in changed if key.startswith("udit."))
    assert ("projection.weight" in changed) == train_projection
    assert {"udit.patch_embed.proj.weight", "udit.mid_block.attn.to_q.weight"} <= changed


@pytest.mark.slow
def test_the_loss_falls(tmp_path):
    train(tmp_path, config=dataclasses.replace(CONFIG, steps=150))
    curve = losses(tmp_path)
    assert len(curve) == 150
    assert curve[-30:].mean() < 0.6 * curve[:10].mean()


@pytest.mark.slow
def test_training_killed_at_a_random_step_goes_on_to_the_same_weights(tmp_path):
    step = random.randint(3, 30)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*SCRIPT, tmp_path / "two"], cwd=ROOT, env=environment) as process:
        log = tmp_path / "two" / "seed0" / "tiny.log.jsonl"
        while process.poll() is None and (not log.exists() or len(read_log(log)) < step):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    killed = len(losses(tmp_path / "two"))
    resumed, undisturbed = (train(tmp_path / name, records=SAVING) for name in ("two", "one"))
    assert len(losses(tmp_path / "two")) == CONFIG.steps, f"killed after {killed} steps"
    assert losses(tmp_path / "two").tolist() == losses(tmp_path / "one").tolist()
    state, expected = resumed.state_dict(), undisturbed.state_dict()
    assert [key for key in state if not torch.equal(state[key], expected[key])] == []


class Interrupted(Exception):
    """Stands for a kill."""


def test_a_state_of_another_recipe_is_refused(tmp_path, monkeypatch):

    def fail(*_):
        raise Interrupted

    validation = Stage2Validation(random_data(4), every=3)
    monkeypatch.setattr(Stage2Validation, "compute_loss", fail)
    with pytest.raises(Interrupted):
        train(tmp_path, validation=validation, records=Records(save_every=1))
    other = dataclasses.replace(CONFIG, drop=0.5)
    with pytest.raises(ValueError, match=r"stage2\.drop is 0\.2, here 0\.5.*begin anew"):
        train(tmp_path, config=other, validation=validation)


VAE = VaeConfig(
    sample_rate_hz=16_000,
    latent_channels=UDIT.in_channels,
    ratios=(2, 4),
    multiples=(1, 2),
    base=4,
)


def test_validation_renders_sounds_and_logs_what_they_score(tmp_path):
    torch.manual_seed(0)
    vae, scored = build_vae(VAE).eval(), []

    def score(folder):
        sounds = {path.name: soundfile.read(path) for path in sorted(folder.iterdir())}
        assert {name: len(samples) for name, (samples, _) in sounds.items()} == {
            f"{name}.wav": 8 * 12 for name in ("a", "b", "c")
        }
        assert {rate for _, rate in sounds.values()} == {16_000}
        scored.append((folder, sounds["a.wav"][0]))
        return {"fad": 10.0 - len(scored), "clap": float("nan")}

    renderer = Renderer(vae, SamplerConfig(steps=2), 12, ("a", "b", "c"), score)
    config = dataclasses.replace(CONFIG, steps=8)
    validation = Stage2Validation(random_data(6), every=4, clips=5, renderer=renderer)
    train(tmp_path, config=config, validation=validation)
    folders = [tmp_path / "seed0" / "samples" / "tiny" / f"step-00000{step}" for step in (4, 8)]
    assert [folder for folder, _ in scored] == folders
    assert not np.array_equal(scored[0][1], scored[1][1])
    lines = read_log(tmp_path / "seed0" / "tiny.log.jsonl")
    assert [line for line in lines if "fad" in line] == [
        {"step": 4, "fad": 9.0, "clap": None},
        {"step": 8, "fad": 8.0, "clap": None},
    ]
    plain = train(tmp_path / "plain", config=config, validation=Stage2Validation(random_data(6), 8))
    assert torch.equal(plain.projection.weight, train(tmp_path, config=config).projection.weight)


def test_the_validation_loss_is_a_mean_over_sounds_that_does_not_move_by_chance():
    network = new_network().eval()
    validation = Stage2Validation(random_data(7), clips=5)
    with torch.no_grad():
        first, again = (validation.compute_loss(network, batch=4) for _ in range(2))
        each = [validation.compute_loss(network, batch) for batch in (5, 4)]
    assert first == again
    # Another batch size draws other noise, so they agree only as two draws of a mean do.
    assert each[0] == pytest.approx(each[1], rel=0.3)


def test_sounds_that_cannot_be_rendered_are_refused(tmp_path):
    vae = build_vae(VAE)
    with pytest.raises(ValueError, match="sound 'a/b' cannot be the name of a file"):
        Renderer(vae, SamplerConfig(), 12, ("a/b",))
    renderer = Renderer(vae, SamplerConfig(), 12, ("a", "b"))
    with pytest.raises(ValueError, match=r"2 sounds are to be rendered.*has 1; name fewer"):
        train(tmp_path, validation=Stage2Validation(random_data(1), 2, renderer=renderer))


def test_kept_states_give_what_the_whole_bridge_gives():
    config = BridgeConfig(
        layers=2, queries=3, width=8, heads=2, ffn=16, encoder_width=6, output_width=10
    )
    torch.manual_seed(0)
    bridge = Bridge(config).eval()
    frames = TensorFrames(torch.randn(9, 6), np.array([0, 4, 9]))
    kept = read_states(bridge, frames)
    states, mask = kept.batch(np.array([1, 0]))
    assert mask.all()
    with torch.no_grad():
        whole = bridge(*frames.batch(np.array([1, 0])))
        # Kept in float16, whose step is 1e-3 of a value.
        torch.testing.assert_close(bridge.projection(states), whole, atol=5e-3, rtol=0)


def test_without_a_bridge_padding_changes_no_loss():
    torch.manual_seed(0)
    udit = UDiT(dataclasses.replace(UDIT, context_width=6))
    for block in udit.blocks:
        nn.init.normal_(block.cross_attn.proj.weight, std=0.2)
    network, frames = Stage2Network(udit, None), torch.randn(1, 5, 6)
    latents, draw = torch.randn(1, 4, 12), FlowDraw(*torch.rand(3, 1).unbind(0))
    draw = draw._replace(noise=torch.randn_like(latents))
    with torch.no_grad():
        short, padded, longer = (
            network.loss(latents, None, frames[:, :size], mask, draw).item()
            for size, mask in (
                (2, torch.ones(1, 2, dtype=torch.bool)),
                (5, torch.arange(5)[None] < 2),
                (5, torch.ones(1, 5, dtype=torch.bool)),
            )
        )
    assert padded == pytest.approx(short, rel=1e-6)
    assert longer != pytest.approx(short, rel=1e-4)


@pytest.mark.parametrize("start", ["random", "file"])
def test_training_starts_from_a_file_or_at_random(start, tmp_path):
    torch.manual_seed(7)
    expected = UDiT(UDIT)
    if start == "file":
        start = tmp_path / "udit.safetensors"
        save_part(start, expected)
    udit = start_udit(UDIT, start, seed=7)
    state = udit.state_dict()
    assert all(torch.equal(state[key], value) for key, value in expected.state_dict().items())


def test_a_start_of_another_shape_is_refused(tmp_path):
    save_part(tmp_path / "udit.safetensors", UDiT(UDIT))
    with pytest.raises(ValueError, match=r"udit\.safetensors: its tensors do not fit UDiT"):
        start_udit(dataclasses.replace(UDIT, width=32), tmp_path / "udit.safetensors", seed=0)


def test_ezaudios_transformer_is_a_start_once_folded(tmp_path):
    path = tiny_ezaudio.write(tmp_path) / "ezaudio-l" / "ezaudio_s3_l.pt"
    folded = read_udit(path)
    udit = start_udit(folded.config, path, seed=0)
    state = udit.state_dict()
    assert all(torch.equal(state[key], value) for key, value in folded.state_dict().items())
    with pytest.raises(ValueError, match=r"ezaudio_s3_l\.pt: EzAudio's DiT is a .*make them equal"):
        start_udit(UDIT, path, seed=0)


@pytest.mark.parametrize("with_bridge", [True, False])
def test_what_is_trained_is_a_system_that_loads_by_itself(
    with_bridge, tmp_path, small_config, spans
):
    config = small_config
    if not with_bridge:
        config = dataclasses.replace(config, bridge=None)
    parts, frozen = build_parts(config, seed=3), tmp_path / "frozen"
    for name in ("speech_encoder", "vae"):
        save_part(frozen / f"{name}.safetensors", getattr(parts, name))
    network = Stage2Network(parts.udit, parts.bridge.projection if parts.bridge else None)
    write_star(tmp_path / "star", config, frozen, network, parts.bridge, "float32")
    star, plain = Star(weights=tmp_path / "star"), Star(config, "random", seed=3)
    speech = Utterance("a", np.sin(np.arange(8000) / 9).astype(np.float32), 16_000)
    sounds = []
    for system in (star, plain):
        system.load("cpu", "float32")
        sounds += system.generate([system.represent(speech, spans)], [1], spans)
    assert star.config == config
    np.testing.assert_allclose(sounds[0].samples, sounds[1].samples, atol=1e-6)
    write_star(tmp_path / "half", config, frozen, network, parts.bridge)
    stored = load_file(tmp_path / "half" / "udit.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
