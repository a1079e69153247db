"""Getting weights: by the hub's client into the weights folder, checked and pinned."""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stabench.checkpoints import store
from stabench.checkpoints.catalogue import Entry, File
from stabench.checkpoints.digests import locked, remember
from stabench.checkpoints.folders import weights_folder

# Folder inside an entry's, for what has not been checked yet.
INCOMING = ".incoming"


class FetchError(Exception):
    """One line: what could not be fetched, why, and what to do."""


def fetch(entry: Entry, tell: Callable[[Path], None] = lambda path: None) -> Path:
    """Return where the entry lies, whole and verified; what is here already is not fetched again.

    Each file takes its name only after its size and digest are right; `tell` is called with it
    then. A file without a published sha256 is pinned to the bytes that came. Raises FetchError,
    ValueError for bytes that are not the published or pinned ones, and FileNotFoundError for
    weights that only a package brings.
    """
    if entry.unverified:
        raise FetchError(store.explain_unverified(entry))
    # Missing or wrong files are fetched below; a damaged pins.json is for the user to mend.
    with suppress(FileNotFoundError, store.Wrong):
        place = store.locate(entry.name)
        _pin_loose(place, entry)
        return place
    if not entry.fetchable:
        raise FileNotFoundError(
            f"weights '{entry.name}' come with a package; {store.how_to_get(entry)}"
        )
    folder = weights_folder() / entry.name
    try:
        (folder / INCOMING).mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", wait=False):
            for file in entry.files:
                target = store.home(entry, file)
                if not _is_right(entry, file, target):
                    _fetch_file(entry, file, folder / INCOMING)
                    tell(target)
            shutil.rmtree(folder / INCOMING)
    except BlockingIOError:
        raise FetchError(f"{folder}: another process is fetching it; wait for that one") from None
    except OSError as error:
        raise FetchError(_explain_disk(error, folder)) from error
    place = store.locate(entry.name)
    _pin_loose(place, entry)
    return place


def _pin_loose(place: Path, entry: Entry) -> None:
    """Verify the files at `place`, and pin those that nothing vouches for yet."""
    digests = store.verify(place, entry)
    # Files may come from another tool's cache: from now on a change of their bytes is seen.
    loose = store.unpinned(place, entry)
    if loose:
        store.pin({key: digests[key.split("/", 1)[1]] for key in loose})


def _is_right(entry: Entry, file: File, target: Path) -> bool:
    """Return whether the file is in its place and right; a wrong one is to be replaced."""
    if not target.is_file():
        return False
    try:
        _check(entry, file, target)
    except store.Wrong:
        return False
    return True


def _fetch_file(entry: Entry, file: File, incoming: Path) -> None:
    """Download, check, pin what has no whole digest published, and put in place."""
    # Told before the download: gigabytes later is too late to learn that the disk is too small.
    if file.size_bytes is not None and file.size_bytes > shutil.disk_usage(incoming).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(incoming))
    target = store.home(entry, file)
    arrived = _download(entry, file, incoming)
    try:
        sha256 = _check(entry, file, arrived)
    except store.Wrong as error:
        # The next call would continue what stayed, or take it as it is, and be wrong again.
        arrived.unlink()
        raise ValueError(f"{error.what}; nothing was kept of it, run the fetch again") from error
    if len(file.sha256 or "") < store.WHOLE_SHA256:
        store.pin({_key(entry, file): sha256})
    target.parent.mkdir(parents=True, exist_ok=True)
    # To the disk before the name: a crash must not leave a whole name on half a file.
    with arrived.open("rb") as content:
        os.fsync(content.fileno())
    arrived.replace(target)
    remember(target, sha256)


def _check(entry: Entry, file: File, path: Path) -> str:
    """Return the sha256 of the file at `path`, which need not be its place yet; raise Wrong."""
    member = store.Member(file, path, _key(entry, file), False)
    store.check_size(entry, member)
    return store.check(entry, member, store.pinned().get(member.key))


def _key(entry: Entry, file: File) -> str:
    return f"{entry.name}/{file.name if entry.kind == 'folder' else file.basename}"


def _download(entry: Entry, file: File, incoming: Path) -> Path:
    """Bring a file into `incoming`; the client retries, and draws a bar on a terminal."""
    from huggingface_hub.errors import HTTPError

    try:
        return _resume_url(file, incoming) if file.url else _ask_hub(entry, file, incoming)
    except (OSError, HTTPError, RuntimeError) as error:  # hf_xet raises the last.
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The disk's fault.
        where = file.url or f"{entry.repo} {file.name}"
        raise FetchError(
            f"{where}: {_explain_refusal(error)} (its place is {store.home(entry, file)})"
        ) from error


def _ask_hub(entry: Entry, file: File, incoming: Path) -> Path:
    """$HF_ENDPOINT names another hub, $HF_TOKEN an account; `hf auth login` keeps one."""
    from huggingface_hub import hf_hub_download

    assert entry.repo is not None, "a file with neither url nor repo"
    repo = entry.repo.removeprefix("spaces/")
    path = hf_hub_download(
        repo,
        file.name,
        repo_type="model" if repo == entry.repo else "space",
        revision=entry.revision,
        local_dir=incoming,
        # A damaged copy in the hub's own cache would come back at every try.
        cache_dir=incoming,
        endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None,
    )
    return Path(path)


def _resume_url(file: File, incoming: Path) -> Path:
    """Continue from the bytes that an earlier call left; the digest tells if they do not fit."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    assert file.url is not None
    part = incoming / f"{file.basename}.part"
    try:
        with part.open("ab") as content:
            http_get(
                file.url,
                content,
                resume_size=content.tell(),
                # Of a compressed answer the bytes could not be continued by their number.
                headers={"Accept-Encoding": "identity"},
                displayed_filename=file.basename,
            )
    except HfHubHTTPError as error:
        if error.response.status_code == 416:  # The part is longer than the file.
            part.unlink()
        raise
    return part


def _explain_refusal(error: Exception) -> str:
    """Return in one line why nothing came, and what to do."""
    from huggingface_hub import errors

    # The client hides why it could not reach the hub behind "not in the local cache".
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return (
            "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids it; unset it, or get the file by hand"
        )
    if isinstance(cause, errors.GatedRepoError):
        return "it is gated; accept its licence on its page, run `hf auth login`, fetch again"
    if status in (401, 403):
        return f"HTTP {status}, it asks for an account; run `hf auth login`, or get it by hand"
    if status in (404, 410):
        return f"HTTP {status}, it is no longer there; get the file elsewhere"
    if status is not None:
        return f"HTTP {status}; run the fetch again later, or get the file by hand"
    reason = next(iter(str(cause).splitlines()), "") or type(cause).__name__
    return f"it broke off ({reason}); check network and proxy, and run the fetch again"


def _explain_disk(error: OSError, folder: Path) -> str:
    place = error.filename or folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{place}: no space left; free some, or set STABENCH_WEIGHTS to another disk, and run "
            "the fetch again"
        )
    if isinstance(error, PermissionError):
        return f"{place}: permission denied; set STABENCH_WEIGHTS to a folder that can be written"
    return f"{place}: {error.strerror or error}"
