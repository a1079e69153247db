"""The published cascades, composed: Whisper or the caption, before each text-to-audio model.

Every factory takes tables that are plain JSON: `asr` the recogniser's options and its `engine`
("whisper", "faster-whisper"), `tta` the generator's. `weights` is for both, unless a table has its
own: "published", "random" (latency only), or a folder that holds each under its catalogue name.
"""

from collections.abc import Mapping
from typing import Any

from stabench.systems.cascade.cascade import Cascade
from stabench.systems.cascade.compose import PUBLISHED, cascade, explain_unknown

ENGINES = ("whisper", "faster-whisper")
Options = Mapping[str, Any]


def whisper_audioldm2(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and AudioLDM 2 (`tta`: size, candidates, steps, guidance, duration_s, ...)."""
    return _hear("audioldm2", asr, tta, weights)


def whisper_tango2(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and TANGO 2 (`tta`: steps, guidance, ...)."""
    return _hear("tango2", asr, tta, weights)


def whisper_audit(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and AUDIT in Amphion's text-to-audio recipe (`tta`: steps, guidance, latent, ...)."""
    return _hear("audit", asr, tta, weights)


def whisper_ezaudio(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and EzAudio, whose DiT and VAE STAR starts from (`tta`: steps, guidance, ...)."""
    return _hear("ezaudio", asr, tta, weights)


def whisper_stable_audio_open(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and Stable Audio Open 1.0 (`tta`: steps, guidance, duration_s, channels, ...)."""
    return _hear("stable-audio-open", asr, tta, weights)


def whisper_tangoflux(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and TangoFlux (`tta`: steps, guidance, duration_s, channels, ...)."""
    return _hear("tangoflux", asr, tta, weights)


def whisper_meanaudio(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and MeanAudio, a generator of one step (`tta`: size, steps, guidance, ...)."""
    return _hear("meanaudio", asr, tta, weights)


def oracle_audioldm2(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """AudioLDM 2 on the true caption."""
    return cascade("caption", _name_part("tta", "audioldm2", tta), weights)


def oracle_tango2(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """TANGO 2 on the true caption."""
    return cascade("caption", _name_part("tta", "tango2", tta), weights)


def oracle_audit(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """AUDIT on the true caption."""
    return cascade("caption", _name_part("tta", "audit", tta), weights)


def oracle_ezaudio(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """EzAudio on the true caption."""
    return cascade("caption", _name_part("tta", "ezaudio", tta), weights)


def oracle_stable_audio_open(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """Stable Audio Open 1.0 on the true caption."""
    return cascade("caption", _name_part("tta", "stable-audio-open", tta), weights)


def oracle_tangoflux(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """TangoFlux on the true caption."""
    return cascade("caption", _name_part("tta", "tangoflux", tta), weights)


def oracle_meanaudio(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """MeanAudio on the true caption."""
    return cascade("caption", _name_part("tta", "meanaudio", tta), weights)


def _hear(name: str, asr: Options | None, tta: Options | None, weights: str) -> Cascade:
    """Return the engine that `asr` asks for before the generator `name`."""
    heard = _name_part("asr", ENGINES[0], asr)
    heard["use"] = engine = heard.pop("engine", ENGINES[0])
    if engine not in ENGINES:
        raise ValueError(f"asr: {explain_unknown('engine', engine, ENGINES)}")
    return cascade(heard, _name_part("tta", name, tta), weights)


def _name_part(half: str, name: str, options: Options | None) -> dict[str, Any]:
    """Return the table of a part: its name under `use`, and its options."""
    if not isinstance(options, Mapping | None):
        raise ValueError(f"{half} is {options!r}, expected a table of options; see list systems")
    return {**(options or {}), "use": name}
