"""Speech encoders from folders of the transformers library: config.json and its file of tensors.

Published in this form are HuBERT-Large ll60k (`facebook/hubert-large-ll60k`), WavLM-Large
(`microsoft/wavlm-large`) and DAC at 24 kHz (`descript/dac_24khz`):

    config = encoder_config(folder)
    encoder = build_speech_encoder(config)
    fill_encoder(encoder, folder)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stabench.checkpoints.tensors import (
    CONFIG,
    NAMED,
    fill_network,
    find_tensors_file,
    read_json,
    read_tensors,
)
from stabench.systems.star.config import SpeechEncoderConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from stabench.systems.star.speech_encoder import CodecEncoder, SpeechEncoder

# Fields of SpeechEncoderConfig by the keys of a transformers config.json.
TRANSFORMER_FIELDS = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
    "num_conv_pos_embeddings": "position_kernel",
    "num_conv_pos_embedding_groups": "position_groups",
}
CODEC_FIELDS = {
    "hidden_size": "width",
    "encoder_hidden_size": "codec_base",
    "downsampling_ratios": "codec_strides",
    "n_codebooks": "codec_books",
    "sampling_rate": "codec_rate_hz",
}
FIELDS = {"hubert": TRANSFORMER_FIELDS, "wavlm": TRANSFORMER_FIELDS, "dac": CODEC_FIELDS}
# Keys without a field: STAR's encoders have one value of each, and most leave no trace in shapes.
TRANSFORMER_FIXED = (
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "conv_bias",
    "feat_extract_norm",
    "feat_extract_activation",
    "do_stable_layer_norm",
    "hidden_act",
    "layer_norm_eps",
)
FIXED = {
    "hubert": (*TRANSFORMER_FIXED, "feat_proj_layer_norm", "conv_pos_batch_norm"),
    "wavlm": (*TRANSFORMER_FIXED, "num_buckets", "max_bucket_distance", "add_adapter"),
    "dac": ("codebook_size", "codebook_dim"),
}
# Weight norm as PyTorch wrote it until 2.0, and as it does since: published files have the former.
OLD_NORM = ("weight_g", "weight_v")
NEW_NORM = ("parametrizations.weight.original0", "parametrizations.weight.original1")
# Replaces frames that training hides; STAR's encoders hide none.
MASK = "masked_spec_embed"


def encoder_config(folder: Path) -> SpeechEncoderConfig:
    """Return the shape of the encoder in a folder, as its config.json says.

    Waveforms are not normalised, as in STAR. Raises FileNotFoundError, and ValueError that names
    the file for a model that is none of STAR's encoders.
    """
    path, published = folder / CONFIG, _read_published(folder)
    kind = published.model_type
    values: dict[str, Any] = {"kind": kind}
    values |= {field: getattr(published, key) for key, field in FIELDS[kind].items()}
    if kind == "dac":
        values["codec_strides"] = tuple(values["codec_strides"])
        # The heads and layers of a transformer mean nothing to a codec; the width must divide.
        values["heads"] = 1
    try:
        return SpeechEncoderConfig(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def fill_encoder(encoder: "SpeechEncoder | CodecEncoder", folder: Path) -> None:
    """Give `encoder` the weights in a folder; every setting, name and shape must fit.

    The decoder of a codec and the head of a fine-tuned transformer are left alone. Raises
    FileNotFoundError, and ValueError that names the file and whatever does not fit.
    """
    _check_settings(encoder, folder)
    path = find_tensors_file(folder)
    tensors = _rename(read_tensors(path), encoder.config.kind)
    wanted: dict[str, Tensor] = encoder.model.state_dict()
    if MASK in wanted and MASK not in tensors:
        tensors[MASK] = torch.zeros(wanted[MASK].shape)
    fill_network(encoder.model, tensors, path)


def _read_published(folder: Path) -> "PreTrainedConfig":
    """Return config.json with the library's value for whatever it leaves out."""
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a folder of transformers has one")
    table = read_json(path)
    kind = table.get("model_type")
    if kind not in FIELDS:
        raise ValueError(
            f"{path}: model_type is {kind!r}, allowed are {', '.join(FIELDS)}; use the folder of "
            "one of STAR's encoders"
        )
    from transformers import DacConfig, HubertConfig, WavLMConfig

    classes: dict[str, Any] = {"hubert": HubertConfig, "wavlm": WavLMConfig, "dac": DacConfig}
    try:
        return classes[kind].from_dict(table)
    except Exception as error:
        # Which errors depends on the library's version: it checks what it was told to.
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path}: transformers refuses it ({first}); fetch it again") from error


def _check_settings(encoder: "SpeechEncoder | CodecEncoder", folder: Path) -> None:
    """Raise ValueError unless config.json asks for the network that `encoder` is."""
    published, kind = _read_published(folder), encoder.config.kind
    path = folder / CONFIG
    if published.model_type != kind:
        raise ValueError(
            f"{path}: model_type is {published.model_type!r}, but encoder.kind of this system is "
            f"{kind!r}; set encoder.kind, or use another folder"
        )
    network = encoder.model.config
    misfits, fields = [], []
    for key in (*FIELDS[kind], *FIXED[kind]):
        value, expected = (_plain(getattr(each, key, None)) for each in (published, network))
        if value != expected:
            misfits.append(f"{key} is {value!r} instead of {expected!r}")
            if key in FIELDS[kind]:
                fields.append(f"encoder.{FIELDS[kind][key]} = {value!r}")
    if misfits:
        # What has no field is not for a configuration to choose: another model is meant.
        advice = f"set {', '.join(fields)}, or use" if len(fields) == len(misfits) else "use"
        # A base model differs in ten: the advice behind them must not be cut off in a journal.
        more = f" and {len(misfits) - NAMED} more" if len(misfits) > NAMED else ""
        raise ValueError(
            f"{path}: not the {kind} of this system: {', '.join(misfits[:NAMED])}{more}; {advice} "
            "the folder of the encoder that this system has"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rename(tensors: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the encoder's own tensors by the names that its network has."""
    # A model with a head (for CTC, say) holds the encoder under its kind.
    prefix = f"{kind}."
    if any(name.startswith(prefix) for name in tensors):
        tensors = {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
    renamed = {}
    for name, value in tensors.items():
        if kind == "dac" and name.startswith("decoder."):
            continue
        for old, new in zip(OLD_NORM, NEW_NORM, strict=True):
            name = f"{name.removesuffix(old)}{new}" if name.endswith(f".{old}") else name
        renamed[name] = value
    return renamed
