"""The environment of a run: machine, versions and source, so that a number can be placed."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import stabench

SOURCE = Path(__file__).parent
# What runs a module of this copy of stabench: `python START MODULE`.
START = Path(stabench.__file__).resolve().with_name("start.py")


class Gpu(NamedTuple):
    """One GPU as nvidia-smi names it; clocks in MHz at the moment of asking."""

    name: str
    driver: str
    memory_mib: int
    clock_mhz: int | None
    max_clock_mhz: int | None


class Git(NamedTuple):
    """State of the source tree; `dirty` when tracked files differ from the commit."""

    commit: str
    branch: str
    dirty: bool


@dataclass(frozen=True)
class Environment:
    """What a latency depends on. `cpu_mhz` is one clock a core where readable, else empty."""

    python: str
    platform: str
    cpu_model: str
    cpu_cores: int
    cpu_usable: int
    cpu_mhz: tuple[float, ...]
    cpu_governor: str | None
    load_average: tuple[float, float, float] | None
    memory_bytes: int | None
    gpus: tuple[Gpu, ...]
    threads: int
    torch: str | None
    git: Git | None
    packages: dict[str, str]


def record(threads: int) -> Environment:
    """Return the environment now; `threads` is what systems are allowed.

    Imports no heavy package.
    """
    packages = installed()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu_model=cpu_model(),
        cpu_cores=os.cpu_count() or 1,
        cpu_usable=usable_cores(),
        cpu_mhz=cpu_mhz(),
        cpu_governor=_read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load_average=load_average(),
        memory_bytes=memory_bytes(),
        gpus=gpus(),
        threads=threads,
        torch=packages.get("torch"),
        git=git(),
        packages=packages,
    )


@cache
def installed() -> dict[str, str]:
    """Return the version of every installed distribution, by lower-case name."""
    versions_by_name = {
        dist.name.lower(): dist.version for dist in metadata.distributions() if dist.name
    }
    return dict(sorted(versions_by_name.items()))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return versions of those distributions among `names` that are installed."""
    present = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            present[name] = metadata.version(name)
    return present


def versions_in_use(names: Iterable[str]) -> dict[str, str]:
    """Return the same, but of a module that was imported from elsewhere the version it states."""
    known = versions(names)
    for name in names:
        module = sys.modules.get(name)
        stated, path = getattr(module, "__version__", None), getattr(module, "__file__", None)
        if stated and path and not _is_of_distribution(name, Path(path)):
            known[name] = str(stated)
    return known


def _is_of_distribution(name: str, path: Path) -> bool:
    try:
        folder = Path(str(metadata.distribution(name).locate_file("")))
    except metadata.PackageNotFoundError:
        return False
    return path.resolve().is_relative_to(folder.resolve())


def cpu_model() -> str:
    """Return the processor's own name, or its architecture."""
    return next(iter(_read_cpuinfo("model name")), platform.processor() or platform.machine())


def cpu_mhz() -> tuple[float, ...]:
    """Return the clock of each core now, MHz."""
    return tuple(float(value) for value in _read_cpuinfo("cpu MHz"))


def usable_cores() -> int:
    """Return cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> tuple[float, float, float] | None:
    """Return processes waiting for a core over 1, 5 and 15 minutes."""
    try:
        return os.getloadavg()
    except OSError:
        return None


def memory_bytes() -> int | None:
    """Return physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def gpus() -> tuple[Gpu, ...]:
    """Return every NVIDIA GPU that CUDA may use; none when nvidia-smi is not there."""
    query = "name,driver_version,memory.total,clocks.sm,clocks.max.sm"
    # nvidia-smi itself lists those that CUDA_VISIBLE_DEVICES hides, too.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    command = ("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits")
    out = None
    if visible:
        out = _run_command(*command, f"--id={visible}")
    # A part of a GPU (MIG) is in no list of nvidia-smi's: all GPUs say more than none.
    if out is None and visible != "":
        out = _run_command(*command)
    rows = [line.split(", ") for line in (out or "").splitlines()]
    return tuple(
        Gpu(row[0], row[1], int(row[2]), _parse_int(row[3]), _parse_int(row[4]))
        for row in rows
        if len(row) == 5
    )


def git() -> Git | None:
    """Return the state of the tree this source is tracked in; None when it is tracked in none."""
    here = ("git", "-C", str(SOURCE))
    # An installed copy may lie inside a repository that does not track it.
    if _run_command(*here, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _run_command(*here, "rev-parse", "HEAD")
    if commit is None:
        return None
    branch = _run_command(*here, "rev-parse", "--abbrev-ref", "HEAD") or ""
    changed = _run_command(*here, "status", "--porcelain", "--untracked-files=no")
    return Git(commit, branch, bool(changed))


def _read_cpuinfo(key: str) -> list[str]:
    lines = (_read_text("/proc/cpuinfo") or "").splitlines()
    return [line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key]


def _read_text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _parse_int(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _run_command(*command: str) -> str | None:
    """Return standard output of a command; None when it fails or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
