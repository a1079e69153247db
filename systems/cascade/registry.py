"""The published cascades, composed: Whisper or the caption, before each text-to-audio model.

Every factory takes tables that are plain JSON: `asr` the recogniser's options and its `engine`
("whisper", "faster-whisper"), `tta` the generator's. `weights` is for both, unless a table has its
own: "published", "random" (latency only), or a folder that holds each under its catalogue name.
"""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stabench.systems.asr.caption import CaptionAsr
from stabench.systems.cascade.cascade import Cascade
from stabench.systems.contract import Representation, Spans, Utterance

# Names instead of classes: only what a cascade is made of is imported, torch included.
RECOGNISERS = {
    "whisper": "stabench.systems.asr.whisper:Whisper",
    "faster-whisper": "stabench.systems.asr.faster_whisper:FasterWhisper",
}
GENERATORS = {
    "audioldm2": "stabench.systems.tta.audioldm2.system:AudioLdm2",
    "tango2": "stabench.systems.tta.tango2:Tango2",
    "audit": "stabench.systems.tta.audit:Audit",
    "ezaudio": "stabench.systems.tta.ezaudio:EzAudio",
}
PUBLISHED, RANDOM = "published", "random"
Options = Mapping[str, Any]


class UntrainedCascade(Cascade):
    """A cascade whose recogniser has random weights: it is timed, and its words are dropped.

    The generator reads the reference caption instead, so that its input is as long as a real one.
    There is no transcript: its error rate would mean nothing.
    """

    def __init__(self, asr: Any, tta: Any) -> None:
        super().__init__(asr, tta)
        self.reads_caption = True

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        if speech.caption is None:
            raise ValueError(
                f"clip '{speech.clip_id}': random weights need a caption, for its length, and the "
                "clip has none; give the data set captions"
            )
        transcript = self.asr.transcribe(speech, spans)
        context = self.tta.encode(speech.caption, spans)
        return Representation(context, None, transcript.tokens)

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "text": "the true caption, after an untrained recogniser"}


def whisper_audioldm2(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and AudioLDM 2 (`tta`: size, candidates, steps, guidance, duration_s, ...)."""
    return _compose("audioldm2", asr, tta, weights)


def whisper_tango2(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and TANGO 2 (`tta`: steps, guidance, ...)."""
    return _compose("tango2", asr, tta, weights)


def whisper_audit(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and AUDIT in Amphion's text-to-audio recipe (`tta`: steps, guidance, latent, ...)."""
    return _compose("audit", asr, tta, weights)


def whisper_ezaudio(
    asr: Options | None = None, tta: Options | None = None, weights: str = PUBLISHED
) -> Cascade:
    """Whisper and EzAudio, whose DiT and VAE STAR starts from (`tta`: steps, guidance, ...)."""
    return _compose("ezaudio", asr, tta, weights)


def oracle_audioldm2(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """AudioLDM 2 on the true caption."""
    return Cascade(CaptionAsr(), _generator("audioldm2", tta, weights))


def oracle_tango2(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """TANGO 2 on the true caption."""
    return Cascade(CaptionAsr(), _generator("tango2", tta, weights))


def oracle_audit(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """AUDIT on the true caption."""
    return Cascade(CaptionAsr(), _generator("audit", tta, weights))


def oracle_ezaudio(tta: Options | None = None, weights: str = PUBLISHED) -> Cascade:
    """EzAudio on the true caption."""
    return Cascade(CaptionAsr(), _generator("ezaudio", tta, weights))


def _compose(name: str, asr: Options | None, tta: Options | None, weights: str) -> Cascade:
    """Return the recogniser that `asr` asks for before the generator `name`."""
    from stabench.systems.asr.whisper_sizes import ALIASES

    options = _copy_options("asr", asr)
    engine = options.pop("engine", "whisper")
    if engine not in RECOGNISERS:
        raise ValueError(f"asr: {_explain_unknown('engine', engine, RECOGNISERS)}")
    # Of a folder with everything the recogniser gets `<engine>-<model>`, if it is there, else the
    # folder itself.
    model = options.get("model") or "base"
    inner = Path(weights) / f"{engine}-{ALIASES.get(model, model)}"
    place = inner if weights not in (PUBLISHED, RANDOM) and inner.exists() else weights
    asr_weights = options.setdefault("weights", str(place))
    recogniser = _build_object("asr", RECOGNISERS[engine], options)
    kind = UntrainedCascade if asr_weights == RANDOM else Cascade
    return kind(recogniser, _generator(name, tta, weights))


def _generator(name: str, tta: Options | None, weights: str) -> Any:
    options = {"weights": str(weights), **_copy_options("tta", tta)}
    return _build_object("tta", GENERATORS[name], options)


def _copy_options(what: str, options: Options | None) -> dict[str, Any]:
    if not isinstance(options, Mapping | None):
        raise ValueError(f"{what} is {options!r}, expected a table of options; see list systems")
    return dict(options or {})


def _build_object(what: str, target: str, options: dict[str, Any]) -> Any:
    """The object of "module:Class", imported now. ValueError for options that it does not take."""
    module, _, name = target.partition(":")
    kind = getattr(importlib.import_module(module), name)
    # Python would tell a wrong option, too, but neither the nearest nor the known ones.
    known = inspect.signature(kind).parameters
    for option in options:
        if option not in known:
            raise ValueError(f"{what}: {_explain_unknown('option', option, known)}")
    return kind(**options)


def _explain_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(known), n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(sorted(known))}"
