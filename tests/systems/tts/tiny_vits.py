"""A tiny VITS in the layout of the hub, built from a seed."""

# ruff: noqa: RUF001 (IPA)

import json
import zlib
from pathlib import Path
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz '-"
IPA = "abdefhijklmnopstuvwzæðŋɐɑɔəɚɛɜɡɪɹɾʃʊʌʒʔˈˌː̩θᵻ ,."
RATE_HZ = 16_000


def tiny_vits(folder: Path, *, phonemize: bool = False, as_of_2023: bool = False) -> Path:
    """A voice in `folder`: config.json, tokenizer files, model.safetensors (176 KiB).

    `as_of_2023` names the weight-normed tensors as the published files do (weight_g, weight_v).
    """
    from transformers import VitsTokenizer

    model = _model(2 + len(IPA if phonemize else LETTERS))
    model.save_pretrained(folder)
    # The number 0 stands between the others; it is "_" in the published vocabularies too.
    symbols = ["_", *(IPA if phonemize else LETTERS), "<unk>"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}), "utf-8")
    tokenizer = VitsTokenizer(
        str(vocabulary), pad_token="_", unk_token="<unk>", phonemize=phonemize, language="eng"
    )
    tokenizer.save_pretrained(folder)
    if as_of_2023:
        _rename(folder / "model.safetensors")
    return folder


def _model(vocabulary: int) -> Any:
    import torch
    from transformers import VitsConfig, VitsModel

    config = VitsConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        duration_predictor_filter_channels=16,
        duration_predictor_num_flows=1,
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        upsample_initial_channel=32,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
        sampling_rate=RATE_HZ,
    )
    model = VitsModel(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            draw = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(draw.abs() if name.endswith("original0") else 0.1 * draw)
    return model


def _rename(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    old = {".parametrizations.weight.original0": ".weight_g"}
    old[".parametrizations.weight.original1"] = ".weight_v"
    tensors = load_file(path)
    renamed = {}
    for name, tensor in tensors.items():
        for new, past in old.items():
            name = name.replace(new, past)
        renamed[name] = tensor
    save_file(renamed, path, metadata={"format": "pt"})
