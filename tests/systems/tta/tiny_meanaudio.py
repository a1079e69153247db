"""A tiny MeanAudio in the layout of its hub repository, FLAN-T5, CLAP and RoBERTa beside it.

Names and shapes are listed here from the public code (xiquan-li/MeanAudio, commit 8740a3e), not
taken from our networks.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stabench.systems.tta.meanaudio import decoder, networks
from stabench.systems.tta.meanaudio.transformer import FluxConfig
from tests.systems.tta import tiny_t5
from tests.systems.tta.tiny_weights import draw

Shapes = dict[str, tuple[int, ...]]
HEADS, HEAD_WIDTH, JOINT, FUSED = 2, 8, 2, 2
CHANNELS, TEXT_WIDTH, TEXT_TOKENS, POOLED = 4, 32, 77, 12
MELS, VAE_WIDTH, VOCODER_WIDTH = 6, 8, 64
WORDS, CLAP_WIDTH = 50_265, 16
KERNELS, DILATIONS, UP_KERNELS = (3, 7, 11), 3, (8, 8, 4, 4, 4, 4)


def hidden(width: int) -> int:
    """Width inside a gated layer: 8/3 of its own, up to the next 256."""
    return -(-int(2 * 4 * width / 3) // 256) * 256


def transformer(
    heads: int = HEADS,
    head_width: int = HEAD_WIDTH,
    joint: int = JOINT,
    fused: int = FUSED,
    channels: int = CHANNELS,
    text_width: int = TEXT_WIDTH,
    pooled: int = POOLED,
) -> Shapes:
    """The parameters of networks.py's `MeanAudio`."""
    width = heads * head_width

    def conv(name: str, out: int, into: int, kernel: int, bias: bool = True) -> Shapes:
        shape = (out, into) if kernel == 1 else (out, into, kernel)
        return {f"{name}.weight": shape} | ({f"{name}.bias": (out,)} if bias else {})

    def gated(name: str, kernel: int) -> Shapes:
        sizes = {"w1": (hidden(width), width), "w2": (width, hidden(width))}
        sizes["w3"] = sizes["w1"]
        layers = [conv(f"{name}.{key}", *size, kernel, False) for key, size in sizes.items()]
        return {key: shape for layer in layers for key, shape in layer.items()}

    def block(name: str, kernel: int, pre_only: bool = False) -> Shapes:
        norms = {f"{name}.attn.{which}_norm.weight": (head_width,) for which in "qk"}
        shapes = conv(f"{name}.attn.qkv", 3 * width, width, 1) | norms
        if not pre_only:
            shapes |= conv(f"{name}.linear1", width, width, kernel) | gated(f"{name}.ffn", kernel)
        return shapes | conv(f"{name}.adaLN_modulation.1", (2 if pre_only else 6) * width, width, 1)

    shapes: Shapes = {
        "latent_mean": (1, 1, channels),
        "latent_std": (1, 1, channels),
        "empty_string_feat": (TEXT_TOKENS, text_width),
        "empty_string_feat_c": (pooled,),
    }
    shapes |= conv("audio_input_proj.0", width, channels, 7) | gated("audio_input_proj.2", 7)
    shapes |= conv("text_input_proj.0", width, text_width, 1) | gated("text_input_proj.1", 1)
    shapes |= conv("text_cond_proj.0", width, pooled, 1) | gated("text_cond_proj.1", 1)
    shapes |= conv("final_layer.adaLN_modulation.1", 2 * width, width, 1)
    shapes |= conv("final_layer.conv", channels, width, 7)
    for time in ("t_embed", "r_embed"):
        shapes |= conv(f"{time}.mlp.0", width, 256, 1) | conv(f"{time}.mlp.2", width, width, 1)
    for index in range(joint):
        shapes |= block(f"joint_blocks.{index}.latent_block", 3)
        shapes |= block(f"joint_blocks.{index}.text_block", 1, pre_only=index == joint - 1)
    for index in range(fused):
        shapes |= block(f"fused_blocks.{index}", 3)
    return shapes


def vae(mels: int = MELS, width: int = VAE_WIDTH, channels: int = CHANNELS) -> Shapes:
    """The tensors of ext/autoencoder/vae.py's `VAE`."""
    wide = 4 * width

    def resnet(name: str, into: int, out: int) -> Shapes:
        shapes: Shapes = {f"{name}.conv1.weight": (out, into, 3)}
        shapes[f"{name}.conv2.weight"] = (out, out, 3)
        return shapes | ({f"{name}.nin_shortcut.weight": (out, into, 1)} if into != out else {})

    shapes: Shapes = {"data_mean": (1, mels, 1), "data_std": (1, mels, 1)}
    for half, ends in {
        "encoder": ((width, mels), (2 * channels, wide)),
        "decoder": ((wide, channels), (mels, width)),
    }.items():
        shapes[f"{half}.learnable_gain"] = ()
        shapes[f"{half}.conv_in.weight"] = (*ends[0], 3)
        shapes[f"{half}.conv_out.weight"] = (*ends[1], 3)
        shapes |= resnet(f"{half}.mid.block_1", wide, wide)
        shapes |= resnet(f"{half}.mid.block_2", wide, wide)
        shapes[f"{half}.mid.attn_1.qkv.weight"] = (3 * wide, wide, 1)
        shapes[f"{half}.mid.attn_1.proj_out.weight"] = (wide, wide, 1)
    last = width
    for level, times in enumerate((1, 2, 4)):
        for index in range(2):
            shapes |= resnet(f"encoder.down.{level}.block.{index}", last, times * width)
            last = times * width
    for level, times in reversed(list(enumerate((1, 2, 4)))):
        for index in range(3):
            shapes |= resnet(f"decoder.up.{level}.block.{index}", last, times * width)
            last = times * width
    for index in (1, 2):
        shapes[f"encoder.down.0.downsample.conv{index}.weight"] = (width, width, 1)
    return shapes | {"decoder.up.1.upsample.conv.weight": (2 * width, 2 * width, 3)}


def vocoder(mels: int = MELS, width: int = VOCODER_WIDTH) -> Shapes:
    """The tensors of ext/bigvgan/models.py's `BigVGANVocoder`, but for its filters."""

    def normed(name: str, bias: int, *shape: int) -> Shapes:
        return {
            f"{name}.weight_g": (shape[0], 1, 1),
            f"{name}.weight_v": shape,
            f"{name}.bias": (bias,),
        }

    shapes = normed("conv_pre", width, width, mels, 7)
    for stage, kernel in enumerate(UP_KERNELS):
        shapes |= normed(f"ups.{stage}.0", width // 2, width, width // 2, kernel)
        width //= 2
        for place, size in enumerate(KERNELS):
            name = f"resblocks.{len(KERNELS) * stage + place}"
            for index in range(DILATIONS):
                for half in ("convs1", "convs2"):
                    shapes |= normed(f"{name}.{half}.{index}", width, width, width, size)
            for index in range(2 * DILATIONS):
                for part in ("alpha", "beta"):
                    shapes[f"{name}.activations.{index}.act.{part}"] = (width,)
    for part in ("alpha", "beta"):
        shapes[f"activation_post.act.{part}"] = (width,)
    return shapes | normed("conv_post", 1, 1, width, 7)


def clap() -> Shapes:
    """The text tower of laion_clap's model."""
    tower, width = "text_branch.", CLAP_WIDTH
    shapes: Shapes = {f"{tower}embeddings.word_embeddings.weight": (WORDS, width)}
    shapes[f"{tower}embeddings.position_embeddings.weight"] = (90, width)
    shapes[f"{tower}embeddings.token_type_embeddings.weight"] = (1, width)
    layer = f"{tower}encoder.layer.0."
    linear = {f"{layer}attention.self.{name}": (width, width) for name in ("query", "key", "value")}
    linear |= {f"{layer}attention.output.dense": (width, width)}
    linear |= {f"{layer}intermediate.dense": (24, width), f"{layer}output.dense": (width, 24)}
    linear |= {f"{tower}pooler.dense": (width, width)}
    linear |= {"text_projection.0": (POOLED, width), "text_projection.2": (POOLED, POOLED)}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in (
        f"{tower}embeddings.LayerNorm",
        f"{layer}attention.output.LayerNorm",
        f"{layer}output.LayerNorm",
    ):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def tensors(shapes: Shapes) -> dict[str, Tensor]:
    """Pseudo-random values by name; statistics of latents and mels are near 0 and 1."""
    state = draw(" ".join([name, *map(str, shape or (1,))]) for name, shape in shapes.items())
    state = {name: value.reshape(shapes[name]) for name, value in state.items()}
    for name in state:
        if name in ("latent_mean", "data_mean"):
            state[name] = 0.1 * state[name]
        if name in ("latent_std", "data_std"):
            state[name] = 1 + 0.1 * state[name]
    return state


def filters(names: dict[str, Tensor]) -> dict[str, Tensor]:
    """The low-pass filters that the file of the vocoder holds beside every activation."""
    kernel = kaiser_sinc()
    places = {name.removesuffix(".act.alpha") for name in names if name.endswith(".act.alpha")}
    ends = ("upsample.filter", "downsample.lowpass.filter")
    return {f"{place}.{end}": kernel for place in places for end in ends}


def kaiser_sinc() -> Tensor:
    """[1, 1, 12]: the sinc of a quarter of the rate under a Kaiser window, of sum 1."""
    # 7.95 + 2.285 (taps / 2 - 1) pi times the width of the transition; Kaiser's beta for it.
    attenuation = 2.285 * 5 * np.pi * 4 * 0.3 + 7.95
    beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    taps = np.kaiser(12, beta) * np.sinc(0.5 * (np.arange(12) - 5.5))
    return torch.from_numpy((taps / taps.sum()).astype(np.float32))[None, None]


def write(home: Path) -> Path:
    """Every entry that the small model needs, each in `home`/<its name>."""
    sound = home / "meanaudio-sound"
    _save(home / "meanaudio-s" / "meanaudio_s_full.pth", tensors(transformer()))
    _save(sound / "v1-16.pth", tensors(vae()))
    voice = tensors(vocoder())
    _save(sound / "best_netG.pt", {"generator": voice | filters(voice)})
    tower = {f"module.{name}": value for name, value in tensors(clap()).items()}
    # The file is of the whole model: its audio tower is not MeanAudio's.
    tower["module.audio_branch.head.weight"] = torch.zeros(2, 2)
    path = home / "clap-music-speech-audioset" / "music_speech_audioset_epoch_15_esc_89.98.pt"
    _save(path, {"epoch": 15, "state_dict": tower})
    write_roberta(home / "roberta-base")
    if not (home / "flan-t5-large").exists():
        tiny_t5.write(home / "flan-t5-large")
    return home


def write_roberta(folder: Path) -> None:
    """A byte-level BPE of RoBERTa's size that knows bytes alone."""
    from tokenizers.pre_tokenizers import ByteLevel

    known = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    filler = [f"filler{number}" for number in range(WORDS - len(known) - 1)]
    numbers = {token: number for number, token in enumerate([*known, *filler, "<mask>"])}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Give random weights small sizes, for as long as `patch` holds."""
    flux = FluxConfig(heads=2, head_width=8, joint=2, fused=1, text_width=32, pooled_width=12)
    t5 = tiny_t5.SIZES | {"vocab_size": 100, "feed_forward_proj": "gated-gelu"}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    text |= {"intermediate_size": 16, "projection_dim": 12}
    patch.setitem(networks.SIZES, "s", flux)
    patch.setattr(networks, "FLAN_T5_LARGE", t5)
    patch.setattr(networks, "CLAP_TEXT", networks.CLAP_TEXT | text)
    patch.setitem(decoder.VAE, "hidden_channels", 8)
    patch.setitem(decoder.VOCODER, "upsample_initial_channel", 64)


def _save(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
