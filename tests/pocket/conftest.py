"""The pocket test set, rendered once a session into a folder of its own."""

import fcntl
import os

import pytest


@pytest.fixture(scope="session")
def pocket_set(tmp_path_factory):
    """The test set, its audio on disk: the first process that asks renders it, for all."""
    from stabench.pocket import dataset

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABENCH_CACHE", str(folder / "pocket"))
        with (folder / "pocket.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rendered = dataset.pocket()
        yield rendered


@pytest.fixture(scope="session")
def pocket_clips(pocket_set):
    return pocket_set.clips
