"""Work on several cores, in order; no worker outlives a command that was killed."""

import ctypes
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
# PR_SET_PDEATHSIG of Linux's <sys/prctl.h>.
_PARENT_DEATH_SIGNAL = 1


def map_in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[Result]:
    """Yield what `work` returns of each job, in the jobs' order, from so many processes.

    With one worker everything happens here. Raises what `work` raises; jobs that nobody has begun
    are dropped then.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    # Not forked: torch's threads do not survive that.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _die_with_parent)
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _die_with_parent() -> None:
    # Elsewhere than on Linux a worker waits for ever once its parent was killed.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    # Ctrl-C reaches every process of a terminal; the parent alone answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
