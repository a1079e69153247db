"""An AudioLDM 2 on disk in the layout of the hub: one subfolder a part, and model_index.json."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stabench.checkpoints.tensors import read_json

# The subfolder of a network and the classes that may have written it; the first one reads it.
# The published folder says GPT2Model, whose weights are those of GPT2LMHeadModel: its head is tied
# to the token embedding.
NETWORKS = {
    "text_encoder": ("ClapModel",),
    "text_encoder_2": ("T5EncoderModel",),
    "projection_model": ("AudioLDM2ProjectionModel",),
    "language_model": ("GPT2LMHeadModel", "GPT2Model"),
    "unet": ("AudioLDM2UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "vocoder": ("SpeechT5HifiGan",),
}
# The networks that only `generate` needs.
SOUND = ("unet", "vae", "vocoder")
OTHERS = {
    "tokenizer": ("RobertaTokenizerFast", "RobertaTokenizer"),
    "tokenizer_2": ("T5TokenizerFast", "T5Tokenizer"),
    "feature_extractor": ("ClapFeatureExtractor",),
    "scheduler": ("DDIMScheduler",),
}


class AudioLdm2Parts(NamedTuple):
    """The loaded parts by the names of AudioLDM2Pipeline, so that `_asdict()` builds one.

    Those of SOUND are None until they are drawn, where weights are random.
    """

    text_encoder: Any
    text_encoder_2: Any
    projection_model: Any
    language_model: Any
    unet: Any
    vae: Any
    vocoder: Any
    tokenizer: Any
    tokenizer_2: Any
    feature_extractor: Any
    scheduler: Any


def reader(part: str) -> type[Any]:
    """The class that reads or builds a part, imported from where it lives."""
    import diffusers
    import transformers

    name = (NETWORKS | OTHERS)[part][0]
    library = transformers if hasattr(transformers, name) else diffusers
    return getattr(library, name)


INDEX, PIPELINE = "model_index.json", "AudioLDM2Pipeline"
DIFFUSERS = ("projection_model", "unet", "vae")
# A part without weights and its files, of which it needs one.
SIDE_FILES = {
    "tokenizer": ("tokenizer.json", "vocab.json"),
    "tokenizer_2": ("tokenizer.json", "spiece.model"),
    "feature_extractor": ("preprocessor_config.json",),
    "scheduler": ("scheduler_config.json",),
}
# The ends of keys that only some versions wrote; the networks compute them.
DERIVED = (
    "position_ids",
    "token_type_ids",
    "relative_position_index",
    "attn.bias",
    "attn.masked_bias",
)


def read(folder: Path, dtype: Any) -> AudioLdm2Parts:
    """Every part on the CPU, networks evaluating and in `dtype` (a torch.dtype).

    T5 keeps its output projections in float32 where `dtype` is float16, as transformers does.
    Raises FileNotFoundError for a missing file, ValueError for a wrong class in model_index.json, a
    truncated or foreign safetensors file, and missing, surplus or misshapen tensors; the message
    names the file.
    """
    check(folder)
    with _no_progress_bars():
        networks = {part: _load_network(folder, part, dtype) for part in NETWORKS}
    others = {
        part: reader(part).from_pretrained(str(folder / part), local_files_only=True)
        for part in OTHERS
    }
    return AudioLdm2Parts(**networks, **others)


def check(folder: Path) -> None:
    """Whether the folder is whole, by names, classes and the headers of its tensor files."""
    from safetensors import SafetensorError, safe_open

    _check_classes(folder)
    for part in NETWORKS:
        _require(folder, part, ("config.json",))
        path = weights_file(folder, part)
        try:
            # Opening reads the header alone, which tells a truncated file by its size.
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            raise ValueError(
                f"{path}: truncated, or no safetensors file ({error}); delete it and fetch it again"
            ) from error
    for part, names in SIDE_FILES.items():
        _require(folder, part, names)


def weights_file(folder: Path, part: str) -> Path:
    """The tensors of a network; FileNotFoundError when they are not there."""
    name = "diffusion_pytorch_model.safetensors" if part in DIFFUSERS else "model.safetensors"
    return _require(folder, part, (name,))


def _require(folder: Path, part: str, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / part / name).is_file():
            return folder / part / name
    raise FileNotFoundError(
        f"{folder / part / names[0]}: no such file; an AudioLDM 2 folder needs it: run "
        "stabench weights fetch, or give weights = 'random' for latency"
    )


def _check_classes(folder: Path) -> None:
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give the folder of an AudioLDM 2, run stabench weights fetch, "
            "or give weights = 'random' for latency"
        )
    index = read_json(path)
    _expect(path, "_class_name", index.get("_class_name"), (PIPELINE,))
    for part, allowed in (NETWORKS | OTHERS).items():
        # A part is [library, class] in the index, and the pipeline itself a bare class.
        entry = index.get(part)
        _expect(path, part, entry[-1] if isinstance(entry, list) and entry else entry, allowed)


def _expect(path: Path, part: str, written: Any, allowed: tuple[str, ...]) -> None:
    if written not in allowed:
        raise ValueError(
            f"{path}: '{part}' is {written!r}, expected {' or '.join(allowed)}; give the folder of "
            "an AudioLDM 2 for sound (cvssp/audioldm2 or audioldm2-large)"
        )


def _load_network(folder: Path, part: str, dtype: Any) -> Any:
    options = {"low_cpu_mem_usage": False} if part in DIFFUSERS else {}
    network, report = reader(part).from_pretrained(
        str(folder / part),
        local_files_only=True,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        # So that _refuse_differences names the tensors, in words of our own.
        ignore_mismatched_sizes=True,
        **options,
    )
    _refuse_differences(weights_file(folder, part), report)
    return network.eval()


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """transformers draws one for every network."""
    from transformers.utils import logging

    with_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if with_bars:
            logging.enable_progress_bar()


def _refuse_differences(path: Path, report: dict[str, Any]) -> None:
    """ValueError for the first tensor that the file and its config do not agree on.

    The libraries warn of some of these and fill the gaps with random numbers.
    """
    for kind in ("mismatched", "missing", "unexpected"):
        rows = report.get(f"{kind}_keys") or ()
        # A mismatched tensor comes with its two shapes, behind its name.
        keys = sorted(row if isinstance(row, str) else row[0] for row in rows)
        keys = [key for key in keys if not key.endswith(DERIVED)]
        if keys:
            raise ValueError(
                f"{path}: {len(keys)} {kind} tensors, first {keys[0]!r}; use the config.json that "
                "was published with it"
            )
