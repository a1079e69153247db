"""The networks of the papers, by name; `weights` says where their tensors come from.

"published": the author's file, where `checkpoints.store` finds it. "random": full size and seeded,
valid for speed, never for quality. Anything else: a path to such a file or folder.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stabench.metrics.embedders.clap import ClapEmbedder
    from stabench.metrics.embedders.cnn14 import Cnn14Config, Cnn14Tagger
    from stabench.metrics.embedders.tokens import Tokenizer
    from stabench.metrics.embedders.vggish import Pca, VggishEmbedder
    from stabench.metrics.embedders.weight_sources import Source

PUBLISHED, RANDOM = "published", "random"
PCA_FILE = "vggish_pca_params-970ea276.pth"
# Width and depths of the audio branch of 630k-audioset-best and of music_speech_audioset.
TINY, BASE = (96, (2, 2, 6, 2)), (128, (2, 2, 12, 2))
# PANNs numbers its classes as AudioSet's class_labels_indices.csv does; names are not in it.
AUDIOSET = tuple(str(index) for index in range(527))


class Origin(NamedTuple):
    """A file or folder, what it is called in the provenance, and its licence."""

    path: Path
    origin: str
    licence: str


def vggish(weights: str = PUBLISHED) -> "VggishEmbedder":
    """Return the embedding of FAD, as every FAD tool takes it: no PCA, no last ReLU."""
    from stabench.metrics.embedders.vggish import VggishConfig, VggishEmbedder

    return VggishEmbedder(_choose_vggish(weights), VggishConfig())


def vggish_pca(weights: str = PUBLISHED) -> "VggishEmbedder":
    """Return VGGish as AudioSet released it: last ReLU, PCA with whitening, 8-bit steps.

    The PCA parameters lie beside a `weights` file under their published name.
    """
    from stabench.metrics.embedders.vggish import VggishConfig, VggishEmbedder

    return VggishEmbedder(_choose_vggish(weights), VggishConfig(), _read_pca(weights))


def cnn14_16k(weights: str = PUBLISHED) -> "Cnn14Tagger":
    """Return FD, KL and IS of the papers: PANNs CNN14 at 16 kHz.

    Classes are numbered, not named.
    """
    from stabench.metrics.embedders.cnn14 import Cnn14Config

    return _build_cnn14("cnn14-16k", weights, Cnn14Config())


def cnn14_32k(weights: str = PUBLISHED) -> "Cnn14Tagger":
    """Return PANNs CNN14 at 32 kHz, the same network behind another front end."""
    from stabench.metrics.embedders.cnn14 import Cnn14Config

    config = Cnn14Config(rate_hz=32000, window=1024, hop=320, fmin=50, fmax=14000)
    return _build_cnn14("cnn14-32k", weights, config)


def clap_630k(weights: str = PUBLISHED) -> "ClapEmbedder":
    """Return LAION-CLAP 630k-audioset-best: the author's file, or else transformers' port of it.

    LayerNorm of the port's text branch has another epsilon (1e-12 for 1e-5): their identities
    differ, and so do their last digits.
    """
    names = ("clap-630k-audioset-best", "clap-htsat-unfused")
    return _build_clap(names, weights, TINY)


def clap_music_speech(weights: str = PUBLISHED) -> "ClapEmbedder":
    """Return LAION-CLAP music_speech_audioset_epoch_15_esc_89.98, with the larger HTSAT-base."""
    return _build_clap(("clap-music-speech-audioset",), weights, BASE)


def _choose_vggish(weights: str) -> "Source":
    from stabench.metrics.embedders.vggish import Vggish, VggishConfig

    return _choose_source(("vggish",), weights, dict, lambda: Vggish(VggishConfig()))


def _read_pca(weights: str) -> "Pca":
    """Return the PCA parameters that go with `weights`. Raises FileNotFoundError, ValueError."""
    import torch

    from stabench.metrics.embedders import weights as store
    from stabench.metrics.embedders.vggish import Pca, VggishConfig

    size = VggishConfig().embedding
    if weights == RANDOM:
        generator = torch.Generator().manual_seed(0)
        components = torch.randn(size, size, generator=generator) / size**0.5
        return Pca(components, torch.zeros(size), "random, seed 0")
    if weights == PUBLISHED:
        path = located(("vggish-pca",)).path
    else:
        path = Path(weights).parent / PCA_FILE
    return Pca(*_read_pca_tensors(path, size), store.sha256(_require(path)))


def _read_pca_tensors(path: Path, size: int) -> "tuple[Tensor, Tensor]":
    import torch

    from stabench.checkpoints.tensors import read_torch

    content = read_torch(_require(path))
    try:
        components = torch.as_tensor(content["pca_eigen_vectors"], dtype=torch.float32)
        means = torch.as_tensor(content["pca_means"], dtype=torch.float32).flatten()
        if components.shape != (size, size) or means.shape != (size,):
            raise KeyError(f"of size {size}")
    except KeyError as error:
        raise ValueError(
            f"{path}: holds {', '.join(content)}, expected pca_eigen_vectors [{size}, {size}] and "
            f"pca_means [{size}]; fetch {PCA_FILE}"
        ) from error
    return components, means


def _build_cnn14(name: str, weights: str, config: "Cnn14Config") -> "Cnn14Tagger":
    from stabench.metrics.embedders.cnn14 import Cnn14, Cnn14Tagger

    def model(checkpoint: Mapping[str, Any]) -> "Mapping[str, Tensor]":
        return checkpoint["model"]

    source = _choose_source((name,), weights, model, lambda: Cnn14(config))
    return Cnn14Tagger(source, config, AUDIOSET, ())


def _build_clap(
    names: tuple[str, ...], weights: str, size: tuple[int, tuple[int, ...]]
) -> "ClapEmbedder":
    from stabench.metrics.embedders import laion
    from stabench.metrics.embedders import weights as store
    from stabench.metrics.embedders.clap import ClapEmbedder
    from stabench.metrics.embedders.tokens import StandInTokens
    from stabench.metrics.embedders.weight_sources import Folder, Published, Seeded

    config = laion.config(*size)
    if weights == RANDOM:
        return ClapEmbedder(
            Seeded(lambda: _build_clap_model(config)), StandInTokens(), None, config
        )
    place = located(names) if weights == PUBLISHED else _find_own(weights)
    tokens = _choose_tokenizer(place.path)
    if place.path.is_dir():
        return ClapEmbedder(Folder(*place), tokens, None, store.config_text(place.path))
    source = Published(place.path, laion.translate, place.origin, place.licence)
    return ClapEmbedder(source, tokens, None, config)


def _build_clap_model(config: str) -> "nn.Module":
    import json

    from transformers import ClapConfig, ClapModel

    return ClapModel(ClapConfig.from_dict(json.loads(config)))


def _choose_tokenizer(weights: Path) -> "Tokenizer":
    """Return RoBERTa's files beside the weights, or those of roberta-base."""
    from stabench.metrics.embedders.tokens import FILES, RobertaTokens

    beside = weights if weights.is_dir() else weights.parent
    whole = all((beside / name).is_file() for name in FILES)
    return RobertaTokens(beside if whole else located(("roberta-base",)).path)


def _choose_source(
    names: tuple[str, ...],
    weights: str,
    translate: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    build: Callable[[], "nn.Module"],
) -> "Source":
    from stabench.metrics.embedders.weight_sources import Published, Seeded

    if weights == RANDOM:
        return Seeded(build)
    place = located(names) if weights == PUBLISHED else _find_own(weights)
    return Published(place.path, translate, place.origin, place.licence)


def located(names: tuple[str, ...]) -> Origin:
    """Return the first that is there, checked by its sha256.

    Raises FileNotFoundError, of the first, when none is there; ValueError for a file that is not
    the published one.
    """
    from stabench.checkpoints.catalogue import entry
    from stabench.checkpoints.store import locate, verify

    missing = None
    for name in names:
        try:
            path = locate(name)
        except FileNotFoundError as error:
            # The first name is the file to fetch, so its error is the one to show.
            missing = missing or error
            continue
        verify(path, entry(name))
        return Origin(path, f"{PUBLISHED}: {name}", entry(name).licence)
    assert missing is not None, "no names"
    raise missing


def _find_own(weights: str) -> Origin:
    path = _require(Path(weights))
    return Origin(path, f"own file {path.name}", "unknown")


def _require(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(
            f"weights '{path}' are missing; give '{PUBLISHED}', '{RANDOM}' or the path of a file"
        )
    return path
