"""Signal primitives whose samples are the same bits on every x86-64 machine.

NumPy's sin and exp differ by a unit in the last place between CPU generations, and a phase that is
summed up makes that audible to a checksum. So oscillators use a polynomial (multiplications and
additions are exact by IEEE 754), decays a running product, and filters scipy's compiled recursion.
"""

import math

import numpy as np
from scipy.signal import lfilter

RATE_HZ = 16_000
Array = np.ndarray
Rng = np.random.Generator

# Taylor coefficients of sin(2 pi x) in odd powers of x; on |x| <= 1/4 the error is below 1e-11.
_SINE = tuple(
    (-1) ** k * (2 * 3.141592653589793) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(8)
)


def samples(duration_s: float) -> int:
    return round(duration_s * RATE_HZ)


def sine(cycles: Array) -> Array:
    """Return sin(2 pi cycles), by range reduction to a quarter turn and a polynomial."""
    turn = cycles - np.floor(cycles + 0.5)
    quarter = np.where(np.abs(turn) > 0.25, np.copysign(0.5, turn) - turn, turn)
    square = quarter * quarter
    value = np.full_like(quarter, _SINE[-1])
    for coefficient in _SINE[-2::-1]:
        value = value * square + coefficient
    return value * quarter


def phase(frequency_hz: Array, start: float = 0.0) -> Array:
    """Return the running phase in cycles of an oscillator at `frequency_hz` [n]."""
    return start + np.cumsum(frequency_hz) / RATE_HZ


def harmonics(frequency_hz: Array, amplitudes: Array, rng: Rng) -> Array:
    """Sum of harmonics 1, 2, ... of a gliding fundamental; those above 7.5 kHz are left out."""
    base = phase(frequency_hz, rng.random())
    out = np.zeros_like(base)
    for k, amplitude in enumerate(amplitudes, start=1):
        if k * frequency_hz.max() < 7500:
            out += amplitude * sine(k * base + rng.random())
    return out


def decay(n: int, time_s: float) -> Array:
    """Return exp(-t / time_s) as a running product, [n]."""
    # Rounded, as in `_clean`: libm's exp may differ in its last place.
    factor = round(math.exp(-1 / (time_s * RATE_HZ)), 12)
    steps = np.full(n, factor)
    steps[:1] = 1.0
    return np.cumprod(steps)


def bump(n: int, rise: float = 0.5) -> Array:
    """Return a raised half-sine envelope [n] that peaks at `rise` (0..1) of its length."""
    t = (np.arange(n) + 0.5) / n
    warped = np.where(t < rise, t / (2 * rise), 0.5 + (t - rise) / (2 * (1 - rise)))
    return sine(warped / 2)


def noise(n: int, rng: Rng) -> Array:
    return rng.standard_normal(n)


def _clean(value: float) -> float:
    # Rounded so that a last-place difference of libm's cos or exp cannot reach the recursion.
    return round(value, 10)


def lowpass(x: Array, cutoff_hz: float, poles: int = 1) -> Array:
    a = _clean(math.exp(-2 * math.pi * cutoff_hz / RATE_HZ))
    for _ in range(poles):
        x = lfilter([1 - a], [1, -a], x)
    return x


def highpass(x: Array, cutoff_hz: float, poles: int = 1) -> Array:
    a = _clean(math.exp(-2 * math.pi * cutoff_hz / RATE_HZ))
    for _ in range(poles):
        x = lfilter([(1 + a) / 2, -(1 + a) / 2], [1, -a], x)
    return x


def resonate(x: Array, centre_hz: float, bandwidth_hz: float) -> Array:
    """Filter by a two-pole resonator with about unit gain at its centre."""
    r = math.exp(-math.pi * bandwidth_hz / RATE_HZ)
    theta = 2 * math.pi * centre_hz / RATE_HZ
    gain = (1 - r) * math.sqrt(1 - 2 * r * math.cos(2 * theta) + r * r)
    return lfilter([_clean(gain)], [1, _clean(-2 * r * math.cos(theta)), _clean(r * r)], x)


def formants(x: Array, bands: list[tuple[float, float, float]]) -> Array:
    """Filter by parallel resonators: `bands` holds (centre_hz, bandwidth_hz, gain)."""
    sounds = (gain * resonate(x, centre, width) for centre, width, gain in bands)
    return sum(sounds, np.zeros_like(x))


def wander(n: int, rng: Rng, low: float, high: float, every_s: float) -> Array:
    """Return a slow random curve [n] between `low` and `high`: random points, joined linearly."""
    count = max(2, math.ceil(n / (every_s * RATE_HZ)) + 1)
    points = rng.uniform(low, high, count)
    return np.interp(np.arange(n) * (count - 1) / n, np.arange(count), points)


def place(out: Array, start: int, sound: Array, gain: float = 1.0) -> None:
    """Add `sound` to `out` from sample `start`; what hangs over the end is cut."""
    if start < len(out):
        part = sound[: len(out) - start]
        out[start : start + len(part)] += gain * part


def level(x: Array, rms: float) -> Array:
    """Scale to a root mean square; silence stays silence."""
    power = float(np.mean(x * x))
    return x * (rms / math.sqrt(power)) if power > 0 else x
