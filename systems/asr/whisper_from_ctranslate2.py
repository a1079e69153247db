"""A Whisper in CTranslate2's format as a checkpoint of openai-whisper, read with NumPy alone.

`model.bin` is a list of named arrays. Integers are little-endian, a string is its length with the
closing zero (uint16), its bytes and the zero: version (uint32), name of the network (string),
revision (uint32), count (uint32); per array its name (string), rank (uint8), sizes (uint32 each),
type (uint8), bytes (uint32), values; then a count (uint32) of aliases, each two strings. No code of
CTranslate2 is needed, and nothing is unpickled.
"""

import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stabench.systems.asr.whisper_sizes import Dimensions, dimensions

# To be raised when the same file would give another checkpoint: kept ones are then made anew.
CONVERSION = 1
# CTranslate2 3 and 4 write this version of the format.
VERSION = 6
NETWORK = "WhisperSpec"
# CTranslate2's numbers of types; 5, bfloat16, is left out, as NumPy has no such type.
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
PROJECTION, EMBEDDINGS = "decoder/projection/weight", "decoder/embeddings/weight"
# What openai-whisper does, in CTranslate2's numbers (activation 3 is GELU); others are off, 0.
SETTINGS = {"activation": 3, "pre_norm": 1}
# They serve word timestamps only.
IGNORED = ("alignment_heads", "alignment_layer")


class Model(NamedTuple):
    """The arrays of a model.bin by name, as they lie in the file, and which names are aliases."""

    arrays: dict[str, np.ndarray]
    aliases: dict[str, str]


def convert(path: Path) -> Path:
    """Return the checkpoint made of the file `path`, kept in the cache folder by its sha256.

    openai-whisper loads it as its own. Raises ValueError as `read` and `checkpoint` do.
    """
    import torch

    from stabench.checkpoints.cache import cache_folder
    from stabench.checkpoints.digests import digest

    folder = cache_folder() / "converted"
    target = folder / f"whisper-{digest(path)}-v{CONVERSION}.pt"
    if target.is_file():
        return target
    content = checkpoint(path)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, then renamed: two processes may convert at once, neither sees half a file.
    handle, part = tempfile.mkstemp(prefix=target.name, dir=folder)
    try:
        with open(handle, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets only its maker read the file, but the cache may be shared.
        os.chmod(part, 0o644)
        os.replace(part, target)
    finally:
        Path(part).unlink(missing_ok=True)
    return target


def checkpoint(path: Path) -> dict[str, Any]:
    """Return `dims` and `model_state_dict` of the file, tensors in the precision of the file.

    Raises ValueError that names the file for arrays that openai-whisper's network has no place
    for, settings that it does not have, and missing arrays.
    """
    import torch

    arrays, aliases = read(path)
    _untie_projection(path, arrays, aliases)
    heads = _take_settings(path, arrays)
    dims = _dimensions(path, arrays, heads)
    state = _state(path, arrays, dims)
    # Each step took out what it has read: what is left now has no place in the network.
    if arrays:
        raise ValueError(f"{path}: openai-whisper's network has no place for {sorted(arrays)[0]}")
    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    return {"dims": dims._asdict(), "model_state_dict": tensors}


def read(path: Path) -> Model:
    """Read a model.bin. Raises ValueError for another format, network or type, and truncation."""
    file = _File(path)
    version = file.number("I")
    if version != VERSION:
        raise ValueError(
            f"{path} has version {version} of CTranslate2's format, allowed is {VERSION}; convert "
            "the model with CTranslate2 3 or 4"
        )
    network, _ = file.string(), file.number("I")
    if network != NETWORK:
        raise ValueError(f"{path} holds a {network}, expected a {NETWORK}")
    arrays = dict(file.array() for _ in range(file.number("I")))
    aliases = {file.string(): file.string() for _ in range(file.number("I"))}
    file.end()
    return Model(arrays, aliases)


class _File:
    """The bytes of a model.bin from a place that moves on."""

    def __init__(self, path: Path) -> None:
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty; fetch it again")
        self.path, self.place = path, 0
        self.content = np.memmap(path, np.uint8, mode="r")

    def take(self, count: int) -> np.ndarray:
        if self.place + count > len(self.content):
            raise ValueError(
                f"{self.path} is truncated at {len(self.content)} bytes, or no file of "
                "CTranslate2's; fetch it again"
            )
        self.place += count
        return self.content[self.place - count : self.place]

    def number(self, kind: str) -> int:
        """One integer; `kind` as for struct."""
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(kind)).tobytes())[0]

    def string(self) -> str:
        text = self.take(self.number("H")).tobytes()
        if text[-1:] != b"\0" or not text[:-1].isascii():
            raise ValueError(f"{self.path} is no file of CTranslate2's, or damaged; fetch it again")
        return text[:-1].decode("ascii")

    def array(self) -> tuple[str, np.ndarray]:
        name = self.string()
        shape = tuple(self.number("I") for _ in range(self.number("B")))
        kind, size = self.number("B"), self.number("I")
        values = self.take(size)
        if kind not in TYPES:
            raise ValueError(
                f"{self.path}: {name} is of type {kind}, allowed are {sorted(TYPES)}; give a "
                "conversion in float16 or float32"
            )
        if np.dtype(TYPES[kind]).itemsize * int(np.prod(shape)) != size:
            raise ValueError(f"{self.path}: {name} has {size} bytes, which are not its {shape}")
        return name, values.view(TYPES[kind]).reshape(shape)

    def end(self) -> None:
        left = len(self.content) - self.place
        if left:
            raise ValueError(f"{self.path} has {left} bytes too many; fetch it again")


def _untie_projection(path: Path, arrays: dict[str, np.ndarray], aliases: dict[str, str]) -> None:
    """Remove the last layer, which is the table of embeddings: an alias of it, or a copy."""
    # A file holds the table of embeddings twice, or once and an alias of it.
    copied = PROJECTION in arrays and EMBEDDINGS in arrays
    if copied and np.array_equal(arrays.pop(PROJECTION), arrays[EMBEDDINGS]) and not aliases:
        return
    if aliases != {PROJECTION: EMBEDDINGS}:
        raise ValueError(f"{path}: its last layer is not its embeddings, as Whisper's is")


def _take_settings(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Remove what is no weight, checked; return the heads of encoder and decoder."""
    heads = {}
    for name in list(arrays):
        half, _, last = name.rpartition("/")
        if last == "num_heads":
            heads[half] = int(arrays.pop(name))
        elif last in IGNORED:
            del arrays[name]
        elif not arrays[name].ndim and (value := arrays.pop(name)) != SETTINGS.get(last, 0):
            wanted = SETTINGS.get(last, 0)
            raise ValueError(f"{path}: {name} is {value}, openai-whisper's is {wanted}")
    return heads


def _dimensions(path: Path, arrays: Mapping[str, np.ndarray], heads: dict[str, int]) -> Dimensions:
    """Return the `dims` that the shapes of the arrays tell."""
    try:
        audio = arrays["encoder/position_encodings/encodings"].shape
        text = arrays["decoder/position_encodings/encodings"].shape
        bands = arrays["encoder/conv1/weight"].shape[1]
        words = len(arrays["decoder/embeddings/weight"])
        encoder, decoder = heads["encoder"], heads["decoder"]
    except KeyError as error:
        raise ValueError(f"{path} has no {error.args[0]}: it is no whole Whisper") from None
    # "layer_norm" begins as the layers do and is none of them.
    layers = {
        half: len({name.split("/")[1] for name in arrays if name.startswith(f"{half}/layer_")})
        - (f"{half}/layer_norm/gamma" in arrays)
        for half in ("encoder", "decoder")
    }
    values = (bands, *audio, encoder, layers["encoder"], words, *text, decoder, layers["decoder"])
    return dimensions(path, dict(zip(Dimensions._fields, values, strict=True)))


def _state(path: Path, arrays: dict[str, np.ndarray], dims: Dimensions) -> dict[str, np.ndarray]:
    """Move every array to its name in openai-whisper's network; joined ones are cut apart."""
    state: dict[str, np.ndarray] = {}

    def pop(name: str) -> np.ndarray:
        if name not in arrays:
            raise ValueError(f"{path} has no {name}: it is no whole Whisper")
        return arrays.pop(name)

    def affine(there: str, *here: str) -> None:
        """One matrix and bias as those of the layers `here`, one below the other."""
        for kind in ("weight", "bias"):
            value = pop(f"{there}/{kind}")
            if len(value) % len(here):
                raise ValueError(f"{path}: {there}/{kind} has {len(value)} rows for {len(here)}")
            for name, part in zip(here, np.split(value, len(here)), strict=True):
                if kind == "bias" and name.endswith(".key"):
                    # openai-whisper's keys have no bias; CTranslate2's joined ones need zeros.
                    if part.any():
                        raise ValueError(f"{path}: {there} has a bias for keys, Whisper has none")
                    continue
                state[f"{name}.{kind}"] = part

    def norm(there: str, here: str) -> None:
        state[f"{here}.weight"], state[f"{here}.bias"] = pop(f"{there}/gamma"), pop(f"{there}/beta")

    for conv in ("conv1", "conv2"):
        affine(f"encoder/{conv}", f"encoder.{conv}")
    norm("encoder/layer_norm", "encoder.ln_post")
    norm("decoder/layer_norm", "decoder.ln")
    state["decoder.token_embedding.weight"] = pop("decoder/embeddings/weight")
    for half, layers in (("encoder", dims.n_audio_layer), ("decoder", dims.n_text_layer)):
        state[f"{half}.positional_embedding"] = pop(f"{half}/position_encodings/encodings")
        for layer in range(layers):
            there, here = f"{half}/layer_{layer}", f"{half}.blocks.{layer}"
            attention = [f"{here}.attn.{name}" for name in ("query", "key", "value")]
            affine(f"{there}/self_attention/linear_0", *attention)
            affine(f"{there}/self_attention/linear_1", f"{here}.attn.out")
            norm(f"{there}/self_attention/layer_norm", f"{here}.attn_ln")
            if half == "decoder":
                cross = f"{here}.cross_attn"
                affine(f"{there}/attention/linear_0", f"{cross}.query")
                affine(f"{there}/attention/linear_1", f"{cross}.key", f"{cross}.value")
                affine(f"{there}/attention/linear_2", f"{cross}.out")
                norm(f"{there}/attention/layer_norm", f"{cross}_ln")
            affine(f"{there}/ffn/linear_0", f"{here}.mlp.0")
            affine(f"{there}/ffn/linear_1", f"{here}.mlp.2")
            norm(f"{there}/ffn/layer_norm", f"{here}.mlp_ln")
    return state
