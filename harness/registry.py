"""The registry: names of systems, datasets, embedders and suites, as strings that import nothing.

Adding one is a line here, or outside this repository an entry point in group `stabench.<kind>`.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import MissingError, StabenchError, unknown

BUILT_IN: dict[str, dict[str, str]] = {
    "systems": {
        "cascade": "stabench.systems.cascade.compose:cascade",
        "command": "stabench.systems.command:Command",
        "http": "stabench.systems.http:Http",
        "oracle-audioldm2": "stabench.systems.cascade.registry:oracle_audioldm2",
        "oracle-audit": "stabench.systems.cascade.registry:oracle_audit",
        "oracle-ezaudio": "stabench.systems.cascade.registry:oracle_ezaudio",
        "oracle-tango2": "stabench.systems.cascade.registry:oracle_tango2",
        "recorded": "stabench.systems.recorded:Recorded",
        "star": "stabench.systems.star.star:Star",
        "star-dac": "stabench.systems.star.star:StarDac",
        "star-nobridge": "stabench.systems.star.star:StarWithoutBridge",
        "whisper-audioldm2": "stabench.systems.cascade.registry:whisper_audioldm2",
        "whisper-audit": "stabench.systems.cascade.registry:whisper_audit",
        "whisper-ezaudio": "stabench.systems.cascade.registry:whisper_ezaudio",
        "whisper-tango2": "stabench.systems.cascade.registry:whisper_tango2",
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
    "gradings": {},
    "protocols": {
        "paper": "stabench.metrics",
        "stabench": "stabench.metrics",
    },
    "tasks": {
        "speech_to_audio": "stabench.harness.tasks.speech_to_audio:TASK",
    },
    "suites": {
        "demo": "stabench.harness",
        "latency": "stabench.harness",
        "table2": "stabench.harness",
    },
}
"""Kind -> name -> "module:attribute"; of a suite or a protocol the package in whose folder
`suites/` or `protocols/` it is `<name>.toml`."""
ROOMS = ("checkpoints", "harness", "metrics", "pocket", "systems")


class Entry(NamedTuple):
    """One registered name; `source` is "built in" or the distribution that brought it."""

    name: str
    target: str
    source: str


def entries(kind: str) -> dict[str, Entry]:
    """Return everything registered under `kind`, by name, without importing any of it.

    Raises StabenchError when two sources give one name to different things.
    """
    known = {name: Entry(name, target, "built in") for name, target in BUILT_IN[kind].items()}
    for point in entry_points(group=f"stabench.{kind}"):
        source = point.dist.name if point.dist else "unknown package"
        entry = Entry(point.name, point.value, source)
        earlier = known.setdefault(entry.name, entry)
        if earlier.target != entry.target:
            raise StabenchError(
                f"{kind} '{entry.name}' is registered twice: {earlier.target} ({earlier.source}) "
                f"and {entry.target} ({source}); uninstall or rename one"
            )
    return dict(sorted(known.items()))


def target(kind: str, name: str) -> str:
    """Return the string behind a name; "path.py:Attribute" is its own, made absolute."""
    if is_file(name):
        path, inner = name.rsplit(":", 1)
        return f"{_check_file(Path(path)).resolve()}:{inner}"
    known = entries(kind)
    if name not in known:
        raise StabenchError(unknown(kind.removesuffix("s"), name, known))
    return known[name].target


def is_file(name: str) -> bool:
    """Return whether `name` is of the form "path.py:Attribute"."""
    return name.rpartition(":")[0].endswith(".py")


def attribute(target: str) -> Any:
    """Import what "module:attribute" or "path.py:Attribute" names.

    Raises MissingError when the module is not there, StabenchError when it lacks the attribute.
    """
    where, name = target.rsplit(":", 1)
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
    """Return the TOML file of a suite or protocol: a path ending in .toml, or a registered name."""
    if name.endswith(".toml"):
        return Path(name)
    package = target(kind, name)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingError(
            f"{kind.removesuffix('s')} '{name}': package '{package}' is not installed"
        )
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
