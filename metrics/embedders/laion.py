"""CLAP checkpoints of LAION (`laion_clap`), under the names and sizes of transformers' ClapModel.

Every tensor is used, or is known to be of no use to the embedding, or is an error with its name.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stabench.metrics.embedders.clap import ClapFrontEnd
from stabench.metrics.embedders.cnn14 import Dft
from stabench.metrics.embedders.mel import slaney_bank

# What data-parallel training puts before every name.
WRAPPED = "module."
# Heads of other tasks, and index tensors that are computed.
UNUSED = re.compile(
    r"(text|audio)_transform\.|audio_branch\.(tscam_conv|head)\."
    r"|text_branch\.embeddings\.(position_ids|token_type_ids)$|.*\.attn_mask$"
)
FUSION = ("fusion_model", "mel_conv1d", "mel_conv2d")
FRONT_END = "audio_branch.spectrogram_extractor.", "audio_branch.logmel_extractor."
RENAMED = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"_projection\.0\.", "_projection.linear1."),
    (r"_projection\.2\.", "_projection.linear2."),
    (r"\.bn0\.", ".batch_norm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
QKV, PARTS = ".attention.self.qkv.", ("query", "key", "value")
# Of LayerNorm in roberta-base, which laion_clap builds; the port on the hub says 1e-12.
ROBERTA_EPS = 1e-5
KERNEL_TOLERANCE = 1e-5


def translate(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a file by ClapModel's names.

    Raises ValueError, KeyError for another file.
    """
    tensors = unwrapped(checkpoint)
    check_front_end(tensors)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not UNUSED.match(name) and not name.startswith(FRONT_END):
            renamed |= _rename(name, tensor)
    return renamed


def unwrapped(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict by laion_clap's names.

    Raises ValueError when it holds a fusion network.
    """
    state = checkpoint.get("state_dict", checkpoint)
    tensors = {name.removeprefix(WRAPPED): tensor for name, tensor in state.items()}
    fused = [name for name in tensors if any(part in name for part in FUSION)]
    if fused:
        raise ValueError(
            f"CLAP: tensor '{fused[0]}' belongs to a fusion network, expected an unfused "
            "checkpoint; use 630k-audioset-best.pt or music_speech_audioset_epoch_15_esc_89.98.pt"
        )
    return tensors


def config(width: int, depths: tuple[int, ...]) -> str:
    """Return ClapConfig's JSON of an HTSAT of `width` and `depths` beside roberta-base."""
    audio = {
        "patch_embeds_hidden_size": width,
        "hidden_size": width * 2 ** (len(depths) - 1),
        "depths": list(depths),
        "num_attention_heads": [4 * 2**stage for stage in range(len(depths))],
        "enable_fusion": False,
    }
    return json.dumps({"audio_config": audio, "text_config": {"layer_norm_eps": ROBERTA_EPS}})


def check_front_end(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError when the checkpoint was trained on another spectrogram than ours."""
    ours = ClapFrontEnd()
    bank = slaney_bank(ours.rate_hz, ours.window, ours.mels, ours.fmin, ours.fmax)
    expected = {f"{FRONT_END[1]}melW": torch.from_numpy(bank)}
    kernels = Dft(ours.window, ours.hop).state_dict().items()
    expected |= {f"{FRONT_END[0]}stft.{name}": kernel for name, kernel in kernels}
    for name in (name for name in tensors if name.startswith(FRONT_END)):
        tensor, kernel = tensors[name], expected.get(name)
        if (
            kernel is None
            or tensor.shape != kernel.shape
            or not (tensor - kernel).abs().max() < KERNEL_TOLERANCE
        ):
            raise ValueError(
                f"CLAP: tensor '{name}' differs from the front end of laion_clap's models "
                f"({ours.rate_hz} Hz, window {ours.window}, {ours.mels} mels from {ours.fmin:g} "
                f"to {ours.fmax:g} Hz); such a checkpoint cannot be used"
            )


def _rename(name: str, tensor: Tensor) -> dict[str, Tensor]:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    if QKV not in name:
        return {name: tensor}
    # laion_clap holds query, key and value as one tensor, transformers as three.
    blocks = tensor.chunk(len(PARTS))
    return {name.replace("qkv", part): block for part, block in zip(PARTS, blocks, strict=True)}
