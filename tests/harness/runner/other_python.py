"""Other interpreters for tests: environments of this Python that hold chosen packages only."""

import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

FILES = {
    "numpy": ("numpy", "numpy.libs"),
    "soundfile": ("soundfile.py", "_soundfile.py", "_soundfile_data"),
    "cffi": ("cffi", "_cffi_backend"),
    "pycparser": ("pycparser",),
    "typing-extensions": ("typing_extensions.py",),
    "threadpoolctl": ("threadpoolctl.py",),
}
"""What a worker needs, and what that needs: distributions, and how their entries begin."""


def make_python(folder: Path, without: tuple[str, ...] = ()) -> Path:
    """Return the interpreter of a new environment with the packages of FILES, as links."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60
    )
    packages = find_packages(folder)
    for name, beginnings in FILES.items():
        if name not in without:
            _link(name, beginnings, packages)
    return folder / "bin" / "python"


def find_packages(folder: Path) -> Path:
    """Return the folder of packages of an environment."""
    return next(folder.glob("lib/python*/site-packages"))


def add_torch(packages: Path, version: str) -> None:
    """Put a package `torch` there that has a version and nothing else."""
    (packages / "torch").mkdir(parents=True)
    (packages / "torch" / "__init__.py").write_text(
        f"__version__ = {version!r}\n"
        "def set_num_threads(n): pass\ndef get_num_threads(): return 1\n"
    )


def _link(name: str, beginnings: tuple[str, ...], packages: Path) -> None:
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    ours = Path(spec.origin).parent
    ours = ours.parent if spec.submodule_search_locations else ours
    for entry in ours.iterdir():
        if entry.name.startswith(beginnings) and not entry.name.endswith(".dist-info"):
            target = packages / entry.name
            if not target.exists():
                target.symlink_to(entry)
    info = metadata.distribution(name).locate_file("")
    for entry in Path(str(info)).glob(f"{module}-*.dist-info"):
        (packages / entry.name).symlink_to(entry)
