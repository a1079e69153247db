"""A STAR of published parts: a transformers folder as encoder, EzAudio's file as VAE."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stabench.systems.contract import Utterance
from stabench.systems.networks.checkpoint import part_file, save_part
from stabench.systems.networks.config import VaeConfig
from stabench.systems.star.parts import build_parts, digests, load
from stabench.systems.star.published_encoder import encoder_config
from stabench.systems.star.star import Star
from tests.systems.star.tiny_encoders import MODEL, MODELS, write
from tests.systems.tta import tiny_ezaudio


@pytest.fixture(scope="module")
def vae_folder(tmp_path_factory):
    return tiny_ezaudio.write(tmp_path_factory.mktemp("ezaudio")) / "ezaudio-vae"


@pytest.fixture(scope="module", params=MODELS)
def encoder_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write(request.param, folder)
    return folder


@pytest.fixture
def published(encoder_folder, vae_folder, small_config, tmp_path):
    """A system with a published encoder and VAE, and the table of its weights."""
    encoder = encoder_config(encoder_folder)
    config = dataclasses.replace(
        small_config,
        encoder=encoder,
        bridge=dataclasses.replace(small_config.bridge, encoder_width=encoder.width),
        udit=dataclasses.replace(small_config.udit, in_channels=128),
        vae=VaeConfig(base=4),
        latent_frames=10,
    )
    parts = build_parts(config, 7)
    table = {"speech_encoder": encoder_folder, "vae": vae_folder}
    for name in ("bridge", "udit"):
        save_part(part_file(tmp_path, name), getattr(parts, name))
        table[name] = part_file(tmp_path, name)
    return config, {name: str(path) for name, path in table.items()}


def test_a_star_runs_on_published_parts(published, encoder_folder, vae_folder, spans):
    config, table = published
    star = Star(config, table, steps=2)
    star.load("cpu", "float32")
    samples = 0.1 * np.random.default_rng(0).standard_normal(3200).astype(np.float32)
    tokens = star.represent(Utterance("clip", samples, 16_000), spans)
    (sound,) = star.generate([tokens], [3], spans)
    assert sound.rate_hz == 24_000
    assert sound.samples.shape == (10 * 480,)
    assert sound.samples.std() > 1e-4
    table["speech_encoder"] += f"/{MODEL}"
    by_file = load(config, "speech_encoder", table, 0, "cpu", torch.float32)
    for name, value in by_file.state_dict().items():
        assert torch.equal(star.parts.speech_encoder.state_dict()[name], value), name
    file = vae_folder / "ckpts" / "vae" / "1m.pt"
    assert star.provenance()["weights"] == digests(table | {"vae": file})


def test_published_parts_go_by_their_names_in_the_catalogue(
    published, encoder_folder, vae_folder, tmp_path, monkeypatch
):
    config, table = published
    name = {"hubert": "hubert-large-ll60k", "wavlm": "wavlm-large", "dac": "dac-24khz"}
    name = name[config.encoder.kind]
    named = table | {"speech_encoder": name, "vae": "ezaudio-vae"}
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path / "home"))
    with pytest.raises(FileNotFoundError, match=f"'{name}'"):
        Star(config, named).load("cpu", "float32")
    home = tmp_path / "home" / name
    shutil.copytree(encoder_folder, home)
    if config.encoder.kind == "wavlm":
        # Its published digest is known, so that what is not that file is refused.
        torch.save(load_file(home / MODEL), home / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"wavlm-large.*sha256"):
            Star(config, named).load("cpu", "float32")
        return
    shutil.copytree(vae_folder, tmp_path / "home" / "ezaudio-vae")
    star = Star(config, named)
    star.load("cpu", "float32")
    assert star.provenance()["weights"] == digests(table)


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("speech_encoder", "nowhere"),
        ("vae", "nowhere.pt"),
        ("udit", "nowhere.pt"),
        ("udit", "nowhere.safetensors"),
    ],
)
def test_a_part_that_is_nowhere_is_named(published, part, file):
    config, table = published
    with pytest.raises(FileNotFoundError, match=f"^{file}: no such weights; fetch or train"):
        Star(config, table | {part: file}).load("cpu", "float32")


def test_a_part_in_place_of_another_is_refused(published):
    config, table = published
    with pytest.raises(ValueError, match=r"1m\.pt: its tensors do not fit UDiT: missing"):
        Star(config, table | {"udit": table["vae"] + "/ckpts/vae/1m.pt"}).load("cpu", "float32")
    with pytest.raises(ValueError, match=r"udit\.safetensors: its tensors do not fit Waveform"):
        Star(config, table | {"vae": table["udit"]}).load("cpu", "float32")


def test_ezaudios_dit_is_no_star(published, vae_folder):
    config, table = published
    path = vae_folder.parent / "ezaudio-l" / "ezaudio_s3_l.pt"
    star = Star(config, table | {"udit": path})
    with pytest.raises(ValueError, match=r"s3_l\.pt: EzAudio's DiT, which predicts v .*; give a"):
        star.load("cpu", "float32")
