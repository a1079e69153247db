"""`make pocket`: trains everything in `pocket/weights/` again; interrupt it and it goes on later.

An estimated two to three hours on two CPU cores (no GPU path yet). Work lies in the cache folder
(5 GB).
"""

import os
from pathlib import Path

import numpy as np
import torch

from pocket.configs import WEIGHTS
from pocket.dataset import cache_folder
from pocket.scenes import VERSION
from pocket.training import language, ship
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


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    work = cache_folder() / f"training-v{VERSION}"
    train, validation = corpus("train", work), corpus("validation", work)
    language.ship(WEIGHTS / "asr")
    judges(train, validation, work)
    generators(train, work)


def judges(train: Corpus, validation: Corpus, work: Path) -> None:
    """The embedders: tagger, VGGish, CLAP."""
    tagger = ship.halve(refine_tagger(train_tagger(train, work), train, work))
    ship.ship_tagger(WEIGHTS / "tagger", tagger, thresholds(tagger, validation))
    ship.ship_vggish(WEIGHTS / "vggish", train_vggish(train, work))
    ship.ship_clap(WEIGHTS / "clap", train_clap(train, work))
    tokenizer().write(WEIGHTS / "words.txt")


def generators(train: Corpus, work: Path) -> None:
    """The autoencoder, text-to-audio, and from it STAR and its two ablations."""
    vae = train_vae(train, work)
    means, stds = encode(vae, train, work / "latents.npy")
    normalise_latents(vae, means)
    latents = Latents(np.array(means), np.array(stds), vae.normalise)
    ship.ship_part(WEIGHTS, "vae", vae)

    base = train_text_to_audio(train, latents, work)
    ship.ship_part(WEIGHTS, "text_encoder", base.text_encoder)
    ship.ship_part(WEIGHTS, "udit", base.udit)

    encoder = train_encoder(train, work)
    heard = encode_speech(encoder, train.utterances, work / "frames-train.npz")
    ship.ship_part(WEIGHTS, "speech_encoder", encoder)
    codec = train_codec(train, work)
    coded = encode_speech(codec, train.utterances, work / "codes-train.npz")
    ship.ship_part(WEIGHTS, "codec", codec)

    bridged("star", train, latents, heard, base, work)
    bridged("star-dac", train, latents, coded, base, work)
    direct = train_star("star-nobridge", train, latents, heard, None, base.udit, work)
    ship.ship_overlay(WEIGHTS / "star-nobridge", "udit", direct, SHARED)


def bridged(
    name: str, train: Corpus, latents: Latents, heard: Frames, base: TextToAudio, work: Path
) -> None:
    """A STAR with a bridge: stage 1, then stage 2."""
    bridge, _ = train_bridge(name, train, heard, work)
    tokens = read_tokens(bridge, heard)
    udit = train_star(name, train, latents, tokens, bridge, base.udit, work)
    ship.ship_overlay(WEIGHTS / name, "udit", udit, SHARED)
    ship.ship_part(WEIGHTS / name, "bridge", bridge)


if __name__ == "__main__":
    main()
