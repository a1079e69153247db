"""Stages without a clock: the `spans` of a pass that counts, and tells a watcher where it is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from stabench.harness.runs.journal import REMAINDER


class Stage(NamedTuple):
    """A stage of a phase; what no stage claims is the phase's remainder."""

    phase: str
    name: str


# Entered when a stage begins, left when it ends; stages are entered within their remainder.
Watch = Callable[[Stage], AbstractContextManager[None]]


class Stages:
    """Follows a system through phases and stages as the clock does, and times nothing.

    Unlike the clock it does not insist that stages lie side by side: the timed clips have shown
    that they do.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._phase = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Follow one phase."""
        self._phase = name
        with self._watch(Stage(name, REMAINDER)):
            yield

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Follow one stage of the running phase."""
        with self._watch(Stage(self._phase, name)):
            yield
