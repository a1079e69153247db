"""Getting the weights of an entry: from its origin into the weights folder, checked and pinned."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from stabench.checkpoints import store
from stabench.checkpoints.catalogue import Entry, File
from stabench.checkpoints.digests import remember
from stabench.checkpoints.download import Job, Progress, download

FileProgress = Callable[[str], Progress]
"""Asked for a Progress at the beginning of each file, by the file's name."""


def fetch(
    entry: Entry,
    progress: FileProgress = lambda name: lambda done, total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Where the entry lies, whole and verified; what was here already is not fetched again.

    A file without a published sha256 is pinned to the bytes that came. Raises DownloadError,
    ValueError for bytes that are not the published or pinned ones, and FileNotFoundError for
    weights that only a package brings.
    """
    with suppress(FileNotFoundError, store.Wrong):
        place = store.locate(entry.name)
        adopt(place, entry)
        return place
    if not entry.fetchable:
        raise FileNotFoundError(
            f"weights '{entry.name}' come with a package; {store.how_to_get(entry)}"
        )
    for file in entry.files:
        target = store.home(entry, file)
        if not _accepted(entry, file, target):
            _get(entry, file, target, progress(file.basename), sleep)
    place = store.locate(entry.name)
    adopt(place, entry)
    return place


def adopt(place: Path, entry: Entry) -> list[str]:
    """Pin the files at `place` that nothing vouches for yet; their keys. Verifies the others."""
    digests = store.verify(place, entry)
    loose = store.unpinned(place, entry)
    if loose:
        store.pin({key: digests[key.split("/", 1)[1]] for key in loose})
    return loose


def url(entry: Entry, file: File) -> str:
    """The file's own address, or that of the hub ($HF_ENDPOINT, else huggingface.co)."""
    if file.url:
        return file.url
    hub = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    return f"{hub}/{entry.repo}/resolve/{quote(entry.revision, safe='')}/{quote(file.name)}"


def _accepted(entry: Entry, file: File, target: Path) -> bool:
    """Whether the file is in its place and right; a wrong one is to be replaced."""
    if not target.is_file():
        return False
    try:
        _check(entry, file, target)
    except store.Wrong:
        return False
    return True


def _get(
    entry: Entry,
    file: File,
    target: Path,
    progress: Progress,
    sleep: Callable[[float], None],
) -> None:
    """Download, verify, put in place; pin what has only a part of its digest published."""
    hashes: list[str] = []

    def verify(part: Path) -> None:
        try:
            hashes.append(_check(entry, file, part))
        except store.Wrong as error:
            raise ValueError(f"{error.what}; nothing was kept of it") from error

    download(Job(url(entry, file), target, file.size_bytes), verify, progress, sleep)
    remember(target, hashes[-1])
    if len(file.sha256 or "") < store.WHOLE_SHA256:
        store.pin({_key(entry, file): hashes[-1]})


def _check(entry: Entry, file: File, path: Path) -> str:
    """sha256 of the file at `path`, which need not be its place yet. Raises ValueError."""
    member = store.Member(file, path, _key(entry, file), False)
    store.check_size(entry, member)
    return store.check(entry, member, store.pinned().get(member.key))


def _key(entry: Entry, file: File) -> str:
    return f"{entry.name}/{file.name if entry.kind == 'folder' else file.basename}"
