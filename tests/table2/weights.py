"""Tiny weights for every name of the suite `table2`, as `stabench weights fetch` leaves them.

Nothing is trained: tensors are pseudo-random, in the formats, names and folders of the authors.
"""

import json
from pathlib import Path

import torch
from torch import nn

from stabench.checkpoints import catalogue
from stabench.metrics.embedders import weights as folders
from stabench.metrics.embedders.cnn14 import Cnn14
from stabench.metrics.embedders.vggish import Vggish
from stabench.metrics.embedders.weight_sources import Seeded
from stabench.systems.networks import checkpoint
from stabench.systems.networks.checkpoint import write_config
from stabench.systems.networks.config import SamplerConfig, UDiTConfig, VaeConfig
from stabench.systems.star.config import BridgeConfig, SpeechEncoderConfig, StarConfig
from stabench.systems.star.parts import build_parts
from tests.metrics.test_published import laion_names
from tests.systems.asr import tiny_whisper
from tests.systems.tta import (
    tiny_audioldm2,
    tiny_audit,
    tiny_meanaudio,
    tiny_stable_audio,
    tiny_tango2,
    tiny_tangoflux,
)
from tests.systems.tts.tiny_vits import tiny_vits
from tests.table2 import listeners
from tests.table2.whitening import whitened

HUBERT = SpeechEncoderConfig(
    width=32, layers=2, heads=2, ffn=64, position_kernel=16, position_groups=2
)
DAC = SpeechEncoderConfig(kind="dac", width=32, heads=2, codec_base=2, codec_books=2)
BRIDGE = BridgeConfig(
    layers=2, queries=8, width=32, heads=2, ffn=64, encoder_width=32, output_width=32
)
REST = {
    "udit": UDiTConfig(in_channels=8, width=32, heads=2, depth=4, lora_rank=4, context_width=32),
    "vae": VaeConfig(latent_channels=8, base=4),
    "sampler": SamplerConfig(steps=2),
}
WHISPER = tiny_whisper.TINY._replace(n_text_ctx=48)
"""Texts of 24 tokens at most: untrained, it does not always find an end."""
STEREO_FRAMES = 216
"""Of TangoFlux and Stable Audio Open: 10 s."""
STARS = {
    "star": StarConfig(HUBERT, BRIDGE, **REST),
    "star-nobridge": StarConfig(HUBERT, None, **REST),
    "star-dac": StarConfig(DAC, BRIDGE, **REST),
}
"""10 s at 24 kHz, as at full size."""


def write(folder: Path) -> None:
    """The entries of the catalogue that the suite needs, each in `folder`/<name>."""
    tiny_audioldm2.build(folder / "audioldm2")
    _write_words(folder / "audioldm2" / "tokenizer")
    tiny_tango2.write(folder)
    tiny_tangoflux.write(folder, frames=STEREO_FRAMES)
    tiny_stable_audio.write(folder, frames=STEREO_FRAMES)
    tiny_audit.write(folder)
    # Before the listeners: their CLAP takes the place of its own.
    tiny_meanaudio.write(folder)
    tiny_vits(folder / "vits-ljs", phonemize=True, as_of_2023=True)
    tiny_whisper.write(_file(folder, "whisper-base"), WHISPER)
    _write_listeners(folder)
    for name in ("audioldm2", "tango2", "flan-t5-large", "audit", "t5-base", "vits-ljs"):
        _complete(folder / name)


def write_stars(folder: Path) -> None:
    """STAR and its ablations, each in `folder`/<name>, as their training leaves them."""
    for name, config in STARS.items():
        write_config(folder / name, config)
        for part, network in build_parts(config, seed=1)._asdict().items():
            if network is not None:
                checkpoint.save_part(checkpoint.part_file(folder / name, part), network)


def _write_listeners(folder: Path) -> None:
    """VGGish, CNN14 and both CLAPs; one CLAP as LAION's file, one as transformers' folder."""
    vggish = whitened(_drawn(Vggish(listeners.VGGISH)))
    torch.save(vggish.state_dict(), _file(folder, "vggish"))
    tagger = {"iteration": 600000, "model": _drawn(Cnn14(listeners.CNN14)).state_dict()}
    torch.save(tagger, _file(folder, "cnn14-16k"))
    clap = _drawn(_clap(), seed=2)
    wrapped = {f"module.{name}": tensor for name, tensor in laion_names(clap).items()}
    torch.save({"epoch": 15, "state_dict": wrapped}, _file(folder, "clap-music-speech-audioset"))
    folders.save(folder / "clap-htsat-unfused", _drawn(_clap(), seed=11), listeners.CLAP)
    _write_roberta(folder / "clap-htsat-unfused")
    _complete(folder / "clap-htsat-unfused")


def _clap() -> nn.Module:
    from transformers import ClapConfig, ClapModel

    return ClapModel(ClapConfig.from_dict(json.loads(listeners.CLAP)))


def _write_roberta(folder: Path) -> None:
    """A byte-level BPE of RoBERTa's size that knows bytes alone."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizer

    known = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    size = listeners.TEXT["vocab_size"]
    filler = [f"filler{number}" for number in range(size - len(known) - 1)]
    numbers = {token: number for number, token in enumerate([*known, *filler, "<mask>"])}
    RobertaTokenizer(vocab=numbers, merges=[]).save_pretrained(folder)
    _write_words(folder)


def _write_words(folder: Path) -> None:
    """vocab.json and merges.txt, which transformers no longer writes beside tokenizer.json."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")


def _drawn(network: nn.Module, seed: int = 3) -> nn.Module:
    Seeded(lambda: network, seed).fill(network)
    return network.eval()


def _file(folder: Path, name: str) -> Path:
    """Where the only file of an entry lies; its folder is made."""
    path = folder / name / catalogue.entry(name).files[0].basename
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _complete(folder: Path) -> None:
    """Add the files of the hub that today's transformers neither writes nor reads."""
    for file in catalogue.entry(folder.name).files:
        path = folder / file.name
        if not any((folder / name).is_file() for name in (file.name, *file.instead)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if path.suffix == ".json" else "")
