"""Any recogniser before any text-to-audio model, by their names: `use = "cascade"`.

Parts of other packages are entry points: group `stabench.recognisers` (objects as
`systems.contract.Recogniser`) and `stabench.generators` (`TextToAudio`).
"""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from stabench.systems.cascade.cascade import Cascade, UntrainedCascade

# Names instead of classes: only what a cascade is made of is imported, torch included.
PARTS = {
    "asr": {
        "caption": "stabench.systems.asr.caption:CaptionAsr",
        "faster-whisper": "stabench.systems.asr.faster_whisper:FasterWhisper",
        "pocketsphinx": "stabench.systems.asr.pocketsphinx:PocketSphinx",
        "whisper": "stabench.systems.asr.whisper:Whisper",
    },
    "tta": {
        "audioldm2": "stabench.systems.tta.audioldm2.system:AudioLdm2",
        "audit": "stabench.systems.tta.audit:Audit",
        "ezaudio": "stabench.systems.tta.ezaudio:EzAudio",
        "meanaudio": "stabench.systems.tta.meanaudio.system:MeanAudio",
        "stable-audio-open": "stabench.systems.tta.stable_audio.system:StableAudioOpen",
        "tango2": "stabench.systems.tta.tango2:Tango2",
        "tangoflux": "stabench.systems.tta.tangoflux.system:TangoFlux",
    },
}
GROUPS = {"asr": "stabench.recognisers", "tta": "stabench.generators"}
PUBLISHED, RANDOM = "published", "random"
Half = str | Mapping[str, Any]


class Part(NamedTuple):
    """A recogniser or generator: its registered `name`, and the `size` that a longer name adds."""

    name: str
    target: str
    size: str | None


def cascade(asr: Half, tta: Half, weights: str = PUBLISHED) -> Cascade:
    """Return the cascade of two parts.

    Each is a name ("whisper-large-v3": the part "whisper", whose first option is "large-v3"), or a
    table with the name under `use` and the part's own options. `weights` is for both where they
    take any: "published", "random" (latency only), or a folder that holds each under its
    catalogue name. Raises ValueError for an unknown name or option.
    """
    heard, trained = _build_half("asr", asr, weights)
    sounded, _ = _build_half("tta", tta, weights)
    # Words of random weights mean nothing: the generator reads the caption in their place.
    return (Cascade if trained else UntrainedCascade)(heard, sounded)


def find_part(half: str, name: str) -> Part:
    """Return the part called `name`: the registered name itself, or the longest that begins it.

    `half` is "asr" or "tta". Imports nothing of the part. Raises ValueError for an unknown name.
    """
    outside = {point.name: point.value for point in entry_points(group=GROUPS[half])}
    known = {**outside, **PARTS[half]}
    words = name.split("-")
    for end in range(len(words), 0, -1):
        start = "-".join(words[:end])
        if start in known:
            return Part(start, known[start], "-".join(words[end:]) or None)
    raise ValueError(f"{half}: {explain_unknown('part', name, known)}")


def explain_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return what is unknown, the nearest name, and all that are known."""
    close = get_close_matches(str(name), list(known), n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(sorted(known)) or 'none'}"


def _build_half(half: str, table: Half, weights: str) -> tuple[Any, bool]:
    """Return the part of a half, imported now, and whether its weights are trained ones."""
    options = {"use": table} if isinstance(table, str) else dict(table)
    if "use" not in options:
        raise ValueError(f"{half} is {table!r}, without a name; give it one: use = ...")
    part = find_part(half, options.pop("use"))
    module, _, name = part.target.partition(":")
    factory = getattr(importlib.import_module(module), name)
    known = inspect.signature(factory).parameters
    if part.size is not None:
        if not known:
            raise ValueError(f"{half}: '{part.name}' has no sizes; leave '{part.size}' out")
        options.setdefault(next(iter(known)), part.size)
    if "weights" in known:
        place = _find_recogniser(weights, part.name, options, known)
        options.setdefault("weights", str(place))
    # Python would tell a wrong option, too, but neither the nearest nor the known ones.
    for option in options:
        if option not in known:
            raise ValueError(f"{half}: {explain_unknown('option', option, known)}")
    return factory(**options), options.get("weights") != RANDOM


def _find_recogniser(
    weights: str, name: str, options: Mapping[str, Any], known: Mapping[str, inspect.Parameter]
) -> str | Path:
    """Return `<name>-<model>` in a folder with everything, if it is there, else `weights`.

    Generators have no option `model`: they look into such a folder themselves.
    """
    from stabench.systems.asr.whisper_sizes import ALIASES

    if weights in (PUBLISHED, RANDOM) or "model" not in known:
        return weights
    model = options.get("model") or known["model"].default
    inner = Path(weights) / f"{name}-{ALIASES.get(model, model)}"
    return inner if inner.exists() else weights
