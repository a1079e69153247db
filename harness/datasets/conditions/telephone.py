"""The telephone: a band of 4 kHz, G.711 in both laws, an overloaded input."""

from math import gcd

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    Family,
    Heard,
    Number,
    Setting,
    Speech,
    Surroundings,
    find_active,
    from_int16,
    share,
    to_int16,
)

LINE_HZ = 8_000
# The longest step between two rates: more would need filters of over a hundred megabytes.
LARGEST_FACTOR = 100_000


def encode_mulaw(samples: np.ndarray) -> np.ndarray:
    """Return 16-bit integers as the bytes of G.711 mu-law (ITU-T G.711, table 2).

    The lowest two bits are cut towards zero, 33 is added, and of what the magnitude is then (up to
    13 bits) the place of its highest bit and the four bits below it are kept, inverted.
    """
    magnitude = np.minimum((np.abs(samples.astype(np.int32)) >> 2) + 33, 8_191)
    segment = _find_segment(magnitude >> 6)
    byte = (segment << 4) | ((magnitude >> (segment + 1)) & 15)
    return (np.where(samples < 0, 0x7F, 0xFF) ^ byte).astype(np.uint8)


def decode_mulaw(codes: np.ndarray) -> np.ndarray:
    """Return the 16-bit integers that the bytes of mu-law stand for."""
    byte = ~codes.astype(np.int32) & 0xFF
    magnitude = ((2 * (byte & 15) + 33) << ((byte >> 4) & 7)) - 33
    return np.where(byte & 0x80, -magnitude << 2, magnitude << 2).astype(np.int16)


def encode_alaw(samples: np.ndarray) -> np.ndarray:
    """Return 16-bit integers as the bytes of G.711 A-law (ITU-T G.711, table 1).

    The lowest four bits are cut towards zero; even bits of the byte are inverted.
    """
    magnitude = np.minimum(np.abs(samples.astype(np.int32)) >> 4, 2_047)
    segment = _find_segment(magnitude >> 4)
    byte = (segment << 4) | ((magnitude >> np.maximum(segment - 1, 0)) & 15)
    # The sign is that of the input, which libsndfile takes before bits are cut.
    return (np.where(samples < 0, 0x55, 0xD5) ^ byte).astype(np.uint8)


def decode_alaw(codes: np.ndarray) -> np.ndarray:
    """Return the 16-bit integers that the bytes of A-law stand for."""
    byte = codes.astype(np.int32) ^ 0x55
    segment = (byte >> 4) & 7
    magnitude = (2 * (byte & 15) + np.where(segment, 33, 1)) << np.maximum(segment - 1, 0)
    return np.where(byte & 0x80, magnitude << 3, -magnitude << 3).astype(np.int16)


def _find_segment(scaled: np.ndarray) -> np.ndarray:
    """Return the number of binary digits of `scaled` [T], at most 7."""
    return np.asarray(np.sum([(scaled >> bit) > 0 for bit in range(7)], axis=0, dtype=np.int32))


def change_rate(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Return samples float64 [T] as [ceil(T to_hz / from_hz)] at another rate, without delay.

    SciPy's polyphase filter: a sinc under a Kaiser window, beta 5, ten zero crossings a side.
    Raises ValueError for rates that share too small a divisor.
    """
    if from_hz == to_hz:
        return samples
    # Late: SciPy takes a quarter of a second, which a run without conditions need not wait for.
    from scipy.signal import resample_poly

    divisor = gcd(from_hz, to_hz)
    if max(from_hz, to_hz) // divisor > LARGEST_FACTOR:
        raise ValueError(
            f"speech at {from_hz} Hz cannot be brought to {to_hz} Hz: their common divisor is "
            f"{divisor}; give speech at a usual rate, such as 16000 Hz"
        )
    return resample_poly(samples, to_hz // divisor, from_hz // divisor, window=("kaiser", 5.0))


def send_by_line(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech as a line of 8 kHz brings it: nothing above 4 kHz, mu-law in between."""
    line = change_rate(speech.samples, speech.rate_hz, LINE_HZ)
    companded = from_int16(decode_mulaw(encode_mulaw(to_int16(line))))
    back = change_rate(companded, LINE_HZ, speech.rate_hz)
    return Heard(_fit(back, len(speech.samples)))


def narrow(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech without what is above 4 kHz; speech at 8 kHz or less is as it was."""
    if speech.rate_hz <= LINE_HZ:
        return Heard(speech.samples)
    line = change_rate(speech.samples, speech.rate_hz, LINE_HZ)
    back = change_rate(line, LINE_HZ, speech.rate_hz)
    return Heard(_fit(back, len(speech.samples)))


def compand_mulaw(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech in the 256 steps of mu-law, at its own rate."""
    return Heard(from_int16(decode_mulaw(encode_mulaw(to_int16(speech.samples)))))


def compand_alaw(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech in the 256 steps of A-law, at its own rate."""
    return Heard(from_int16(decode_alaw(encode_alaw(to_int16(speech.samples)))))


def overload(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech whose loudest N % are cut to the level of the softest of them.

    N % of the samples that hold speech; the level of all others stays.
    """
    active = find_active(speech)
    loudness = np.sort(np.abs(speech.samples[active]))
    if not len(loudness):
        return Heard(speech.samples, {"clipped_share": 0.0})
    place = max(0, len(loudness) - 1 - round(len(loudness) * setting.number / 100))
    limit = float(loudness[place])
    clipped = np.abs(speech.samples) > limit
    samples = np.clip(speech.samples, -limit, limit)
    return Heard(samples, {"clipped_share": share(clipped[active])})


def _fit(samples: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` samples, zeros after the last where there are fewer."""
    return np.pad(samples[:count], (0, max(0, count - len(samples))))


TELEPHONE = Family("telephone", "a line of 8 kHz: nothing above 4 kHz, G.711 mu-law", send_by_line)
NARROWBAND = Family("narrowband", "a band of 4 kHz: down to 8 kHz and back", narrow)
MULAW = Family("mulaw", "G.711 mu-law at the clip's own rate", compand_mulaw, same="bytes")
ALAW = Family("alaw", "G.711 A-law at the clip's own rate", compand_alaw, same="bytes")
CLIP = Family(
    "clip",
    "an overloaded input: the loudest N % of the speech cut to one level",
    overload,
    number=Number(1, 90, "% of the samples that hold speech"),
    measures={"clipped_share": "share of the samples that hold speech which were cut, 0 to 1"},
    same="bytes",
)
