"""An adapter: a system found by its registry string, checked against the contract and loaded."""

import ctypes
import json
import traceback
from contextlib import suppress
from typing import Any, NamedTuple

from harness import registry
from harness.errors import MissingError, StabenchError

METHODS = ("load", "represent", "generate")


class Order(NamedTuple):
    """What a worker is to load and run; `audio` is the folder of the system's output."""

    system: str
    target: str
    options: dict[str, Any]
    device: str
    dtype: str
    threads: int
    audio: str
    phase: str


class LoadFailed(Exception):
    """The system could not be loaded for a reason of its own; one line."""


class Loaded(NamedTuple):
    """A system that is ready to run, and what it says of its weights and settings."""

    system: Any
    provenance: dict[str, Any]


def load(order: Order) -> Loaded:
    """The system, ready to run, with what its optional method `provenance() -> dict` returns.

    Raises MissingError for a module or file that is not there, StabenchError for wrong options or
    an incomplete class, LoadFailed for whatever else its code raises.
    """
    what = f"system '{order.system}' ({order.target})"
    try:
        return _load(order)
    except StabenchError as error:
        raise type(error)(f"{what}: {error}") from error
    except (ImportError, FileNotFoundError) as error:
        raise MissingError(f"{what}: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        traceback.print_exception(error)
        raise LoadFailed(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An exception in one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300].removesuffix(": ")


def _load(order: Order) -> Loaded:
    factory = registry.attribute(order.target)
    registry.check_options("options", factory, order.options)
    system = factory(**order.options)
    for method in METHODS:
        if not callable(getattr(system, method, None)):
            raise StabenchError(f"it has no method '{method}'; see systems/contract.py")
    system.load(order.device, order.dtype)
    if order.phase == "all" and hasattr(system, "load_generator"):
        system.load_generator()
    _release_memory()
    if not isinstance(getattr(system, "sample_rate", None), int):
        raise StabenchError("it has no integer 'sample_rate' (Hz); see systems/contract.py")
    describe = getattr(system, "provenance", dict)
    return Loaded(system, json.loads(json.dumps(describe())))


def _release_memory() -> None:
    """Give back what loading needed on the way; glibc keeps it otherwise, where there is glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
