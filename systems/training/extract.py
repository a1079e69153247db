"""What makes features of a clip: speech encoders, caption encoders, the VAE's posterior.

Registered by name, as kinds `encoders` and `autoencoders`; `stabench prepare` keeps what they make.
Any class with the members of Extractor can be one. Everything is computed in float32, without TF32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stabench.checkpoints import catalogue, store
from stabench.checkpoints.digests import digest
from stabench.checkpoints.random_weights import allocate, as_torch, hollow, randomise
from stabench.checkpoints.tensors import CONFIG, find_tensors_file
from stabench.systems.networks.config import VaeConfig, to_dict
from stabench.systems.networks.ezaudio_weights import VAE_CONFIG, read_vae, vae_config, vae_file
from stabench.systems.networks.vae import WaveformVae
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.published_encoder import encoder_config, fill_encoder
from stabench.systems.star.speech_encoder import build_speech_encoder
from stabench.systems.training.device import tf32
from stabench.systems.tta.latent_diffusion.prompt import Reader, TokenizerFolder, read_t5

RANDOM = "random"
# What `hear` gets: speech or recordings, float32 [N] at `rate_hz`, or captions.
Reads = Literal["speech", "captions", "recordings"]
Clip = Any


class Extractor(Protocol):
    """One network that features are made with; its options are its keyword arguments."""

    reads: Reads
    rate_hz: int
    # Clips in a batch; `equal`: only those of equal length, for padding would change them.
    batch: int
    equal: bool

    def provenance(self) -> dict[str, Any]:
        """Return the options, and the sha256 of the weights, without building the network.

        Raises FileNotFoundError for weights that are not there, ValueError for wrong ones.
        """

    def load(self, device: str) -> None:
        """Build the network; raises as `provenance` does."""

    def encode(self, clips: Sequence[Clip]) -> list[tuple[np.ndarray, ...]]:
        """Return float32 arrays of each clip: frames [T, W], or mean and std [C, T]."""


class SpeechFrames:
    """The last layer of HuBERT or WavLM, or DAC's quantised sum, of 16 kHz speech (spec, 2).

    `weights` is a folder of transformers, weights of the catalogue by name, or "random": the
    published size with the random numbers of `seed`, to see what it costs.
    """

    reads: ClassVar[Reads] = "speech"
    batch, equal = 8, False

    def __init__(
        self, kind: str, weights: str, normalize_waveform: bool = False, seed: int = 0
    ) -> None:
        self.kind, self.weights, self.seed = kind, weights, seed
        self.normalize_waveform = normalize_waveform
        self.rate_hz = SpeechEncoderConfig().speech_rate_hz
        self._network: Any = None

    def provenance(self) -> dict[str, Any]:
        """See Extractor."""
        weights: Any = f"{RANDOM} {self.seed}"
        if self.weights != RANDOM:
            folder = _locate(self.weights)
            files = (folder / CONFIG, find_tensors_file(folder))
            weights = _compute_digests(files)
        return {"config": to_dict(self._read_config()), "weights": weights}

    def load(self, device: str) -> None:
        """See Extractor."""
        network = hollow(lambda: build_speech_encoder(self._read_config()))
        if self.weights == RANDOM:
            randomise(network, as_torch(self.seed, "speech_encoder."))
        else:
            fill_encoder(allocate(network), _locate(self.weights))
        self._network = _settle(network.fuse(), device)

    @torch.inference_mode()
    def encode(self, clips: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
        """Return frames float32 [T, W] of each clip; padding changes none of them."""
        waveforms = nn.utils.rnn.pad_sequence([torch.from_numpy(c) for c in clips], True)
        lengths = torch.tensor([len(samples) for samples in clips])
        device = next(self._network.parameters()).device
        with tf32(allowed=False):
            frames, mask = self._network(waveforms.to(device), lengths.to(device))
        rows = zip(frames.cpu(), mask.cpu(), strict=True)
        return [(row[inside].numpy(),) for row, inside in rows]

    def _read_config(self) -> SpeechEncoderConfig:
        values: dict[str, Any] = {"normalize_waveform": self.normalize_waveform}
        if self.weights == RANDOM:
            return SpeechEncoderConfig(kind=self.kind, **values)  # type: ignore[arg-type]
        folder = _locate(self.weights)
        config = encoder_config(folder)
        if config.kind != self.kind:
            raise ValueError(
                f"{folder / CONFIG}: a {config.kind}, expected a {self.kind}; name the encoder "
                f'"{config.kind}", or give other weights'
            )
        return SpeechEncoderConfig(**{**vars(config), **values})


def hubert(
    weights: str = "hubert-large-ll60k", normalize_waveform: bool = False, seed: int = 0
) -> SpeechFrames:
    """Return STAR's encoder, HuBERT-Large ll60k; STAR feeds it waveforms as they are."""
    return SpeechFrames("hubert", weights, normalize_waveform, seed)


def wavlm(weights: str = "wavlm-large", seed: int = 0) -> SpeechFrames:
    """Return WavLM-Large, which normalises waveforms itself."""
    return SpeechFrames("wavlm", weights, seed=seed)


def dac(weights: str = "dac-24khz", seed: int = 0) -> SpeechFrames:
    """Return Descript's codec at 24 kHz."""
    return SpeechFrames("dac", weights, seed=seed)


class FlanT5:
    """FLAN-T5's states of a caption [L, W], its end token among them, without padding."""

    reads: ClassVar[Reads] = "captions"
    rate_hz, batch, equal = 0, 1, False

    def __init__(self, weights: str = "flan-t5-large", tokens: int = 100) -> None:
        self.weights, self.tokens = weights, tokens
        self._reader: Any = None

    def provenance(self) -> dict[str, Any]:
        """See Extractor."""
        folder = _locate(self.weights)
        names = (CONFIG, "tokenizer.json", "tokenizer_config.json")
        files = [*(folder / name for name in names), find_tensors_file(folder)]
        return {"tokens": self.tokens, "weights": _compute_digests(files)}

    def load(self, device: str) -> None:
        """See Extractor."""
        folder = _locate(self.weights)
        tokenize = TokenizerFolder(folder, self.tokens)
        self._reader = Reader(tokenize, read_t5(folder)).to(device, "float32")

    @torch.inference_mode()
    def encode(self, clips: Sequence[str]) -> list[tuple[np.ndarray, ...]]:
        """Return states float32 [L, W] of each caption."""
        tokenize, encoder = self._reader
        states: list[tuple[np.ndarray, ...]] = []
        with tf32(allowed=False):
            for caption in clips:
                ids = tokenize(caption).ids.to(encoder.device)
                states.append((encoder(input_ids=ids).last_hidden_state[0].cpu().numpy(),))
        return states


class VaeLatents:
    """The posterior of EzAudio's VAE over whole latent frames, normalised for training (spec, 4).

    Recordings are 24 kHz mono, neither cropped nor made louder (spec, 8): the latents are N // 480.
    `weights` is EzAudio's file or folder, weights of the catalogue by name, or "random".
    """

    reads: ClassVar[Reads] = "recordings"
    # A batch of 10 s takes 1 GB for each of the first layers' outputs on a clip of eight.
    batch, equal = 2, True

    def __init__(self, weights: str = "ezaudio-vae", seed: int = 0) -> None:
        self.weights, self.seed = weights, seed
        self._network: Any = None
        self._config = VaeConfig()
        if weights != RANDOM:
            beside = self._find_file().with_name(VAE_CONFIG)
            self._config = vae_config(beside) if beside.is_file() else self._config
        self.rate_hz = self._config.sample_rate_hz

    def provenance(self) -> dict[str, Any]:
        """See Extractor."""
        weights: Any = f"{RANDOM} {self.seed}"
        if self.weights != RANDOM:
            weights = _compute_digests([self._find_file()])
        return {"config": to_dict(self._config), "weights": weights}

    def load(self, device: str) -> None:
        """See Extractor."""
        vae = hollow(lambda: WaveformVae(self._config))
        if self.weights == RANDOM:
            randomise(vae, as_torch(self.seed, "vae."))
        else:
            path = self._find_file()
            vae = allocate(vae)
            vae.load_state_dict(read_vae(path, vae))
        self._network = _settle(vae.fuse(), device)

    @torch.inference_mode()
    def encode(self, clips: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
        """Return mean and std float32 [C, N // hop] of each clip; all clips are equally long."""
        vae = self._network
        waveforms = torch.from_numpy(np.stack(clips))[:, None].to(vae.latent_mean.device)
        steps = waveforms.shape[-1] // vae.hop
        with tf32(allowed=False):
            mean, std = vae.encode(waveforms)
        # A last frame that a sound fills in part is left out, as the reference's mask does.
        mean, std = vae.normalise(mean)[..., :steps], (std / vae.latent_std[:, None])[..., :steps]
        return list(zip(_to_arrays(mean), _to_arrays(std), strict=True))

    def _find_file(self) -> Path:
        path = vae_file(_locate(self.weights))
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give EzAudio's VAE, 1m.pt")
        return path


def _locate(weights: str) -> Path:
    """Return a path as it is, or where the weights of that name lie, once they are verified."""
    path = Path(weights)
    if path.exists() or weights not in catalogue.entries():
        if not path.exists():
            names = ", ".join(catalogue.entries())
            raise FileNotFoundError(f"weights '{weights}': no such file or folder; known: {names}")
        return path
    entry = catalogue.entry(weights)
    place = store.locate(weights)
    store.verify(place, entry)
    return place


def _compute_digests(files: Sequence[Path]) -> dict[str, str]:
    return {path.name: digest(path) for path in files}


def _settle(network: Any, device: str) -> Any:
    return network.eval().requires_grad_(False).to(device)


def _to_arrays(values: Tensor) -> list[np.ndarray]:
    return list(values.float().cpu().numpy())
