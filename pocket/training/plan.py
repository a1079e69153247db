"""The tasks of `make pocket`: what each needs first, and what it trains and ships."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stabench.pocket.timeline import ship_timeline
from stabench.pocket.training import language, ship
from stabench.pocket.training.autoencoder import encode, normalise_latents, train_vae
from stabench.pocket.training.bridge import train_bridge
from stabench.pocket.training.clap import train_clap
from stabench.pocket.training.codec import train_codec
from stabench.pocket.training.corpus import Corpus, corpus
from stabench.pocket.training.generators import (
    SHARED,
    tokenizer,
    train_star,
    train_text_to_audio,
)
from stabench.pocket.training.hearing import encode_speech, train_encoder, train_wavlm
from stabench.pocket.training.recogniser import train_ctc
from stabench.pocket.training.tagger import refine_tagger, thresholds, train_tagger, train_vggish
from stabench.systems.networks.vae import SpectrogramVae
from stabench.systems.training.data import TensorFrames, TensorLatents
from stabench.systems.training.stage2 import read_states
from stabench.systems.training.workplace import Workplace


@dataclass(frozen=True)
class Task:
    """One part of the training that runs in a process of its own.

    `run` may be called again: what is finished is read from the workplace, not trained anew.
    """

    name: str
    needs: tuple[str, ...]
    run: Callable[[Workplace, Path], None]


def render(work: Workplace, _weights: Path) -> None:
    """Make clips and speech."""
    corpus("train", work)
    corpus("validation", work)


def judge_events(work: Workplace, weights: Path) -> None:
    """Train the tagger: the network of FD, KL, IS and event recall."""
    train = corpus("train", work)
    tagger = ship.halve(refine_tagger(train_tagger(train, work), train, work))
    validation = corpus("validation", work)
    ship.ship_tagger(weights / "tagger", tagger, thresholds(tagger, validation))
    clips = (clip.float().numpy() / 32767 for clip in validation.audio.cpu())
    ship_timeline(weights, clips, validation.labels.cpu().numpy() > 0)


def judge_frames(work: Workplace, weights: Path) -> None:
    """Train the VGGish-shaped network of FAD."""
    ship.ship_vggish(weights / "vggish", train_vggish(corpus("train", work), work))


def judge_captions(work: Workplace, weights: Path) -> None:
    """Train the CLAP."""
    ship.ship_clap(weights / "clap", train_clap(corpus("train", work), work))
    tokenizer().write(weights / "words.txt")


def autoencode(work: Workplace, weights: Path) -> None:
    """Train the autoencoder and encode every clip by it."""
    vae, _ = _make_latents(corpus("train", work), work)
    ship.ship_part(weights, "vae", vae)


def speak_text(work: Workplace, weights: Path) -> None:
    """Train text-to-audio, the generator of cascades and oracle."""
    train = corpus("train", work)
    base = train_text_to_audio(train, _make_latents(train, work)[1], work)
    ship.ship_part(weights, "text_encoder", base.text_encoder)
    ship.ship_part(weights, "udit", base.udit)


def hear_speech(work: Workplace, weights: Path) -> None:
    """Train the speech encoder that STAR and the cascade share."""
    encoder = train_encoder(corpus("train", work), work)
    ship.ship_part(weights, "speech_encoder", encoder)
    _make_frames("encoder", work)


def hear_mixed_speech(work: Workplace, weights: Path) -> None:
    """Train the WavLM that Table 1 alone probes."""
    ship.ship_part(weights, "wavlm", train_wavlm(corpus("train", work), work))


def recognise(work: Workplace, weights: Path) -> None:
    """Train the cascade's recogniser on the shared encoder, and write its language model."""
    words = language.ship(weights / "asr")
    ship.ship_part(
        weights, "ctc", train_ctc(corpus("train", work), _make_frames("encoder", work), work)
    )
    print(f"pronunciations guessed for PocketSphinx: {', '.join(words) or 'none'}", flush=True)


def code_speech(work: Workplace, weights: Path) -> None:
    """Train the codec whose features the ablation hears."""
    ship.ship_part(weights, "codec", train_codec(corpus("train", work), work))
    _make_frames("codec", work)


def bridge(name: str, source: str) -> Callable[[Workplace, Path], None]:
    """Return the task of stage 1 on frames of `source`."""

    def run(work: Workplace, _weights: Path) -> None:
        train_bridge(name, corpus("train", work), _make_frames(source, work), work)

    return run


def bridged(name: str, source: str) -> Callable[[Workplace, Path], None]:
    """Return the task of stage 2 of a STAR with a bridge on frames of `source`."""

    def run(work: Workplace, weights: Path) -> None:
        train, frames = corpus("train", work), _make_frames(source, work)
        trained = train_bridge(name, train, frames, work)
        latents = _make_latents(train, work)[1]
        base = train_text_to_audio(train, latents, work)
        tokens = read_states(trained, frames)
        udit = train_star(name, train, latents, tokens, trained, base.udit, work)
        ship.ship_overlay(weights / name, "udit", udit, SHARED)
        ship.ship_part(weights / name, "bridge", trained)

    return run


def unbridged(work: Workplace, weights: Path) -> None:
    """Train STAR without its bridge: stage 2 alone, on the encoder's frames."""
    train = corpus("train", work)
    latents = _make_latents(train, work)[1]
    base = train_text_to_audio(train, latents, work)
    frames = _make_frames("encoder", work)
    udit = train_star("star-nobridge", train, latents, frames, None, base.udit, work)
    ship.ship_overlay(weights / "star-nobridge", "udit", udit, SHARED)


def _make_latents(train: Corpus, work: Workplace) -> tuple[SpectrogramVae, TensorLatents]:
    vae = train_vae(train, work)
    means, stds = encode(vae, train, work.folder / "latents.npy")
    normalise_latents(vae, means)
    return vae, TensorLatents(work.send(np.array(means)), work.send(np.array(stds)), vae.normalise)


def _make_frames(source: str, work: Workplace) -> TensorFrames:
    """Return frames of every training utterance by the encoder or the codec."""
    train = corpus("train", work)
    network = train_encoder(train, work) if source == "encoder" else train_codec(train, work)
    path = work.folder / f"frames-{source}.npz"
    return encode_speech(network, train.utterances, path, work.device)


# In the order in which they are begun: what others wait for comes first.
TASKS = (
    Task("corpus", (), render),
    Task("vae", ("corpus",), autoencode),
    Task("encoder", ("corpus",), hear_speech),
    Task("text-to-audio", ("vae",), speak_text),
    Task("recogniser", ("encoder",), recognise),
    Task("bridge", ("encoder",), bridge("star", "encoder")),
    Task("codec", ("corpus",), code_speech),
    Task("bridge-dac", ("codec",), bridge("star-dac", "codec")),
    Task("star", ("text-to-audio", "bridge"), bridged("star", "encoder")),
    Task("star-nobridge", ("text-to-audio", "encoder"), unbridged),
    Task("star-dac", ("text-to-audio", "bridge-dac"), bridged("star-dac", "codec")),
    Task("tagger", ("corpus",), judge_events),
    Task("wavlm", ("corpus",), hear_mixed_speech),
    Task("clap", ("corpus",), judge_captions),
    Task("vggish", ("corpus",), judge_frames),
)
# Tasks that only the shipped seed has: another seed's systems are measured by the same judges.
JUDGES = ("tagger", "clap", "vggish")
