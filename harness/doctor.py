"""`stabench doctor`: what this machine offers for a run, and what is missing."""

import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from harness import environment, registry


class Finding(NamedTuple):
    """One line of the doctor; `ok` is None for what is neither good nor bad."""

    ok: bool | None
    what: str
    text: str

    def __str__(self) -> str:
        mark = {True: "ok", False: "missing", None: "-"}[self.ok]
        return f"{mark:8} {self.what:14} {self.text}"


def examine(runs: Path) -> list[Finding]:
    """Python, torch, devices, threads, what is registered, weights, write access to `runs`."""
    return [
        Finding(None, "python", platform.python_version()),
        *_torch(),
        Finding(None, "processor", _processor()),
        *_registered(),
        *_weights(),
        _writable(runs),
    ]


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding(False, "torch", f"{error}; make install")
        return
    yield Finding(True, "torch", metadata.version("torch"))
    if torch.cuda.is_available():
        names = (torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding(True, "device", f"cuda: {', '.join(names)}")
    else:
        yield Finding(None, "device", "cpu only; --device cuda needs a GPU and a CUDA torch")
    yield Finding(None, "threads", f"{torch.get_num_threads()} by default; a suite sets its own")


def _processor() -> str:
    busy = environment.load_average()
    load = f", load average {busy[0]:.2f}" if busy else ""
    cores = f"{environment.usable_cores()} of {os.cpu_count()} cores usable"
    return f"{environment.cpu_model()}, {cores}{load}"


def _registered() -> Iterator[Finding]:
    """One line a kind; names whose module is not there are missing."""
    for kind in registry.BUILT_IN:
        entries = registry.entries(kind)
        absent = [entry.name for entry in entries.values() if not _present(entry.target)]
        for name in absent:
            yield Finding(False, kind, f"'{name}': no module '{entries[name].target}'")
        present = [name for name in entries if name not in absent]
        yield Finding(True if present else None, kind, ", ".join(present) or "none")


def _present(target: str) -> bool:
    """Whether the module is there; of its packages only the parents are imported."""
    try:
        return importlib.util.find_spec(target.split(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def _weights() -> Iterator[Finding]:
    """Weights that registered packages carry in a folder `weights` of theirs."""
    targets = [
        entry.target for kind in registry.BUILT_IN for entry in registry.entries(kind).values()
    ]
    for package in sorted({target.split(":")[0].split(".")[0] for target in targets}):
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            folder = Path(place) / "weights"
            if folder.is_dir():
                yield _weights_in(folder)


def _weights_in(folder: Path) -> Finding:
    sizes = [path.stat().st_size for path in folder.rglob("*.safetensors")]
    text = f"{folder}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB"
    return Finding(bool(sizes), "weights", text)


def _writable(runs: Path) -> Finding:
    place = next(path for path in (runs, *runs.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place):
            return Finding(True, "run folders", f"'{runs}' can be written")
    except OSError as error:
        return Finding(False, "run folders", f"'{runs}': {error.strerror}; use --out DIR")
