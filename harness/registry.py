"""The registry: names of systems, datasets, metrics and suites, as strings that import nothing.

Adding one is a line here, or outside this repository an entry point in group `stabench.<kind>`.
"""

import hashlib
import importlib
import importlib.util
import inspect
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import MissingError, StabenchError, one_line, unknown
from stabench.metrics.registry import METRICS

# Kind -> name -> "module:attribute"; of a suite, protocol or recipe the package in whose folder
# `suites/`, `protocols/` or `recipes/` it is `<name>.toml`; of a metric the table, of a sanity row
# the class, that has it.
BUILT_IN: dict[str, dict[str, str]] = {
    "conditions": {
        "alaw": "stabench.harness.datasets.conditions.telephone:ALAW",
        "babble": "stabench.harness.datasets.conditions.noise:BABBLE",
        "clip": "stabench.harness.datasets.conditions.telephone:CLIP",
        "fast": "stabench.harness.datasets.conditions.rate:FASTER",
        "gsm": "stabench.harness.datasets.conditions.codecs:GSM_FAMILY",
        "jitter": "stabench.harness.datasets.conditions.packets:JITTER",
        "loss": "stabench.harness.datasets.conditions.packets:LOSS",
        "mp3": "stabench.harness.datasets.conditions.codecs:MP3_FAMILY",
        "mulaw": "stabench.harness.datasets.conditions.telephone:MULAW",
        "narrowband": "stabench.harness.datasets.conditions.telephone:NARROWBAND",
        "noise": "stabench.harness.datasets.conditions.noise:WHITE",
        "opus": "stabench.harness.datasets.conditions.codecs:OPUS_FAMILY",
        "reverb": "stabench.harness.datasets.conditions.room:REVERB",
        "slow": "stabench.harness.datasets.conditions.rate:SLOWER",
        "telephone": "stabench.harness.datasets.conditions.telephone:TELEPHONE",
        "vorbis": "stabench.harness.datasets.conditions.codecs:VORBIS_FAMILY",
    },
    "systems": {
        "cascade": "stabench.systems.cascade.compose:cascade",
        "command": "stabench.systems.command:Command",
        "http": "stabench.systems.http:Http",
        "oracle-audioldm2": "stabench.systems.cascade.registry:oracle_audioldm2",
        "oracle-audit": "stabench.systems.cascade.registry:oracle_audit",
        "oracle-ezaudio": "stabench.systems.cascade.registry:oracle_ezaudio",
        "oracle-meanaudio": "stabench.systems.cascade.registry:oracle_meanaudio",
        "oracle-stable-audio-open": "stabench.systems.cascade.registry:oracle_stable_audio_open",
        "oracle-tango2": "stabench.systems.cascade.registry:oracle_tango2",
        "oracle-tangoflux": "stabench.systems.cascade.registry:oracle_tangoflux",
        "recorded": "stabench.systems.recorded:Recorded",
        "star": "stabench.systems.star.star:Star",
        "star-dac": "stabench.systems.star.star:StarDac",
        "star-nobridge": "stabench.systems.star.star:StarWithoutBridge",
        "whisper-audioldm2": "stabench.systems.cascade.registry:whisper_audioldm2",
        "whisper-audit": "stabench.systems.cascade.registry:whisper_audit",
        "whisper-ezaudio": "stabench.systems.cascade.registry:whisper_ezaudio",
        "whisper-meanaudio": "stabench.systems.cascade.registry:whisper_meanaudio",
        "whisper-stable-audio-open": "stabench.systems.cascade.registry:whisper_stable_audio_open",
        "whisper-tango2": "stabench.systems.cascade.registry:whisper_tango2",
        "whisper-tangoflux": "stabench.systems.cascade.registry:whisper_tangoflux",
    },
    "autoencoders": {
        "ezaudio-vae": "stabench.systems.training.extract:VaeLatents",
    },
    "corpora": {
        "prepared": "stabench.harness.probing.corpus:Prepared",
    },
    "datasets": {
        "audiocaps": "stabench.harness.datasets.audiocaps:audiocaps",
        "folder": "stabench.harness.datasets.dataset:folder",
        "latency-speech": "stabench.harness.datasets.latency_speech:latency_speech",
    },
    "embedders": {
        "clap-630k": "stabench.metrics.embedders.published:clap_630k",
        "clap-music-speech": "stabench.metrics.embedders.published:clap_music_speech",
        "cnn14-16k": "stabench.metrics.embedders.published:cnn14_16k",
        "cnn14-32k": "stabench.metrics.embedders.published:cnn14_32k",
        "frechet-audio-distance": "stabench.metrics.backends.frechet_audio_distance:embedder",
        "laion-clap": "stabench.metrics.backends.laion_clap:embedder",
        "vggish": "stabench.metrics.embedders.published:vggish",
        "vggish-pca": "stabench.metrics.embedders.published:vggish_pca",
    },
    "encoders": {
        "clap-text": "stabench.harness.prepare.clap_text:ClapText",
        "dac": "stabench.systems.training.extract:dac",
        "flan-t5": "stabench.systems.training.extract:FlanT5",
        "hubert": "stabench.systems.training.extract:hubert",
        "wavlm": "stabench.systems.training.extract:wavlm",
    },
    # What a cascade is composed of, as systems/cascade/compose.py has it; a test holds them equal.
    "generators": {
        "audioldm2": "stabench.systems.tta.audioldm2.system:AudioLdm2",
        "audit": "stabench.systems.tta.audit:Audit",
        "ezaudio": "stabench.systems.tta.ezaudio:EzAudio",
        "meanaudio": "stabench.systems.tta.meanaudio.system:MeanAudio",
        "stable-audio-open": "stabench.systems.tta.stable_audio.system:StableAudioOpen",
        "tango2": "stabench.systems.tta.tango2:Tango2",
        "tangoflux": "stabench.systems.tta.tangoflux.system:TangoFlux",
    },
    "gradings": {},
    "metrics": dict.fromkeys(METRICS, "stabench.metrics.registry:METRICS"),
    "recognisers": {
        "caption": "stabench.systems.asr.caption:CaptionAsr",
        "faster-whisper": "stabench.systems.asr.faster_whisper:FasterWhisper",
        "pocketsphinx": "stabench.systems.asr.pocketsphinx:PocketSphinx",
        "whisper": "stabench.systems.asr.whisper:Whisper",
    },
    "protocols": {
        "paper": "stabench.metrics",
        "stabench": "stabench.metrics",
    },
    "recipes": {
        "star": "stabench.harness",
    },
    "sanity": dict.fromkeys(
        ("ceiling", "floor", "noise", "other-half", "shuffled", "silence"),
        "stabench.harness.scoring.sanity:Sanity",
    ),
    "tasks": {
        "speech_to_audio": "stabench.harness.tasks.speech_to_audio:TASK",
    },
    "suites": {
        "demo": "stabench.harness",
        "latency": "stabench.harness",
        "table1": "stabench.harness",
        "table2": "stabench.harness",
    },
}
# What loads a thing by its name and says what is wrong with it; of other kinds `load` does.
LOADERS = {
    "conditions": "stabench.harness.datasets.conditions.condition:load_family",
    "metrics": "stabench.harness.suites.metrics:load_metric",
    "protocols": "stabench.harness.suites.protocols:load",
    "recipes": "stabench.harness.prepare.recipe:load",
    "sanity": "stabench.harness.scoring.sanity:load_row",
    "suites": "stabench.harness.suites.probes:load_any",
    "tasks": "stabench.harness.tasks.task:load_task",
}
# What one thing of a kind is called, where that is not the kind without its s.
NOUNS = {"corpora": "corpus", "metrics": "column", "sanity": "sanity row"}
GROUP = "stabench."
ROOMS = ("checkpoints", "harness", "metrics", "pocket", "systems")


class Entry(NamedTuple):
    """One registered name; `source` is "built in" or the distribution that brought it."""

    name: str
    target: str
    source: str


class Fault(NamedTuple):
    """An entry point of another package that cannot be used: its kind, its name, why in a line."""

    kind: str
    name: str
    text: str


def entries(kind: str) -> dict[str, Entry]:
    """Return everything registered under `kind`, by name, without importing any of it.

    Of two things with one name the built-in one is returned, else the first; `target` refuses both.
    """
    known = {name: Entry(name, target, "built in") for name, target in BUILT_IN[kind].items()}
    for point in entry_points(group=f"{GROUP}{kind}"):
        known.setdefault(point.name, Entry(point.name, point.value, _distribution(point)))
    return dict(sorted(known.items()))


def noun(kind: str) -> str:
    """Return what one thing of a kind is called.

    >>> noun("suites"), noun("sanity")
    ('suite', 'sanity row')
    """
    return NOUNS.get(kind, kind.removesuffix("s"))


def target(kind: str, name: str) -> str:
    """Return the string behind a name; "path.py:Attribute" is its own, made absolute.

    Raises StabenchError with the nearest match for an unknown name, and for one that two sources
    give to different things; MissingError for a file that is not there.
    """
    if is_file(name):
        path = name.rpartition(":")[0]
        _check_file(Path(path))
        return absolute(name)
    if name.endswith(".py"):
        raise StabenchError(f"{noun(kind)} '{name}': say what in it, such as {name}:NAME")
    known = entries(kind)
    if name not in known:
        raise StabenchError(unknown(noun(kind), name, known))
    for point in entry_points(group=f"{GROUP}{kind}", name=name):
        if conflict := _conflict(kind, point, known):
            raise StabenchError(conflict)
    return known[name].target


def absolute(name: str) -> str:
    """Return "path.py:Attribute" with an absolute path, whether or not the file is there."""
    path, inner = name.rsplit(":", 1)
    return f"{Path(path).resolve()}:{inner}"


def load(kind: str, name: str, expected: type | None = None) -> Any:
    """Import what a name stands for: an `expected`, or without that anything to be called.

    Raises MissingError for a module or file that is not there, StabenchError for one that cannot
    be imported and for an object of another type; both say which name it was.
    """
    what, where = f"{noun(kind)} '{name}'", target(kind, name)
    try:
        value = attribute(where)
    except StabenchError as error:
        raise type(error)(f"{what}: {error}") from error
    except (Exception, SystemExit) as error:
        raise StabenchError(f"{what}: '{where}' cannot be imported: {one_line(error)}") from error
    if expected is None and not callable(value):
        kinds = "a class or a function"
    elif expected is not None and not isinstance(value, expected):
        kinds = f"a {expected.__module__}.{expected.__name__}"
    else:
        return value
    raise StabenchError(f"{what}: '{where}' is {type(value).__name__}; give {kinds}")


def origin(kind: str, name: str) -> str | None:
    """Return where a thing from outside comes from; None for a built-in one.

    A distribution and its version, or a file's name and the sha256 of its bytes (not of those that
    it imports).
    """
    if is_file(name):
        path = Path(name.rpartition(":")[0])
        return f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    if name in BUILT_IN[kind]:
        return None
    point = next(iter(entry_points(group=f"{GROUP}{kind}", name=name)))
    return f"{point.dist.name} {point.dist.version}" if point.dist else _distribution(point)


def faults() -> Iterator[Fault]:
    """Yield what is wrong with entry points of other packages, each once; imports their targets."""
    points = entry_points()
    groups = {group for group in points.groups if group == "stabench" or group.startswith(GROUP)}
    for group in sorted(groups):
        kind = group.removeprefix(GROUP)
        for point in sorted(points.select(group=group), key=lambda point: point.name):
            # A checkout has pocket's from the metadata of an installation, perhaps an older one.
            if _distribution(point) == "stabench":
                continue
            head = f"{_distribution(point)}, entry point '{point.name}'"
            if kind not in BUILT_IN:
                known = [f"{GROUP}{name}" for name in BUILT_IN]
                yield Fault(kind, point.name, f"{head}: {unknown('group', group, known)}")
            elif why := _conflict(kind, point, entries(kind)) or _try_loading(kind, point.name):
                yield Fault(kind, point.name, f"{head}: {why}")


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown package"


def _conflict(kind: str, point: EntryPoint, known: dict[str, Entry]) -> str | None:
    """Return a line where the name of an entry point is another thing's already."""
    earlier = known[point.name]
    if earlier.target == point.value:
        return None
    return (
        f"{noun(kind)} '{point.name}' is registered twice: {earlier.target} ({earlier.source}) and "
        f"{point.value} ({_distribution(point)}); uninstall or rename one"
    )


def _try_loading(kind: str, name: str) -> str | None:
    """Return why a thing cannot be loaded, or None; what its module prints is not shown."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            attribute(LOADERS[kind])(name) if kind in LOADERS else load(kind, name)
        except StabenchError as error:
            return str(error)
    return None


def is_file(name: str) -> bool:
    """Return whether `name` is of the form "path.py:Attribute"."""
    return name.rpartition(":")[0].endswith(".py")


def attribute(target: str) -> Any:
    """Import what "module:attribute" or "path.py:Attribute" names.

    Raises MissingError when the module is not there, StabenchError when it lacks the attribute.
    """
    where, _, name = target.rpartition(":")
    if not where:
        raise StabenchError(f"'{target}' is no module:attribute and no path.py:Attribute")
    module = _import_file(Path(where)) if is_file(target) else _import_package(where)
    if not hasattr(module, name):
        public = (known for known in vars(module) if not known.startswith("_"))
        raise StabenchError(f"{where}: {unknown('attribute', name, public)}")
    return getattr(module, name)


def check_options(what: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raise StabenchError when `function` does not take these keywords, or needs others."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in options:
        if name not in parameters:
            raise StabenchError(f"{what}: {unknown('option', name, parameters)}")
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty
        needed = needed and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and name not in options:
            raise StabenchError(f"{what}: option '{name}' is missing; add it to the suite")


def toml_path(kind: str, name: str) -> Path:
    """Return the TOML file of a suite, protocol or recipe, by its path or registered name."""
    if name.endswith(".toml"):
        return Path(name)
    package = target(kind, name)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingError(f"{noun(kind)} '{name}': package '{package}' is not installed")
    return Path(spec.submodule_search_locations[0]) / kind / f"{name}.toml"


def inside(module: str) -> str:
    """Return the name of a module that may be written without "stabench.".

    Older trees had no such name above their rooms: suites and stored runs name functions so. A
    module of the same name beside the user's own files is found where ours has none.
    """
    room = module.partition(".")[0]
    ours = f"stabench.{module}"
    return ours if room in ROOMS and _is_importable(ours) else module


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _import_package(name: str) -> Any:
    name = inside(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingError(
            f"module '{name}' cannot be imported: no module '{error.name}'; install it"
        ) from error


def _check_file(path: Path) -> Path:
    if not path.is_file():
        raise MissingError(f"'{path}': no such file; give path.py:Class of a file that is there")
    return path


def _import_file(path: Path) -> Any:
    """Import the module of a file, once; it can import the files beside it."""
    name = (
        "stabench_file_"
        + hashlib.sha256(str(_check_file(path).resolve()).encode()).hexdigest()[:12]
    )
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None, f"{path} is no .py file"
        assert spec.loader is not None, f"{path} has no loader"
        # Before it runs, as Python's own imports do: dataclasses look their module up there.
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        if str(path.parent) not in sys.path:
            # At the end: a file beside it cannot take the place of a package.
            sys.path.append(str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
