"""A float32 WAV file in memory: the same samples give the same bytes, with no time stamp inside."""

import struct

import numpy as np

IEEE_FLOAT = 3
HEADER = struct.Struct("<4sI4s 4sIHHIIHHH 4sII 4sI")
"""RIFF, then the chunks fmt (18 bytes), fact (samples) and data (4 bytes a sample)."""


def encode(samples: np.ndarray, rate_hz: int) -> bytes:
    """`samples` float32 [T], mono, unclipped, as a RIFF WAVE file."""
    data = memoryview(np.ascontiguousarray(samples, "<f4")).cast("B")
    header = HEADER.pack(
        *(b"RIFF", HEADER.size - 8 + len(data), b"WAVE"),
        *(b"fmt ", 18, IEEE_FLOAT, 1, rate_hz, rate_hz * 4, 4, 32, 0),
        *(b"fact", 4, len(samples)),
        *(b"data", len(data)),
    )
    return b"".join((header, data))
