"""Any recogniser before any text-to-audio model, by their names: `use = "cascade"`.

Parts are entry points, those of this project too: group `stabench.recognisers` (objects as
`systems.contract.Recogniser`) and `stabench.generators` (`TextToAudio`).
"""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from stabench.systems.cascade.cascade import Cascade
from stabench.systems.cascade.registry import PUBLISHED, RANDOM, UntrainedCascade

GROUPS = {"asr": "stabench.recognisers", "tta": "stabench.generators"}
Half = str | Mapping[str, Any]


class Part(NamedTuple):
    """A registered recogniser or generator; `size` is what its name adds to the registered one."""

    name: str
    target: str
    size: str | None


def cascade(asr: Half, tta: Half, weights: str = PUBLISHED) -> Cascade:
    """Return the cascade of two registered parts.

    Each is a name ("whisper-large-v3": the part "whisper", whose first option is "large-v3"), or a
    table with the name under `use` and the part's own options. `weights` is for both where they
    take any: "published", "random" (latency only), or a folder that holds each under its
    catalogue name. Raises ValueError for an unknown name or option.
    """
    heard = _read_half("asr", asr, weights)
    sounded = _read_half("tta", tta, weights)
    # Words of random weights mean nothing: the generator reads the caption in their place.
    kind = UntrainedCascade if heard.options.get("weights") == RANDOM else Cascade
    return kind(heard.build(), sounded.build())


def find_part(half: str, name: str) -> Part:
    """Return the part called `name`: the registered name itself, or the longest that begins it.

    `half` is "asr" or "tta". Imports nothing of the part. Raises ValueError for an unknown name.
    """
    known = {point.name: point.value for point in entry_points(group=GROUPS[half])}
    words = name.split("-")
    for end in range(len(words), 0, -1):
        start = "-".join(words[:end])
        if start in known:
            return Part(name, known[start], "-".join(words[end:]) or None)
    raise ValueError(f"{half}: {_describe_unknown(name, known)}")


class _HalfPlan(NamedTuple):
    """A class or factory of a half, and what it will be called with."""

    factory: Any
    options: dict[str, Any]

    def build(self) -> Any:
        return self.factory(**self.options)


def _read_half(half: str, table: Half, weights: str) -> _HalfPlan:
    options = {"use": table} if isinstance(table, str) else dict(table)
    if "use" not in options:
        raise ValueError(f"{half} is {table!r}, without a name; give it one: use = ...")
    part = find_part(half, options.pop("use"))
    module, _, name = part.target.partition(":")
    factory = getattr(importlib.import_module(module), name)
    known = inspect.signature(factory).parameters
    if part.size is not None:
        if not known:
            raise ValueError(
                f"{half} '{part.name}': '{name}' has no sizes; leave '{part.size}' out"
            )
        options.setdefault(next(iter(known)), part.size)
    if "weights" in known:
        options.setdefault("weights", _find_weights(weights, part.name))
    for option in options:
        if option not in known:
            raise ValueError(f"{half} '{part.name}': option {_describe_unknown(option, known)}")
    return _HalfPlan(factory, options)


def _find_weights(weights: str, name: str) -> str:
    """Return the part's own folder inside a folder with everything, where it has one there."""
    inner = Path(weights) / name
    return str(inner) if weights not in (PUBLISHED, RANDOM) and inner.exists() else str(weights)


def _describe_unknown(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown '{name}'{hint} Known: {', '.join(sorted(known)) or 'none'}"
