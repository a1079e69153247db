"""Codecs: speech as libsndfile writes and reads it, where the installed one can."""

import io
from functools import partial
from typing import NamedTuple

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    Family,
    Heard,
    Setting,
    Speech,
    Surroundings,
)
from stabench.harness.datasets.conditions.telephone import LINE_HZ, change_rate
from stabench.harness.errors import MissingError


class Codec(NamedTuple):
    """A format of libsndfile; `rates_hz` are those that it takes, the speech goes to the nearest
    above. `compression` is libsndfile's level, 0 to 1: larger is smaller."""

    format: str
    subtype: str
    rates_hz: tuple[int, ...]
    compression: float | None = None


GSM = Codec("WAV", "GSM610", (LINE_HZ,))
OPUS = Codec("OGG", "OPUS", (8_000, 12_000, 16_000, 24_000, 48_000), 0.9)
VORBIS = Codec("OGG", "VORBIS", (8_000, 16_000, 22_050, 32_000, 44_100, 48_000), 0.9)
MP3 = Codec("MP3", "MPEG_LAYER_III", (16_000, 22_050, 24_000, 32_000, 44_100, 48_000), 0.9)


def encode_and_decode(
    speech: Speech, setting: Setting, near: Surroundings, *, codec: Codec
) -> Heard:
    """Return speech through a codec and back at its own rate and length.

    Raises MissingError where the installed libsndfile cannot write the format.
    """
    # Late: only this family needs a codec.
    import soundfile

    if codec.subtype not in soundfile.available_subtypes(codec.format):
        raise MissingError(
            f"libsndfile {soundfile.__libsndfile_version__} writes no {codec.subtype}; install a "
            "newer soundfile, or leave this condition out"
        )
    rate_hz = min((rate for rate in codec.rates_hz if rate >= speech.rate_hz), default=0)
    rate_hz = rate_hz or codec.rates_hz[-1]
    count = len(speech.samples)
    file, options = io.BytesIO(), {}
    if codec.compression is not None:
        options["compression_level"] = codec.compression
    sent = change_rate(speech.samples, speech.rate_hz, rate_hz)
    try:
        soundfile.write(file, sent, rate_hz, format=codec.format, subtype=codec.subtype, **options)
        size_bits = 8 * file.tell()
        file.seek(0)
        decoded, _ = soundfile.read(file, dtype="float64")
    except soundfile.LibsndfileError as error:
        raise MissingError(
            f"libsndfile {soundfile.__libsndfile_version__} failed at {codec.subtype} "
            f"({error.error_string.rstrip('. ')}); leave this condition out"
        ) from error
    back = change_rate(decoded, rate_hz, speech.rate_hz)[:count]
    samples = np.pad(back, (0, count - len(back)))
    return Heard(samples, {"kbit_s": size_bits / (count / speech.rate_hz) / 1000})


MEASURES = {"kbit_s": "size of the file, with its headers, over its duration, kbit/s"}
FAMILIES = {
    "gsm": (GSM, "GSM 06.10 at 8 kHz, as mobile telephones had it"),
    "opus": (OPUS, "Opus, about 28 kbit/s and headers"),
    "vorbis": (VORBIS, "Vorbis, about 31 kbit/s and headers"),
    "mp3": (MP3, "MP3, about 22 kbit/s and headers"),
}
GSM_FAMILY, OPUS_FAMILY, VORBIS_FAMILY, MP3_FAMILY = (
    Family(name, about, partial(encode_and_decode, codec=codec), measures=MEASURES, same="library")
    for name, (codec, about) in FAMILIES.items()
)
