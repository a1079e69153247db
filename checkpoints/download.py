"""One file over HTTP: into `<name>.part`, resumed, retried, verified, then put in place."""

import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from stabench.checkpoints import digests

BLOCK_BYTES = 1 << 18
TIMEOUT_S = 60
ATTEMPTS = 5
"""Failures in a row, none of which brought a byte more, after which a download is given up."""
FIRST_WAIT_S = 1.0
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may be gone at the next try."""
FULL = (errno.ENOSPC, errno.EDQUOT)

Progress = Callable[[int, int | None], None]
"""Told of the bytes that are here and of all bytes, None where the server does not say."""


class DownloadError(Exception):
    """One line: what could not be downloaded, why, and what to do."""


class Broken(Exception):
    """The connection ended early or the server is busy: worth another try."""


class Stale(Exception):
    """The part on disk is of another version of the file: begin again."""


class Job(NamedTuple):
    """What is downloaded to where; `size_bytes` is None where it is not published."""

    url: str
    target: Path
    size_bytes: int | None = None

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def version(self) -> Path:
        """Beside the part: the ETag or date of the file that it is a part of."""
        return self.target.with_name(f"{self.target.name}.part.version")


def download(
    job: Job,
    verify: Callable[[Path], None],
    progress: Progress = lambda done, total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put the file of `job` in its place, after `verify` has accepted the bytes by not raising.

    Interrupted, it leaves the part for the next call. Raises DownloadError, or what `verify` raises
    (the part is deleted then).
    """
    if not job.url.startswith(("https://", "http://")):
        raise DownloadError(f"{job.url}: only http and https are fetched; correct the catalogue")
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with digests.locked(job.target.with_name(f".{job.target.name}.lock"), wait=False):
            _receive_verified(job, verify, progress, sleep)
    except BlockingIOError:
        raise DownloadError(
            f"{job.target}: another process is fetching it; wait for that one"
        ) from None
    except OSError as error:
        raise DownloadError(_disk(job, error)) from error


def _receive_verified(
    job: Job,
    verify: Callable[[Path], None],
    progress: Progress,
    sleep: Callable[[float], None],
) -> None:
    """Receive all bytes and accept them; bytes that join two calls are given a second chance."""
    resumed = _part_size(job) > 0
    _receive(job, progress, sleep)
    try:
        verify(job.part)
    except ValueError:
        _forget(job)
        if not resumed:
            raise
        _receive_verified(job, verify, progress, sleep)
        return
    _into_place(job)


def _receive(job: Job, progress: Progress, sleep: Callable[[float], None]) -> None:
    """Retry until the part is whole; tries that brought bytes do not count as failures."""
    failures, farthest = 0, _part_size(job)
    while True:
        try:
            _request(job, progress)
            return
        except Stale:
            _forget(job)
            reason = "the file changed while it was fetched"
        except Broken as error:
            reason = str(error)
        size = _part_size(job)
        failures = 0 if size > farthest else failures + 1
        farthest = max(farthest, size)
        if failures >= ATTEMPTS:
            raise DownloadError(
                f"{job.url}: given up after {ATTEMPTS} tries ({reason}); run the fetch again, "
                f"it goes on from {size} bytes"
            )
        sleep(FIRST_WAIT_S * 2 ** (failures - 1))


def _request(job: Job, progress: Progress) -> None:
    """One request for the bytes that are still missing."""
    have = _part_size(job)
    if job.size_bytes is not None and have == job.size_bytes:
        return
    version = job.version.read_text() if job.version.is_file() else ""
    if have and not version:
        # Nothing says which version of the file these bytes are of.
        _forget(job)
        have = 0
    headers = {"User-Agent": "stabench", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        with _opener().open(
            urllib.request.Request(job.url, headers=headers), timeout=TIMEOUT_S
        ) as response:
            _save(job, response, version, progress)
    except urllib.error.HTTPError as error:
        raise _answer(job, error) from error
    except (urllib.error.URLError, http.client.HTTPException) as error:
        raise Broken(f"{getattr(error, 'reason', None) or type(error).__name__}") from error


def _save(job: Job, response: http.client.HTTPResponse, version: str, progress: Progress) -> None:
    """Append what the server continues, or begin again with what it sends from the start."""
    done = _offset(job, response, version)
    total = _total(job, response, done)
    if not done:
        _forget(job)
        job.version.write_text(_version(response))
    _check_space(job, (total or 0) - done)
    with open(job.part, "ab") as part:
        progress(done, total)
        for block in _blocks(response):
            part.write(block)
            done += len(block)
            progress(done, total)
    if total is not None and done < total:
        raise Broken(f"the connection ended at {done} of {total} bytes")


def _total(job: Job, response: http.client.HTTPResponse, done: int) -> int | None:
    """Bytes of the whole file. Raises DownloadError for an answer that cannot be the file."""
    length = response.headers.get("Content-Length")
    total = done + int(length) if length and length.isdigit() else None
    if response.headers.get_content_type() == "text/html":
        fault = "the answer is a web page, not the file (a proxy or a sign-in page?)"
    elif None not in (total, job.size_bytes) and total != job.size_bytes:
        fault = f"the server offers {total} bytes, published are {job.size_bytes}"
    elif total is None and job.size_bytes is None and not response.chunked:
        fault = "the server does not say how long the file is, so a broken one would not show"
    elif total == 0:
        fault = "the server offers an empty file"
    else:
        return total if total is not None else job.size_bytes
    raise DownloadError(f"{job.url}: {fault}; fetch it by hand, and put it at {job.target}")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body. Raises Broken for what the network does: a full disk is another matter."""
    while True:
        try:
            block = response.read(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"the connection broke: {error or type(error).__name__}") from error
        if not block:
            return
        yield block


def _offset(job: Job, response: http.client.HTTPResponse, version: str) -> int:
    """Where the answer begins. Raises Stale when it does not go on from the part."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    have = _part_size(job)
    span = response.headers.get("Content-Range", "")
    if not span.startswith(f"bytes {have}-") or _version(response) != version:
        raise Stale
    return have


def _version(response: http.client.HTTPResponse) -> str:
    """What If-Range can ask for: a strong ETag, else the date; "" when there is neither."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _answer(job: Job, error: urllib.error.HTTPError) -> Exception:
    """What an HTTP error status means for the download."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return Stale()
    if error.code in PASSING:
        return Broken(f"HTTP {error.code} {error.reason}")
    hint = {
        401: "it asks for an account or an accepted licence; fetch it by hand",
        403: "it asks for an account or an accepted licence; fetch it by hand",
        404: "it is no longer there; get the file elsewhere",
    }.get(error.code, "fetch it by hand")
    return DownloadError(
        f"{job.url}: HTTP {error.code} {error.reason}; {hint}, and put it at {job.target}"
    )


def _into_place(job: Job) -> None:
    with open(job.part, "rb") as part:
        os.fsync(part.fileno())
    os.replace(job.part, job.target)
    job.version.unlink(missing_ok=True)
    folder = os.open(job.target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _forget(job: Job) -> None:
    job.part.unlink(missing_ok=True)
    job.version.unlink(missing_ok=True)


def _part_size(job: Job) -> int:
    return job.part.stat().st_size if job.part.is_file() else 0


def _check_space(job: Job, needed: int) -> None:
    free = shutil.disk_usage(job.target.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed} bytes needed, {free} free", str(job.target.parent))


def _disk(job: Job, error: OSError) -> str:
    place = error.filename or job.target.parent
    if error.errno in FULL:
        return (
            f"{place}: no space left ({error.strerror}); free some, or set STABENCH_WEIGHTS to "
            "another disk, and run the fetch again: it goes on where it stopped"
        )
    if isinstance(error, PermissionError):
        return f"{place}: permission denied; set STABENCH_WEIGHTS to a folder that can be written"
    return f"{place}: {error.strerror or error}"


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise DownloadError(f"{req.full_url}: redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Proxies come from the environment, as urllib reads it."""
    return urllib.request.build_opener(_NoDowngrade)
