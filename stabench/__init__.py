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

__version__ = "0.1.0"

# Where each public name is defined: importing stabench imports none of these modules.
_PUBLIC = {
    "Comparison": "stabench.api",
    "EvaluationHelper": "stabench.audioldm_eval",
    "MissingError": "stabench.harness.errors",
    "Representation": "stabench.systems.contract",
    "Run": "stabench.opened_run",
    "StabenchError": "stabench.harness.errors",
    "SubmittedRun": "stabench.opened_submission",
    "Utterance": "stabench.systems.contract",
    "Waveform": "stabench.systems.contract",
    "compare": "stabench.api",
    "open_run": "stabench.api",
    "open_submission": "stabench.api",
    "run": "stabench.api",
    "score": "stabench.api",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(
        f"module 'stabench' has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
