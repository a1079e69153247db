"""Listening: from a decoded sound to the waveforms that a network is given, by its rule."""

import numpy as np

from stabench.metrics.audio import Audio, int16_round_trip, mono, without_dc
from stabench.metrics.protocol import Listening
from stabench.metrics.resample import resample


class Ear:
    """One decoded sound, brought to each network; what two networks share is computed once."""

    def __init__(self, audio: Audio) -> None:
        self._audio = audio
        self._resampled: dict[tuple[str, bool, str, int | None, int], np.ndarray] = {}

    def waveforms(
        self, rule: Listening, rate_hz: int, longest_s: float | None = None
    ) -> list[np.ndarray]:
        """Return the float32 waveforms [T] at `rate_hz` that stand for the sound; usually one.

        Raises ValueError for a rate that cannot be reached, and for a sound that is longer than
        `longest_s` where the rule takes it whole: the network would not hear its end.
        """
        # Without int16, which comes after the rate is changed and takes no time.
        key = (rule.channels, rule.remove_dc, rule.resampler, rule.via_hz, rate_hz)
        if key not in self._resampled:
            mixed = mono(self._audio.samples, rule.channels)
            mixed = without_dc(mixed) if rule.remove_dc else mixed
            from_hz = self._audio.rate_hz
            if rule.via_hz is not None:
                mixed = resample(mixed, from_hz, rule.via_hz, rule.resampler)
                from_hz = rule.via_hz
            self._resampled[key] = resample(mixed, from_hz, rate_hz, rule.resampler)
        samples = self._resampled[key]
        if rule.int16:
            samples = int16_round_trip(samples)
        length = len(samples) if longest_s is None else round(longest_s * rate_hz)
        if rule.long != "whole" and longest_s is not None:
            return parts(samples, length, rule.long)
        if len(samples) > length:
            raise ValueError(
                f"{len(samples) / rate_hz:.1f} s of sound, network '{rule.network}' hears "
                f'{longest_s:g} s at once; set its long = "windows" in the protocol to hear all '
                'of it, or "first"'
            )
        return [samples]


def parts(samples: np.ndarray, length: int, rule: str) -> list[np.ndarray]:
    """Return `samples` [T] in windows of at most `length`: the first, or as few as hold all.

    There are ceil(T / length) windows, evenly spaced from the beginning to the end. They overlap,
    so what lies in two of them counts twice: 15 s of audio in 10 s windows are 0 to 10 s and 5 to
    15 s.
    """
    count = max(1, -(-len(samples) // length)) if rule == "windows" else 1
    if count == 1:
        return [samples[:length]]
    starts = np.linspace(0, len(samples) - length, count).round().astype(int)
    return [samples[start : start + length] for start in starts]
