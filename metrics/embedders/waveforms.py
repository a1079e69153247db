"""One clip on its way into a network: checked, and long enough.

Networks hear one clip at a time: oneDNN and MKL choose their kernels by shape, so a clip in a batch
of another size would get other last bits. With weights laid out at load it costs no time.
"""

import numpy as np


def check(waveforms: list[np.ndarray]) -> None:
    """Raises ValueError unless each is one mono clip of finite samples, not empty."""
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
    """The clip [N] as float32, zero-padded at its end to `minimum` samples."""
    samples = np.asarray(waveform, np.float32)
    return np.pad(samples, (0, max(0, minimum - len(samples))))
