"""Folders that may hold weights: ours, caches of tools that fetch the same files, packages."""

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from stabench.checkpoints.cache import cache_folder, user_cache
from stabench.checkpoints.catalogue import Entry


def weights_folder() -> Path:
    """Where weights are fetched to: $STABENCH_WEIGHTS, else weights/ in the cache folder."""
    chosen = os.environ.get("STABENCH_WEIGHTS")
    return Path(chosen).expanduser() if chosen else cache_folder() / "weights"


def own_folders() -> list[Path]:
    """Folders of ours in the order of search: the chosen one, then the one in the cache."""
    return list(dict.fromkeys([weights_folder(), cache_folder() / "weights"]))


def hub_snapshot(entry: Entry) -> Path | None:
    """The entry's snapshot in the cache of the Hugging Face hub; None when there is none.

    A branch is followed through `refs/`, as the hub's own client leaves it.
    """
    if entry.repo is None:
        return None
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if chosen:
        cache = Path(chosen).expanduser()
    else:
        home = os.environ.get("HF_HOME")
        cache = (Path(home).expanduser() if home else user_cache() / "huggingface") / "hub"
    # The hub's client names a folder "models--owner--name", or "spaces--owner--name".
    kind = "" if entry.repo.startswith("spaces/") else "models/"
    folder = cache / (kind + entry.repo).replace("/", "--")
    # refs/<branch> holds the commit of its last download; a commit has no such file.
    branch = folder / "refs" / entry.revision
    revision = branch.read_text().strip() if branch.is_file() else entry.revision
    snapshot = folder / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def tool_cache(entry: Entry) -> Path | None:
    """Where the tool that `cached_by` names keeps its downloads."""
    if entry.cached_by == "torch-hub":
        home = os.environ.get("TORCH_HOME")
        torch = Path(home).expanduser() if home else user_cache() / "torch"
        return torch / "hub" / "checkpoints"
    if entry.cached_by == "whisper":
        return user_cache() / "whisper"
    return None


def package_folder(entry: Entry) -> Path | None:
    """The folder in the entry's installed package; None without it, or in another version.

    The package's record is read, none of its code.
    """
    if entry.package is None:
        return None
    try:
        installed = distribution(entry.package.name)
    except PackageNotFoundError:
        return None
    if installed.version != entry.package.version:
        return None
    return Path(str(installed.locate_file(entry.package.folder)))
