"""Speech encoders from transformers folders: the library's own frames, and nothing misread.

Folders are what `save_pretrained` writes of tiny seeded models with the structure of HuBERT-Large,
WavLM-Large and DAC at 24 kHz.
"""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    DacModel,
    HubertConfig,
    HubertForCTC,
    HubertModel,
    WavLMModel,
)

from stabench.checkpoints.random_weights import allocate, hollow
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.published_encoder import encoder_config, fill_encoder
from stabench.systems.star.speech_encoder import build_speech_encoder
from tests.systems.star.tiny_encoders import LARGE, MODEL, MODELS, write

OLD = {"original0": "weight_g", "original1": "weight_v"}
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """A model of the library and the folder that it wrote."""
    folder = tmp_path_factory.mktemp(request.param)
    return write(request.param, folder), folder


def read(folder, **changes):
    config = dataclasses.replace(encoder_config(folder), **changes)
    encoder = allocate(hollow(lambda: build_speech_encoder(config)))
    fill_encoder(encoder, folder)
    return encoder.eval()


def of_the_library(model, speech):
    """Frames [B, T, width] as transformers computes them."""
    if isinstance(model, DacModel):
        return model.encode(speech[:, None]).quantized_representation.transpose(1, 2)
    if isinstance(model, WavLMModel):
        # WavLM's own code normalises its input; in transformers the feature extractor does.
        speech = torch.nn.functional.layer_norm(speech, speech.shape[-1:])
    return model(speech).last_hidden_state


@torch.inference_mode()
@pytest.mark.parametrize("fused", [False, True])
def test_frames_are_those_of_transformers(saved, fused):
    model, folder = saved
    codec = {"speech_rate_hz": 24_000} if isinstance(model, DacModel) else {}
    encoder = read(folder, **codec)
    encoder = encoder.fuse() if fused else encoder
    # Whole frames of the codec: what is beyond them each pads in its own way.
    speech = 0.1 * torch.randn(2, 9600)
    frames, expected = encoder(speech).frames, of_the_library(model, speech)
    assert frames.shape == expected.shape
    assert expected.std() > 0.01
    torch.testing.assert_close(frames, expected, atol=2e-5, rtol=1e-4)
    # The folder's weights, and not the ones that a new model happens to have.
    changed = type(model)(model.config).eval()
    assert (of_the_library(changed, speech) - expected).abs().max() > 0.01


@torch.inference_mode()
def test_the_waveform_is_normalised_only_when_asked(tmp_path):
    model = MODELS["hubert"]().eval()
    model.save_pretrained(tmp_path)
    speech = 0.1 * torch.randn(1, 8000) + 0.05
    normalised = torch.nn.functional.layer_norm(speech, speech.shape[-1:])
    for asked, heard in ((False, speech), (True, normalised)):
        frames = read(tmp_path, normalize_waveform=asked)(speech).frames
        torch.testing.assert_close(frames, model(heard).last_hidden_state, atol=2e-5, rtol=1e-4)


def rewritten(folder, target, change, name=MODEL):
    """A copy of a folder whose tensors went through `change`."""
    tensors = change(load_file(folder / MODEL))
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    if name.endswith(".bin"):
        torch.save(tensors, target / name)
    else:
        save_file(tensors, target / name)
    return target


def old_names(tensors):
    """As published in 2021: weight norm under its old names."""
    return {
        name.replace("parametrizations.weight.", "").replace(last, OLD.get(last, last)): value
        for name, value in tensors.items()
        for last in (name.rpartition(".")[2],)
    }


@torch.inference_mode()
@pytest.mark.parametrize("name", [MODEL, "pytorch_model.bin"])
def test_both_files_and_both_forms_of_weight_norm_are_read(saved, tmp_path, name):
    model, folder = saved
    other = rewritten(folder, tmp_path, old_names, name)
    speech = 0.1 * torch.randn(1, 6400)
    assert torch.equal(read(other)(speech).frames, read(folder)(speech).frames)
    old = any(key.endswith("conv.weight_g") for key in old_names(load_file(folder / MODEL)))
    assert old != isinstance(model, DacModel)


@torch.inference_mode()
def test_a_fine_tuned_model_gives_its_encoder(tmp_path):
    model = HubertForCTC(HubertConfig(**LARGE, conv_bias=True, vocab_size=8)).eval()
    model.save_pretrained(tmp_path)
    assert any(name.startswith("lm_head.") for name in load_file(tmp_path / MODEL))
    speech = 0.1 * torch.randn(1, 6400)
    expected = model.hubert(speech).last_hidden_state
    torch.testing.assert_close(read(tmp_path)(speech).frames, expected, atol=2e-5, rtol=1e-4)


def test_what_only_training_reads_may_be_missing(tmp_path):
    config = HubertConfig(**LARGE, conv_bias=True, mask_time_prob=0.0)
    HubertModel(config).save_pretrained(tmp_path)
    assert "masked_spec_embed" not in load_file(tmp_path / MODEL)
    assert not read(tmp_path).model.masked_spec_embed.any()


def test_sizes_are_those_of_the_folder(saved):
    model, folder = saved
    config = encoder_config(folder)
    if isinstance(model, DacModel):
        assert (config.kind, config.width, config.codec_base) == ("dac", 64, 4)
        assert (config.codec_books, config.codec_rate_hz) == (5, 24_000)
        assert config.codec_strides == (2, 4, 5, 8)
    else:
        assert (config.width, config.layers, config.heads, config.ffn) == (32, 3, 4, 48)
        assert (config.position_kernel, config.position_groups) == (16, 4)
    assert not config.normalize_waveform


PUBLISHED = {
    "hubert": {**LARGE, "conv_bias": True},
    "wavlm": LARGE,
    "dac": {"encoder_hidden_size": 64, "n_codebooks": 32, "downsampling_ratios": [2, 4, 5, 8]},
}
FULL_SIZE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}


def write_published_config(kind, folder):
    table = {"model_type": kind, **PUBLISHED[kind]}
    table |= {"sampling_rate": 24_000} if kind == "dac" else FULL_SIZE
    (folder / "config.json").write_text(json.dumps(table))


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_settings_are_the_defaults_of_a_star(kind, tmp_path):
    write_published_config(kind, tmp_path)
    config = encoder_config(tmp_path)
    # A codec has no heads: whatever a configuration says of them is the same codec.
    assert dataclasses.replace(config, heads=16) == SpeechEncoderConfig(kind)


def test_the_advice_comes_soon_for_a_base_model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "hubert"}')
    with torch.device("meta"):
        large = build_speech_encoder(SpeechEncoderConfig("hubert"))
    message = r"hidden_size is 768 instead of 1024, .*, .* and 4 more; use the folder of the enc"
    with pytest.raises(ValueError, match=message):
        fill_encoder(large, tmp_path)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("hubert", 315_438_720), ("wavlm", 315_453_120), ("dac", 74_653_857)],
)
def test_a_folder_of_the_published_size_fits(kind, parameters, tmp_path):
    """By the names and shapes of the library's own model; no weight takes any room."""
    write_published_config(kind, tmp_path)
    published = AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        model = AutoModel.from_config(published)
        encoder = build_speech_encoder(encoder_config(tmp_path))
    assert sum(each.numel() for each in model.parameters()) == parameters
    state = {
        name: torch.zeros(1).expand(value.shape)
        for name, value in old_names(model.state_dict()).items()
    }
    torch.save(state, tmp_path / "pytorch_model.bin")
    fill_encoder(encoder, tmp_path)
    state.popitem()
    torch.save(state, tmp_path / "pytorch_model.bin")
    if kind != "dac":  # whose last tensors are the decoder's
        with pytest.raises(
            ValueError, match=r"pytorch_model\.bin: .*: missing encoder\.layers\.23"
        ):
            fill_encoder(encoder, tmp_path)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("hubert", {"hidden_size": 64},
         r"hidden_size is 64 instead of 32; set encoder\.width = 64, or use the folder"),
        ("hubert", {"num_hidden_layers": 2, "intermediate_size": 64},
         r"layers = 2, encoder\.ffn = 64, or use"),
        ("hubert", {"num_attention_heads": 8}, r"num_attention_heads is 8 instead of 4"),
        ("hubert", {"feat_extract_norm": "group", "do_stable_layer_norm": False},
         r"feat_extract_norm is 'group' instead of 'layer', do_stable_layer_norm is False"),
        ("hubert", {"hidden_act": "relu"}, r"hidden_act is 'relu' instead of 'gelu'; use the"),
        ("hubert", {"layer_norm_eps": 1e-12}, r"layer_norm_eps is 1e-12 instead of 1e-05; use"),
        ("hubert", {"conv_stride": [5, 2, 2, 2, 2, 2, 4]}, r"conv_stride is \[5, 2, 2, 2, 2, 2, 4"),
        ("wavlm", {"num_buckets": 32}, r"num_buckets is 32 instead of 320; use the folder"),
        ("wavlm", {"max_bucket_distance": 80}, r"max_bucket_distance is 80 instead of 800"),
        ("dac", {"sampling_rate": 16_000},
         r"sampling_rate is 16000 instead of 24000; set encoder\.codec_rate_hz = 16000, or"),
        ("dac", {"n_codebooks": 9}, r"n_codebooks is 9 instead of 5"),
        ("dac", {"codebook_dim": 4}, r"codebook_dim is 4 instead of 8; use the folder"),
        ("dac", {"model_type": "hubert"}, "model_type is 'hubert', but encoder.kind .* is 'dac'"),
    ],
)  # fmt: skip
def test_settings_that_no_shape_tells_are_held_to_the_system(kind, change, message, tmp_path):
    model = MODELS[kind]()
    model.save_pretrained(tmp_path)
    encoder = build_speech_encoder(encoder_config(tmp_path))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"config\.json: .*{message}"):
        fill_encoder(encoder, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "holds a list, expected a table"),
        ("{}", "model_type is None, allowed are hubert, wavlm, dac"),
        ('{"model_type": "wav2vec2"}', "model_type is 'wav2vec2', allowed are hubert"),
        ('{"model_type": "hubert", "hidden_size": "wide"}', "transformers refuses it"),
        ('{"model_type": "hubert", "num_attention_heads": 7}', "768, which .* = 7 does not divide"),
    ],
)
def test_a_config_that_is_none_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=rf"config\.json: .*{message}"):
        encoder_config(tmp_path)


LAYER = "encoder.layers.1.attention.k_proj.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != LAYER}, rf"missing {LAYER};"),
        (lambda s: s | {"encoder.layers.9.bias": torch.ones(1)},
         r"left over encoder\.layers\.9\.bias;"),
        (lambda s: s | {LAYER: torch.ones(32, 31)}, rf"{LAYER} is \(32, 31\) instead of \(32, 32"),
        (lambda s: s | {LAYER: torch.ones(32, 32, dtype=torch.int32)}, rf"{LAYER} is torch\.int32"),
        (lambda s: {f"student.{k}": v for k, v in s.items()}, r"conv\.weight \(is it student\."),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    (tmp_path / "whole").mkdir()
    MODELS["hubert"]().save_pretrained(tmp_path / "whole")
    folder = rewritten(tmp_path / "whole", tmp_path, change)
    encoder = build_speech_encoder(encoder_config(folder))
    with pytest.raises(ValueError, match=rf"safetensors: its tensors do not fit Hub.*{message}"):
        fill_encoder(encoder, folder)


def test_missing_and_dangerous_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file"):
        encoder_config(tmp_path)
    model = MODELS["hubert"]()
    model.save_pretrained(tmp_path)
    encoder = build_speech_encoder(encoder_config(tmp_path))
    (tmp_path / MODEL).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such weights"):
        fill_encoder(encoder, tmp_path)
    torch.save({"masked_spec_embed": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: refused, its pickle asks for"):
        fill_encoder(encoder, tmp_path)


class Trap:
    """What a pickle may hold: code that reading it would run."""

    def __reduce__(self):
        return pytest.fail, ("the pickle was run",)
