"""Python without a network: every connection and look-up of a name is noted, and refused.

Python imports this at its start where the folder is on PYTHONPATH; workers inherit it. An audit
hook replaces nothing of the program, and no library can go round it but by its own system calls.
"""

import os
import sys
from typing import Any

EVENTS = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in EVENTS:
        return
    target = arguments[0] if event.startswith("socket.get") else arguments[-1]
    if isinstance(target, str | bytes) and not event.startswith("socket.get"):
        return  # a socket of this machine's file system
    with open(os.environ["STABENCH_TEST_CONNECTIONS"], "a", encoding="utf-8") as file:
        print(event, target, file=file)
    raise OSError(101, "Network is unreachable")


if "STABENCH_TEST_CONNECTIONS" in os.environ:
    sys.addaudithook(_refuse)
