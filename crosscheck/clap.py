"""CLAP: laion_clap's networks and front end of both published sizes, and ours."""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crosscheck import ours, weights
from crosscheck.comparison import Comparison, arrays, numbers
from crosscheck.sounds import SHAPES
from crosscheck.workspace import Workspace
from stabench.metrics.audio import int16_round_trip
from stabench.metrics.backends.backend import clap_module, package
from stabench.metrics.clap import clap_score

if TYPE_CHECKING:
    from torch import Tensor

PEER = "laion-clap"
RATE_HZ = 48000
LONGEST = 480000
CAPTIONS = [
    "a dog barks while rain falls",
    "an orchestra plays softly",
    "a train passes and blows its horn several times in the distance",
    "rain",
    "someone types on a keyboard while a man speaks",
    "birds sing",
]
SAME = "same 48 kHz waveforms to both"
IDS = "same token ids to both (a stand-in tokenizer)"
RESAMPLERS = "the peer resamples with soxr_hq, ours with the windowed sinc: the whole difference"
RANDOM_CROP = (
    "the peer crops what exceeds 480000 samples at random: two of its calls, on 12 s files and on "
    "one of 10 s at 44.1 kHz, of which librosa makes 480001"
)


def compare(work: Workspace, architecture: str) -> list[Comparison]:
    """Compare audio and text embeddings, score and files, with one size of the audio branch."""
    checkpoint = work.folder / f"{architecture}-pseudo.pt"
    peer = _build_peer(checkpoint, architecture)
    embedder = ours.clap(checkpoint, architecture)
    checkpoint.unlink()
    paths = work.generated[: len(SHAPES)]
    heard = [ours.waveform(path, RATE_HZ)[:LONGEST] for path in paths]
    theirs = np.concatenate([_embed_audio(peer, samples, tensor=True) for samples in heard])
    stepped = np.concatenate([_embed_audio(peer, samples, tensor=False) for samples in heard])
    our_rows = ours.embeddings(embedder, heard)
    our_stepped = ours.embeddings(embedder, [int16_round_trip(samples) for samples in heard])
    text = peer.get_text_embedding(CAPTIONS, tokenizer=tokenize)
    our_text = embedder.embed_text(CAPTIONS)
    name = f"CLAP {architecture}"
    return [
        arrays(f"{name} audio", PEER, theirs, our_rows, 1e-5, SAME),
        arrays(f"{name} audio, int16 steps", PEER, stepped, our_stepped, 1e-5, SAME),
        arrays(f"{name} text", PEER, text, our_text, 1e-5, IDS),
        _compare_scores(name, (text, stepped), (our_text, our_stepped)),
        *_compare_files(name, peer, embedder, paths),
    ]


def _build_peer(checkpoint: Path, architecture: str):
    module = clap_module(architecture)
    weights.write_clap(checkpoint, weights.filled(module.model))
    with contextlib.redirect_stdout(io.StringIO()):
        module.load_ckpt(str(checkpoint), verbose=False)
    return module


def _compare_scores(name: str, theirs: tuple, our_rows: tuple) -> Comparison:
    score = object.__new__(package("frechet-audio-distance").CLAPScore)
    mean, _ = score.calculate_clap_score(*theirs, batch_size=10)
    return numbers(
        f"{name} score",
        "frechet-audio-distance.CLAPScore",
        float(mean),
        float(clap_score(*our_rows).mean()),
        1e-5,
        "mean cosine of the int16 audio rows and the text rows above",
    )


def _compare_files(name: str, peer, embedder, paths: list[Path]) -> list[Comparison]:
    import librosa

    loaded = {path: librosa.load(path, sr=RATE_HZ)[0] for path in paths}
    short = [path for path in paths if len(loaded[path]) <= LONGEST]
    theirs = peer.get_audio_embedding_from_filelist([str(path) for path in short])
    same = ours.embeddings(embedder, [int16_round_trip(loaded[path]) for path in short])
    decoded = [int16_round_trip(ours.waveform(path, RATE_HZ)) for path in short]
    our_rows = ours.embeddings(embedder, decoded)
    long = [str(path) for path in paths if path not in short]
    once, again = (peer.get_audio_embedding_from_filelist(long) for _ in range(2))
    return [
        arrays(
            f"{name} audio of files, ours with the peer's loader",
            PEER,
            theirs,
            same,
            1e-5,
            "waveforms of librosa.load (soxr_hq) to ours as well",
        ),
        arrays(f"{name} audio of files", PEER, theirs, our_rows, 0.1, RESAMPLERS),
        arrays(f"{name} audio of longer files", f"{PEER} twice", once, again, None, RANDOM_CROP),
    ]


def _embed_audio(peer, samples: np.ndarray, tensor: bool) -> np.ndarray:
    import torch

    # Of an array, unlike of a tensor, the package takes 16-bit steps.
    if not tensor:
        return peer.get_audio_embedding_from_data(samples[None])
    with torch.no_grad():
        rows = peer.get_audio_embedding_from_data(torch.from_numpy(samples)[None], use_tensor=True)
    return rows.numpy()


def tokenize(captions: list[str]) -> dict[str, "Tensor"]:
    """Return stand-in token ids and their mask, in the form that laion_clap asks of a tokenizer."""
    import torch

    from stabench.metrics.embedders.tokens import StandInTokens

    ids, mask = StandInTokens()(captions)
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
