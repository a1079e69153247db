"""`make pocket`: trains everything in `pocket/weights/` again; interrupt it and it goes on later.

    python -m pocket.training [--device cpu|cuda] [--scale S] [--work DIR] [--weights DIR]

An estimated two to three hours on two CPU cores; a GPU path exists, not yet timed on one. Work
lies in the cache folder (5 GB) and holds CPU tensors, so a run may go on on another device.
`--scale 0.01` makes a hundredth of the clips and steps: weights good for nothing, in minutes, from
the same code.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from checkpoints.cache import cache_folder
from pocket.configs import WEIGHTS
from pocket.scenes import VERSION
from pocket.training import device, language, ship
from pocket.training.autoencoder import encode, normalise_latents, train_vae
from pocket.training.clap import train_clap
from pocket.training.codec import train_codec
from pocket.training.corpus import Corpus, corpus
from pocket.training.generators import (
    SHARED,
    Latents,
    TextToAudio,
    read_tokens,
    tokenizer,
    train_star,
    train_text_to_audio,
)
from pocket.training.hearing import Frames, encode_speech, train_bridge, train_encoder
from pocket.training.tagger import refine_tagger, thresholds, train_tagger, train_vggish
from pocket.training.workplace import Workplace


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    try:
        work = Workplace(options.work, device.choose(options.device), options.scale)
        train, validation = corpus("train", work), corpus("validation", work)
    except ValueError as error:
        raise SystemExit(f"pocket.training: {error}") from error
    # Only optimisation may round to TF32: what is measured or kept is computed in float32.
    with device.tf32(allowed=False):
        language.ship(options.weights / "asr")
        judges(train, validation, work, options.weights)
        generators(train, work, options.weights)


def judges(train: Corpus, validation: Corpus, work: Workplace, weights: Path) -> None:
    """The embedders: tagger, VGGish, CLAP."""
    tagger = ship.halve(refine_tagger(train_tagger(train, work), train, work))
    ship.ship_tagger(weights / "tagger", tagger, thresholds(tagger, validation))
    ship.ship_vggish(weights / "vggish", train_vggish(train, work))
    ship.ship_clap(weights / "clap", train_clap(train, work))
    tokenizer().write(weights / "words.txt")


def generators(train: Corpus, work: Workplace, weights: Path) -> None:
    """The autoencoder, text-to-audio, and from it STAR and its two ablations."""
    vae = train_vae(train, work)
    means, stds = encode(vae, train, work.folder / "latents.npy")
    normalise_latents(vae, means)
    latents = Latents(work.send(np.array(means)), work.send(np.array(stds)), vae.normalise)
    ship.ship_part(weights, "vae", vae)

    base = train_text_to_audio(train, latents, work)
    ship.ship_part(weights, "text_encoder", base.text_encoder)
    ship.ship_part(weights, "udit", base.udit)

    encoder = train_encoder(train, work)
    heard = encode_speech(encoder, train.utterances, work.folder / "frames-train.npz", work.device)
    ship.ship_part(weights, "speech_encoder", encoder)
    codec = train_codec(train, work)
    coded = encode_speech(codec, train.utterances, work.folder / "codes-train.npz", work.device)
    ship.ship_part(weights, "codec", codec)

    bridged("star", train, latents, heard, base, work, weights)
    bridged("star-dac", train, latents, coded, base, work, weights)
    direct = train_star("star-nobridge", train, latents, heard, None, base.udit, work)
    ship.ship_overlay(weights / "star-nobridge", "udit", direct, SHARED)


def bridged(
    name: str,
    train: Corpus,
    latents: Latents,
    frames: Frames,
    base: TextToAudio,
    work: Workplace,
    weights: Path,
) -> None:
    """A STAR with a bridge: stage 1, then stage 2."""
    bridge, _ = train_bridge(name, train, frames, work)
    tokens = read_tokens(bridge, frames)
    udit = train_star(name, train, latents, tokens, bridge, base.udit, work)
    ship.ship_overlay(weights / name, "udit", udit, SHARED)
    ship.ship_part(weights / name, "bridge", bridge)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pocket.training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", choices=device.NAMES, help="default: cuda where there is one")
    parser.add_argument("--scale", type=_share, default=1.0, help="share of clips and steps")
    parser.add_argument("--work", type=Path, help="state, to go on from; default: in the cache")
    parser.add_argument(
        "--weights", type=Path, help="default: pocket/weights; WORK/weights when scaled"
    )
    options = parser.parse_args(arguments)
    whole = options.scale == 1
    if options.work is None:
        name = f"training-v{VERSION}" + ("" if whole else f"-scale{options.scale:g}")
        options.work = cache_folder() / name
    if options.weights is None:
        options.weights = WEIGHTS if whole else options.work / "weights"
    return options


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; give a number in (0, 1]")
    return value


if __name__ == "__main__":
    main()
