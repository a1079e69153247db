"""The pocket test set, rendered once a session into a folder of its own."""

import pytest


@pytest.fixture(scope="session")
def pocket_set(once):
    """The test set, its audio on disk."""
    from stabench.pocket import dataset

    with pytest.MonkeyPatch.context() as patch:

        def render(folder):
            patch.setenv("STABENCH_CACHE", str(folder))
            dataset.pocket()

        patch.setenv("STABENCH_CACHE", str(once("pocket", render)))
        yield dataset.pocket()


@pytest.fixture(scope="session")
def pocket_clips(pocket_set):
    return pocket_set.clips
