"""The folder of everything that can be made or fetched again: weights, features, rendered audio."""

import errno
import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $STABENCH_CACHE, else stabench/ in the user's cache folder. Raises as that does."""
    chosen = os.environ.get("STABENCH_CACHE")
    return Path(chosen) if chosen else user_cache() / "stabench"


def user_cache() -> Path:
    """Return $XDG_CACHE_HOME, else ~/.cache. Raises OSError for a user who has no home."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry among the users, as in some containers
        raise OSError(
            errno.ENOTDIR, "no home folder to keep weights and features in; set STABENCH_CACHE"
        ) from None
