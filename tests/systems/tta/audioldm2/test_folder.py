"""A folder that is not a whole AudioLDM 2 is refused in one line that names the file."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stabench.systems.tta.audioldm2.folder import DERIVED, read
from stabench.systems.tta.audioldm2.random import UNET_WIDTHS
from stabench.systems.tta.audioldm2.system import AudioLdm2
from tests.systems.tta import tiny_audioldm2 as tiny

UNET = "unet/diffusion_pytorch_model.safetensors"
VOCODER = "vocoder/model.safetensors"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    """Digests are kept beside the test, not in the user's cache."""
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "hub"
    tiny.build(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "hub"))


def load(folder: Path, **options) -> None:
    AudioLdm2(weights=str(folder), **options).load("cpu", "float32")


def say(folder: Path, part: str, said: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: said}))


@pytest.mark.parametrize(
    "part", ["text_encoder", "language_model", "unet", "vocoder", "tokenizer_2", "scheduler"]
)
def test_missing_subfolder(folder, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(FileNotFoundError, match=rf"/{part}/\S+: no such file; .*weights fetch"):
        load(folder)


def test_missing_folder_and_missing_tensors(folder, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model_index\.json: no such file; give the"):
        load(tmp_path / "nowhere")
    (folder / VOCODER).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{VOCODER}: no such file"):
        load(folder)


@pytest.mark.parametrize("keep", [0.6, 100, 4, 0])
@pytest.mark.parametrize("name", [UNET, VOCODER])
def test_truncated_tensors(folder, name: str, keep: float) -> None:
    content = (folder / name).read_bytes()
    size = int(keep * len(content)) if keep < 1 else int(keep)
    (folder / name).write_bytes(content[:size])
    with pytest.raises(ValueError, match=rf"{name}: truncated, or no safetensors file .*delete it"):
        load(folder)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("_class_name", "AudioLDMPipeline"),
        ("unet", ["diffusers", "UNet2DConditionModel"]),
        ("text_encoder_2", ["transformers", "VitsModel"]),
        ("scheduler", ["diffusers", "PNDMScheduler"]),
        ("vocoder", None),
        ("vae", []),
    ],
)
def test_wrong_class_in_the_index(folder, part: str, said: object) -> None:
    say(folder, part, said)
    with pytest.raises(ValueError, match=rf"model_index\.json: '{part}' is .*, expected \w+"):
        load(folder)


def test_index_that_is_no_json(folder) -> None:
    (folder / "model_index.json").write_text("<html>")
    with pytest.raises(ValueError, match=r"model_index\.json: not JSON .*fetch it again"):
        load(folder)


@pytest.mark.parametrize(("name", "key"), [(UNET, "conv_in.bias"), (VOCODER, "conv_post.bias")])
def test_missing_surplus_and_misshapen_tensors(folder, name: str, key: str) -> None:
    """The libraries only warn of the first two and fill the gap with random numbers."""
    state = load_file(folder / name)
    save_file({k: v for k, v in state.items() if k != key}, folder / name)
    with pytest.raises(ValueError, match=rf"{name}: 1 missing tensors, first '{key}'"):
        load(folder)
    save_file(state | {"stray": state[key].clone()}, folder / name)
    with pytest.raises(ValueError, match=rf"{name}: 1 unexpected tensors, first 'stray'"):
        load(folder)
    save_file(state | {key: state[key].repeat(2)}, folder / name)
    with pytest.raises(ValueError, match=rf"{name}: 1 mismatched tensors, first '{key}'"):
        load(folder)


def test_computed_tables_may_be_left_out_of_the_file(folder) -> None:
    """Older versions of the library did not write them all."""
    path = folder / "text_encoder" / "model.safetensors"
    state = load_file(path)
    kept = {k: v for k, v in state.items() if not k.endswith(DERIVED)}
    assert len(kept) < len(state) - 3
    save_file(kept, path, metadata={"format": "pt"})
    clap = read(folder, torch.float32).text_encoder
    for key, value in state.items():
        assert torch.equal(clap.state_dict()[key], value), key


def test_weights_of_another_size(folder, monkeypatch) -> None:
    monkeypatch.setitem(UNET_WIDTHS, "large", (8, 16))
    with pytest.raises(ValueError, match="size is 'large', asked is 'base'; set size = 'large'"):
        load(folder)
    load(folder, size="large")


def test_vocoder_of_another_rate(folder) -> None:
    path = folder / "vocoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sampling_rate": 48_000}))
    with pytest.raises(ValueError, match="sampling_rate is 48000, expected 16000 Hz"):
        load(folder)


def test_a_folder_may_hold_it_under_the_catalogues_name(whole, tmp_path) -> None:
    (tmp_path / "audioldm2").symlink_to(whole)
    model = AudioLdm2(weights=str(tmp_path), steps=1)
    model.load("cpu", "float32")
    assert len(model.provenance()["weights"]) == 7


def test_published_weights_that_are_not_here_say_how_to_get_them(tmp_path, monkeypatch) -> None:
    for name in ("STABENCH_WEIGHTS", "STABENCH_CACHE", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="stabench weights fetch audioldm2"):
        AudioLdm2().load("cpu", "float32")
