"""What processes of tests share: the cores, and what takes long to make."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Whether other processes run tests of the same session beside this one."""
FIRST = Path(__file__).with_name("table2")
"""Its tests share one run that takes long: last of all, it would leave the other processes idle."""

# Processes of several threads each wait for one another where cores are few: products of matrices
# then take tens of times as long. numpy and torch read this once, when they are first imported, and
# processes that tests start inherit it. Who has set it, as tests/isa.py does, is obeyed.
if WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
THREADS = os.environ.get("OMP_NUM_THREADS", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST not in item.path.parents)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Scoring in a test holds the whole process to the threads of a suite, and leaves it so."""
    yield
    if THREADS.isdigit():
        from stabench.harness.device import limit_threads

        limit_threads(int(THREADS))


@pytest.fixture(scope="session")
def once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: a folder that `make` fills in the first process that asks for it."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if WORKER else root

    def share(name: str, make: Callable[[Path], object]) -> Path:
        folder = root / name
        with (root / f"{name}.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                folder.mkdir(exist_ok=True)
                make(folder)
                lock.write("made")
        return folder

    return share
