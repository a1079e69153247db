"""The pocket test set, rendered once a session into a folder of its own."""

import os

import pytest


@pytest.fixture(scope="session")
def pocket_clips(tmp_path_factory):
    """The clips of the test set, their audio on disk."""
    from stabench.pocket import dataset

    with pytest.MonkeyPatch.context() as patch:
        if "STABENCH_CACHE" not in os.environ:
            patch.setenv("STABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield dataset.pocket().clips
