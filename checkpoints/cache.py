"""The folder of everything that can be made or fetched again: weights, features, rendered audio."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$STABENCH_CACHE, else stabench/ in the user's cache folder."""
    chosen = os.environ.get("STABENCH_CACHE")
    return Path(chosen) if chosen else user_cache() / "stabench"


def user_cache() -> Path:
    """$XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
