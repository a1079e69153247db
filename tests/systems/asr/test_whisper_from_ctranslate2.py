"""A Whisper of CTranslate2's as a checkpoint of openai-whisper: every number at its place."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from stabench.systems.asr import whisper_from_ctranslate2 as module
from stabench.systems.asr.whisper_from_ctranslate2 import checkpoint, convert, read
from stabench.systems.asr.whisper_sizes import ENGLISH, Dimensions

DIMS = Dimensions(80, 6, 8, 2, 2, ENGLISH, 10, 8, 2, 1)
TYPES = {"int8": 1, "int16": 2, "float16": 4, "float32": 0}
ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}
Arrays = dict[str, np.ndarray]


def arrays(dtype: str = "float16") -> Arrays:
    """A tiny network in CTranslate2's names, laid out as Systran's published files are."""
    rng = np.random.default_rng(0)
    width = DIMS.n_audio_state
    made: Arrays = {}

    def draw(name: str, *shape: int) -> None:
        made[name] = rng.standard_normal(shape).astype(dtype)

    def affine(name: str, rows: int, *columns: int) -> None:
        draw(f"{name}/weight", rows, *columns)
        draw(f"{name}/bias", rows)

    def norm(name: str) -> None:
        draw(f"{name}/gamma", width)
        draw(f"{name}/beta", width)

    affine("encoder/conv1", width, 80, 3)
    affine("encoder/conv2", width, width, 3)
    draw("decoder/embeddings/weight", ENGLISH, width)
    for half, positions, layers in (("encoder", 6, 2), ("decoder", 10, 1)):
        draw(f"{half}/position_encodings/encodings", positions, width)
        norm(f"{half}/layer_norm")
        made[f"{half}/num_heads"] = np.int16(2)
        for layer in (f"{half}/layer_{number}" for number in range(layers)):
            affine(f"{layer}/self_attention/linear_0", 3 * width, width)
            made[f"{layer}/self_attention/linear_0/bias"][width : 2 * width] = 0
            affine(f"{layer}/self_attention/linear_1", width, width)
            affine(f"{layer}/ffn/linear_0", 4 * width, width)
            affine(f"{layer}/ffn/linear_1", width, 4 * width)
            norms = ["self_attention", "ffn"]
            if half == "decoder":
                affine(f"{layer}/attention/linear_0", width, width)
                affine(f"{layer}/attention/linear_1", 2 * width, width)
                made[f"{layer}/attention/linear_1/bias"][:width] = 0
                affine(f"{layer}/attention/linear_2", width, width)
                norms.append("attention")
            for part in norms:
                norm(f"{layer}/{part}/layer_norm")
    settings = {"activation": 3, "alibi": 0, "pre_norm": 1, "scale_embeddings": 0}
    made |= {f"decoder/{name}": np.int8(value) for name, value in settings.items()}
    return made | {"decoder/alignment_heads": np.int16(1), "decoder/alignment_layer": np.int16(-1)}


def pack(
    made: Arrays, aliases: dict[str, str] = ALIASES, network: str = "WhisperSpec", version: int = 6
) -> bytes:
    """The bytes of a model.bin, by the order of CTranslate2's own writer."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    out = [struct.pack("<I", version), string(network), struct.pack("<II", 3, len(made))]
    for name, value in sorted(made.items()):
        head = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        kind = TYPES.get(value.dtype.name, 5)
        out += [string(name), head, struct.pack("<BI", kind, value.nbytes), value.tobytes()]
    out.append(struct.pack("<I", len(aliases)))
    out += [string(text) for pair in aliases.items() for text in pair]
    return b"".join(out)


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    """A whole model.bin; the cache lies beside it."""
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.bin"
    path.write_bytes(pack(arrays()))
    return path


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_number_is_at_its_place(tmp_path, dtype):
    path = tmp_path / "model.bin"
    made = arrays(dtype)
    path.write_bytes(pack(made))
    content = checkpoint(path)
    assert content["dims"] == DIMS._asdict()
    state = content["model_state_dict"]
    joined = made["decoder/layer_0/self_attention/linear_0/weight"]
    cross = made["decoder/layer_0/attention/linear_1/bias"]
    expected = {
        "encoder.conv1.weight": made["encoder/conv1/weight"],
        "encoder.ln_post.weight": made["encoder/layer_norm/gamma"],
        "encoder.blocks.1.mlp.0.bias": made["encoder/layer_1/ffn/linear_0/bias"],
        "encoder.blocks.1.mlp_ln.bias": made["encoder/layer_1/ffn/layer_norm/beta"],
        "decoder.token_embedding.weight": made["decoder/embeddings/weight"],
        "decoder.positional_embedding": made["decoder/position_encodings/encodings"],
        "decoder.blocks.0.attn.query.weight": joined[:8],
        "decoder.blocks.0.attn.key.weight": joined[8:16],
        "decoder.blocks.0.attn.value.weight": joined[16:],
        "decoder.blocks.0.cross_attn.value.bias": cross[8:],
        "decoder.blocks.0.cross_attn_ln.weight": made["decoder/layer_0/attention/layer_norm/gamma"],
    }
    for name, value in expected.items():
        assert torch.equal(state[name], torch.from_numpy(value)), name
        assert state[name].dtype == getattr(torch, dtype)
    numbers = sum(value.size for name, value in made.items() if value.ndim)
    keys = 8 * (DIMS.n_audio_layer + 2 * DIMS.n_text_layer)
    assert sum(value.numel() for value in state.values()) == numbers - keys


def test_openai_whispers_own_loader_takes_it_strictly(file):
    whisper = pytest.importorskip("whisper", reason="openai-whisper is not installed")
    from stabench.systems.asr.whisper_checkpoint import load

    network = whisper.load_model(str(convert(file)), "cpu")
    assert vars(network.dims) == DIMS._asdict()
    loaded = load("tiny.en", file.parent, "cpu")
    assert loaded.source == {"model.bin": hashlib.sha256(file.read_bytes()).hexdigest()}
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name].float()), name


def test_what_ctranslate2_writes_is_read_back(tmp_path):
    pytest.importorskip("whisper", reason="openai-whisper is not installed")
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra 'fast')")
    from stabench.systems.asr import whisper_checkpoint
    from stabench.systems.asr.whisper import tokenizer
    from stabench.systems.asr.whisper_ctranslate2 import write
    from tests.systems.asr import tiny_whisper

    path = tiny_whisper.write(tmp_path / "base.pt")
    loaded = whisper_checkpoint.load("base", path, "cpu")
    write(tmp_path, loaded.network, tokenizer(loaded.dims, "en"))
    back = checkpoint(tmp_path / "model.bin")
    assert back["dims"] == loaded.dims._asdict()
    state = loaded.network.state_dict()
    assert back["model_state_dict"].keys() == state.keys()
    for name, value in back["model_state_dict"].items():
        assert torch.equal(value, state[name]), name


def test_it_is_converted_once_and_read_without_a_pickle(file, monkeypatch):
    kept = convert(file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() in kept.name
    assert torch.load(kept, weights_only=True)["dims"] == DIMS._asdict()
    monkeypatch.setattr(module, "checkpoint", lambda path: pytest.fail("converted twice"))
    assert convert(file) == kept


def test_another_file_of_the_same_size_is_another_checkpoint(file):
    kept = convert(file)
    other = arrays()
    other["encoder/conv1/bias"][0] += 1
    file.write_bytes(pack(other))
    assert convert(file) != kept
    states = [torch.load(path)["model_state_dict"] for path in (kept, convert(file))]
    first, second = (state["encoder.conv1.bias"] for state in states)
    assert (first != second).nonzero().tolist() == [[0]]


def test_an_interrupted_conversion_leaves_nothing(file, monkeypatch):
    def fail(content, target):
        target.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            convert(file)
    folder = file.parent / "cache/converted"
    assert list(folder.iterdir()) == []
    convert(file)
    assert len(list(folder.iterdir())) == 1


def without(name: str) -> Arrays:
    return {key: value for key, value in arrays().items() if key != name}


def changed(name: str, value: np.ndarray | np.generic) -> Arrays:
    return arrays() | {name: np.asarray(value)}


QUERY = "encoder/layer_0/self_attention/linear_0"
LAST = "decoder/projection/weight"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack(arrays(), version=5), "has version 5 of CTranslate2's format, allowed is 6"),
        (pack(arrays(), network="TransformerSpec"), "holds a TransformerSpec, expected a Whisp"),
        (pack(arrays())[:-1000], "is truncated at"),
        (pack(arrays()) + b"0", "has 1 bytes too many"),
        (b"", "is empty"),
        (pack(arrays(), aliases={}), "its last layer is not its embeddings"),
        (
            pack(changed(LAST, np.ones((ENGLISH, 8), np.float16)), {}),
            "its last layer is not its embeddings",
        ),
        (pack(without("encoder/conv2/bias")), "has no encoder/conv2/bias"),
        (pack(without("decoder/num_heads")), "has no decoder: it is no whole"),
        (pack(without("encoder/layer_1/ffn/linear_0/weight")), "has no encoder/layer_1/ffn/linea"),
        (pack(changed("encoder/new", np.ones(3, np.float16))), "has no place for encoder/new"),
        (pack(changed(f"{QUERY}/bias", np.ones(24, np.float16))), "has a bias for keys"),
        (pack(changed("decoder/activation", np.int8(0))), "decoder/activation is 0, openai-wh"),
        (pack(changed("decoder/alibi", np.int8(1))), "decoder/alibi is 1, openai-whisper's is 0"),
        (pack(changed("encoder/num_heads", np.int16(3))), "a width of 8 is no even multiple"),
        (pack(changed("encoder/conv1/bias", np.ones(8, np.complex64))), "is of type 5, allowed"),
    ],
)
def test_what_is_not_whole_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quantised_weights_are_no_whole_network(tmp_path):
    """int8 weights come with scales, for which openai-whisper's network has no place."""
    path = tmp_path / "model.bin"
    scales = {f"{QUERY}/weight_scale": np.ones(24, np.float32)}
    path.write_bytes(pack(changed(f"{QUERY}/weight", np.ones((24, 8), np.int8)) | scales))
    with pytest.raises(ValueError, match=r"no place for .*weight_scale"):
        checkpoint(path)


def test_a_size_that_is_not_its_shape_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    whole = pack(arrays())
    place = whole.index(b"encoder/conv2/bias\0") + len(b"encoder/conv2/bias\0") + 1
    path.write_bytes(whole[:place] + struct.pack("<I", 9) + whole[place + 4 :])
    with pytest.raises(ValueError, match=r"encoder/conv2/bias has 16 bytes, which are not its \(9"):
        read(path)
