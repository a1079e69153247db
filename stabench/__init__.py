"""stabench: how well, and how fast, systems answer speech with sound.

The rooms (`stabench.harness`, `stabench.systems`, `stabench.metrics`, ...) are subpackages. In a
checkout their folders lie beside this one; a wheel has them inside.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
if not (_HERE / "harness").is_dir():
    __path__.append(str(_HERE.parent))

__all__ = ["Representation", "Utterance", "Waveform"]


def __getattr__(name: str) -> Any:
    """Import what an adapter needs when it is first asked for: importing stabench stays quick."""
    if name in __all__:
        return getattr(import_module("stabench.systems.contract"), name)
    raise AttributeError(
        f"module 'stabench' has no attribute {name!r}; it has {', '.join(__all__)}"
    )
