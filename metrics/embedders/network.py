"""What the embedders share: where the weights are from, what decides the result, how it is run."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from stabench.metrics.contract import Precision
from stabench.metrics.embedders.weight_sources import Source

# Rises when the same weights and settings would give other features.
VERSION = 1


class NetworkEmbedder:
    """Half of `metrics.contract.Embedder`; a subclass adds `rate_hz`, `settings`, `embed`."""

    precision: Precision = "float32"
    _device = "cpu"

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def origin(self) -> str:
        return self.source.origin

    @property
    def licence(self) -> str:
        return self.source.licence

    @cached_property
    def sha256(self) -> str:
        return self.source.sha256

    @property
    def examinations(self) -> Path | None:
        """Return the folder of its examinations as a judge, where the weights may bring some."""
        return getattr(self.source, "examinations", None)

    @property
    def identity(self) -> str:
        """Return the hex digest of the weights and of every setting that changes a feature."""
        parts = {
            "version": VERSION,
            # So a renamed class has other identities, and kept features are not found.
            "kind": type(self).__name__,
            "sha256": self.sha256,
            "precision": self.precision,
            "settings": self.settings(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """Return what changes the result beside the weights, in values of JSON."""
        raise NotImplementedError

    def load(self, device: str, precision: Precision | None = None) -> None:
        """Read the weights. Raises FileNotFoundError, or ValueError for what does not fit."""
        self.precision = check_precision(precision or self.precision)
        self._device = device
        with torch.inference_mode(), exact():
            self._build()

    def _build(self) -> None:
        raise NotImplementedError

    @contextmanager
    def _mixed(self) -> Iterator[None]:
        """Compute in bfloat16 where that was asked for."""
        wanted = self.precision == "bfloat16"
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=wanted):
            yield


def check_precision(precision: str) -> Precision:
    """Raise ValueError unless it is one of `Precision`."""
    known: tuple[Precision, ...] = get_args(Precision)
    if precision not in known:
        allowed = " or ".join(f"'{name}'" for name in known)
        raise ValueError(f"precision is '{precision}', expected {allowed}")
    return precision


@contextmanager
def exact() -> Iterator[None]:
    """Forbid TF32, which cuDNN uses by default, and ask for the same kernels at every call."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with cudnn.flags(
            enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        matmul.allow_tf32 = before


def check(waveforms: list[np.ndarray]) -> None:
    """Raise ValueError unless each is one mono clip of finite samples, not empty."""
    for index, waveform in enumerate(waveforms):
        if waveform.ndim != 1 or not len(waveform):
            raise ValueError(
                f"waveform {index}: shape is {waveform.shape}, expected [samples]; "
                "give one mono clip that is not empty"
            )
        if not np.isfinite(waveform).all():
            raise ValueError(
                f"waveform {index}: holds NaN or infinity, expected finite samples; "
                "score the clip as failed"
            )


def padded(waveform: np.ndarray, minimum: int) -> np.ndarray:
    """Return the clip [N] as float32, zero-padded at its end to `minimum` samples."""
    samples = np.asarray(waveform, np.float32)
    return np.pad(samples, (0, max(0, minimum - len(samples))))
