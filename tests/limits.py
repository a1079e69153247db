"""What reading a file of a few hundred bytes may take: 10 s of this process and 1 GB."""

import resource
import signal
from types import FrameType

CPU_S = 10.0
MEMORY_BYTES = 2**30


class Limits:
    """`with limits:` around each example; Linux and macOS.

    Time of the processor, not of the clock: a busy machine makes nothing fail.
    """

    def __init__(self) -> None:
        self._before = _most_bytes()

    def __enter__(self) -> None:
        signal.signal(signal.SIGPROF, _stop)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        grown = _most_bytes() - self._before
        assert grown < MEMORY_BYTES, f"{grown / 2**30:.1f} GB for a small file, allowed is 1"


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise AssertionError(f"still reading a small file after {CPU_S:g} s")


def _most_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
