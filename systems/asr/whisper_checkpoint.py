"""Whisper's weights: found, read and checked, or drawn at random, into openai-whisper's network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stabench.systems.asr.whisper_sizes import SIZES, Dimensions, dimensions
from stabench.systems.contract import Utterance

PUBLISHED, SYSTRAN, RANDOM = "published", "systran", "random"
EMBEDDING_STD = 0.02
KEYS = {"dims", "model_state_dict"}


class Loaded(NamedTuple):
    """openai-whisper's network with float32 weights, and where they come from."""

    network: Any
    dims: Dimensions
    # "random", or the sha256 of the file by its name.
    source: str | dict[str, str]


def load(name: str, weights: str | Path, device: str, seed: int = 0) -> Loaded:
    """The network of a size on `device`, in evaluation mode.

    Raises FileNotFoundError with what to do, and ValueError naming the file for a truncated file,
    another format, another size than `name` among the published ones and tensors that do not fit.
    """
    if weights == RANDOM:
        network = hollow(SIZES[name])
        _assign(network, draw(network, seed), device)
        return Loaded(network, SIZES[name], RANDOM)
    from stabench.checkpoints.tensors import check_fit

    path, source = find(name, weights)
    dims, state = read(path)
    if weights in (PUBLISHED, SYSTRAN) and dims != SIZES[name]:
        raise ValueError(f"{path}: dims are {dims}, published are {SIZES[name]}; fetch it again")
    network = hollow(dims)
    check_fit(network.state_dict(), state, path, "Whisper of its dims")
    _assign(network, state, device)
    return Loaded(network, dims, source)


class Found(NamedTuple):
    """A checkpoint of openai-whisper, and the sha256, by name, of the file it is or was made of."""

    path: Path
    source: dict[str, str]


def find(name: str, weights: str | Path) -> Found:
    """Return the file of a size. Raises FileNotFoundError with where it was looked for.

    `weights`: "published", "systran" (see `systran`), the file itself, a folder that holds
    `base.pt` or `whisper-base/base.pt`, or a folder of CTranslate2's, which is converted.
    """
    from stabench.checkpoints import catalogue, store
    from stabench.checkpoints.digests import sha256
    from stabench.systems.asr.whisper_ctranslate2 import MODEL
    from stabench.systems.asr.whisper_from_ctranslate2 import convert

    if weights == PUBLISHED:
        entry = catalogue.entry(f"whisper-{name}")
        path = store.locate(entry.name)
        return Found(path, {path.name: next(iter(store.verify(path, entry).values()))})
    path = systran(name) if weights == SYSTRAN else Path(weights)
    if (path / MODEL).is_file():
        # The digest is that of the file that was given: the converted one is our own.
        return Found(convert(path / MODEL), {MODEL: sha256(path / MODEL)})
    places = (
        [path]
        if not path.is_dir()
        else [path / f"{name}.pt", path / f"whisper-{name}" / f"{name}.pt"]
    )
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"Whisper {name}: no file {' or '.join(map(str, places))}; put the checkpoint of "
            "openai-whisper there, or leave weights out"
        )
    return Found(file, {file.name: sha256(file)})


def systran(name: str) -> Path:
    """Return the folder of a size that Systran published in CTranslate2's format, verified.

    It holds the numbers of OpenAI's file. Raises ValueError for a size that the catalogue has not,
    FileNotFoundError with how to get it, and ValueError for files that are not the published ones.
    """
    from stabench.checkpoints import catalogue, store

    prefix = "faster-whisper-"
    known = [entry for entry in catalogue.entries() if entry.startswith(prefix)]
    if prefix + name not in known:
        sizes = ", ".join(entry.removeprefix(prefix) for entry in known)
        raise ValueError(f"weights is {SYSTRAN!r} and model {name!r}, allowed with it are {sizes}")
    folder = store.locate(prefix + name)
    store.verify(folder, catalogue.entry(prefix + name))
    return folder


def read(path: Path) -> tuple[Dimensions, dict[str, Any]]:
    """Dimensions and tensors of a checkpoint of openai-whisper; no pickle is executed."""
    from stabench.checkpoints.tensors import read_torch

    content = read_torch(path)
    if set(content) != KEYS:
        keys = ", ".join(sorted(map(str, content))[:4]) or "nothing"
        raise ValueError(
            f"{path} holds {keys}; expected are {' and '.join(sorted(KEYS))}: "
            "give a checkpoint of openai-whisper"
        )
    return dimensions(path, content["dims"]), content["model_state_dict"]


def hollow(dims: Dimensions) -> Any:
    """openai-whisper's network without memory for weights."""
    import torch
    from whisper.model import AudioEncoder, ModelDimensions, TextDecoder, Whisper

    # The whole cannot be built on the meta device: it makes a sparse table of timing heads.
    shell = dims._replace(n_audio_layer=0, n_text_layer=0, n_vocab=1)
    network = Whisper(ModelDimensions(**shell._asdict()))
    network.dims = ModelDimensions(**dims._asdict())
    with torch.device("meta"):
        network.encoder = AudioEncoder(*dims[:5])
        network.decoder = TextDecoder(*dims[5:])
    return network


def draw(network: Any, seed: int) -> dict[str, Any]:
    """Seeded values for every tensor of a hollow network, each from its own name.

    Matrices and kernels are N(0, 1 / fan-in), embeddings N(0, 0.02), norms one and biases zero,
    rounded to float16 as the published ones are (their files have two bytes a parameter).
    """
    from whisper.model import sinusoids

    from stabench.checkpoints.random_weights import Draws

    draws = Draws(seed, deviations={"embedding": EMBEDDING_STD})
    state = {
        name: draws(name, tuple(empty.shape)).half().float()
        for name, empty in network.state_dict().items()
    }
    # The encoder's positions are no weights but fixed sinusoids, in every checkpoint.
    table = "encoder.positional_embedding"
    return state | {table: sinusoids(*state[table].shape).half().float()}


def _assign(network: Any, state: dict[str, Any], device: str) -> None:
    """Give the network these tensors, in float32 on `device`, and its causal mask."""
    import torch

    moved = {name: value.to(device, torch.float32) for name, value in state.items()}
    network.load_state_dict(moved, assign=True)
    # The mask is in no checkpoint, and was made on the meta device: it has no values yet.
    positions = network.dims.n_text_ctx
    mask = torch.full((positions, positions), -torch.inf, device=device).triu_(1)
    network.decoder.register_buffer("mask", mask, persistent=False)
    network.eval().requires_grad_(False)


RATE_HZ = 16_000


def checked(speech: Utterance, window: int) -> np.ndarray:
    """The samples as a float32 array. Raises ValueError for another rate, or more than `window`."""
    if speech.rate_hz != RATE_HZ:
        raise ValueError(
            f"clip '{speech.clip_id}': speech is {speech.rate_hz} Hz, expected {RATE_HZ} Hz; "
            "resample it before"
        )
    if len(speech.samples) > window:
        raise ValueError(
            f"clip '{speech.clip_id}': speech is {len(speech.samples) / RATE_HZ:.1f} s, Whisper "
            f"hears {window / RATE_HZ:g} s at once; cut it"
        )
    return np.require(speech.samples, np.float32, ["C", "W"])


def check_tokens(tokens: int | None, weights: str | Path) -> None:
    """Raises ValueError unless `tokens` is left out, or 1 or more with random weights."""
    if tokens is not None and (weights != RANDOM or tokens < 1):
        raise ValueError(
            f"tokens is {tokens} and weights {str(weights)!r}; only random weights are forced to "
            "a length, of 1 or more: leave tokens out"
        )


def forced_length(
    speech: Utterance,
    tokens: int | None,
    encode: Callable[[str], Sequence[int]],
    longest: int,
) -> int:
    """Tokens that random weights write: `tokens`, or as many as the caption has; 1 to `longest`.

    Raises ValueError for a clip without a caption.
    """
    if tokens is not None:
        return min(max(tokens, 1), longest)
    if speech.caption is None:
        raise ValueError(
            f"clip '{speech.clip_id}': random weights write as many tokens as the caption has, and "
            "the clip has none; give the data set captions, or give tokens"
        )
    return min(max(len(encode(f" {speech.caption.strip()}")), 1), longest)
