"""Whisper's files: found by name, read without a pickle, and refused in one line when not whole."""

import hashlib

import pytest

pytest.importorskip("whisper", reason="openai-whisper is not installed")

import torch

from stabench.systems.asr import whisper_checkpoint, whisper_sizes
from stabench.systems.asr.whisper_checkpoint import hollow, load
from stabench.systems.asr.whisper_sizes import SIZES, dimensions, full_name
from tests.systems.asr import tiny_whisper
from tests.systems.asr.tiny_whisper import TINY

MILLIONS = {
    "tiny": 37.2,
    "base": 71.8,
    "small": 240.6,
    "medium": 762.3,
    "large-v3": 1541.6,
    "large-v3-turbo": 807.0,
}
"""Parameters counted when the full-size networks of openai-whisper were built elsewhere."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_whisper.write(tmp_path_factory.mktemp("whisper") / "base.pt")


@pytest.mark.parametrize(("name", "millions"), MILLIONS.items())
def test_sizes_have_as_many_parameters_as_they_should(name, millions):
    network = hollow(SIZES[name])
    count = sum(value.numel() for value in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05)
    assert {value.device.type for value in network.parameters()} == {"meta"}


def test_sizes_and_their_names():
    assert full_name("turbo") == "large-v3-turbo"
    assert full_name("large") == "large-v3"
    from whisper import available_models

    assert {full_name(name) for name in available_models()} == set(SIZES)
    assert [SIZES[name].languages for name in ("tiny.en", "tiny", "large-v3")] == [99, 99, 100]
    assert not SIZES["tiny.en"].multilingual
    assert (SIZES["base"].samples, SIZES["base"].longest) == (480_000, 224)


def test_every_tensor_is_that_of_the_file(base):
    loaded = load("base", base, "cpu")
    state = tiny_whisper.checkpoint()["model_state_dict"]
    assert loaded.dims == TINY
    assert loaded.source == {"base.pt": hashlib.sha256(base.read_bytes()).hexdigest()}
    for name, value in loaded.network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name].float())
    mask = loaded.network.decoder.mask
    assert torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1))


@pytest.mark.parametrize("where", ["base.pt", "whisper-base/base.pt"])
def test_a_folder_is_searched_for_the_name(base, tmp_path, where):
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).symlink_to(base)
    assert load("base", tmp_path, "cpu").dims == TINY


def test_published_files_are_found_verified_and_held_to_their_size(monkeypatch, tmp_path):
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="stabench weights fetch whisper-base"):
        load("base", "published", "cpu")
    file = tiny_whisper.write(tmp_path / "base.pt")
    with pytest.raises(ValueError, match=r"base\.pt has sha256 .*, published is ed3a0b6b"):
        load("base", "published", "cpu")
    monkeypatch.setattr("stabench.checkpoints.store.verify", lambda path, entry: {"base.pt": "sum"})
    with pytest.raises(ValueError, match=r"base\.pt: dims are .*, published are .*512"):
        load("base", "published", "cpu")
    monkeypatch.setitem(whisper_sizes.SIZES, "base", TINY)
    assert load("base", "published", "cpu").source == {file.name: "sum"}


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*base\.pt or .*whisper-base/base\.pt"):
        load("base", tmp_path, "cpu")
    with pytest.raises(FileNotFoundError, match=r"Whisper base: no file .*nowhere\.pt; put"):
        load("base", tmp_path / "nowhere.pt", "cpu")


def test_a_truncated_file_is_named(base, tmp_path):
    short = tmp_path / "base.pt"
    short.write_bytes(base.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"base\.pt is truncated"):
        load("base", short, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_vocab": 100}, r"n_vocab is 100, allowed are 51864, 51865, 51866"),
        ({"n_mels": 64}, r"n_mels is 64, allowed are 80, 128"),
        ({"n_text_state": 16}, r"n_audio_state is 32 and n_text_state 16, they must be equal"),
        ({"n_audio_head": 5}, r"a width of 32 is no even multiple of its 5 heads"),
        ({"n_text_layer": 0}, r"allowed are whole numbers above 0"),
        ({"n_text_layer": 3}, r"its tensors do not fit Whisper .*missing decoder\.blocks\.2"),
        ({"n_audio_ctx": 750}, r".*encoder\.positional_embedding is \(1500, 32\) instead of \(750"),
        ({"n_text_layer": 1}, r".*left over decoder\.blocks\.1"),
        ({"width": 16}, r"dims is \['n_audio_ctx'.*expected are n_mels, n_audio_ctx"),
    ],
)
def test_wrong_dims_are_one_line(tmp_path, change, message):
    content = tiny_whisper.checkpoint()
    content["dims"] |= change
    torch.save(content, tmp_path / "base.pt")
    with pytest.raises(ValueError, match=rf"base\.pt: {message}|{message}") as caught:
        load("base", tmp_path, "cpu")
    assert "base.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_contents_are_refused(tmp_path):
    torch.save({"model": {}}, tmp_path / "base.pt")
    with pytest.raises(ValueError, match=r"base\.pt holds model; expected are dims and model_st"):
        load("base", tmp_path, "cpu")
    with pytest.raises(ValueError, match=r"where: dims is list, expected are n_mels"):
        dimensions("where", [1, 2])


def test_random_weights_need_no_file_and_nothing_is_left_empty():
    drawn = whisper_checkpoint.draw(hollow(TINY), seed=0)
    assert drawn.keys() == hollow(TINY).state_dict().keys()
    for name, value in drawn.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, value.half().float())
        assert name.endswith("bias") or value.abs().max() > 0
