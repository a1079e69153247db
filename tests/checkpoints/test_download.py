"""Downloads from a server that misbehaves: whole and right in the end, or not there at all."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.checkpoints import download as module
from stabench.checkpoints.download import DownloadError, Job, download
from tests.checkpoints.origin import Origin, sha256

DATA = bytes(range(256)) * 4000
HALF = len(DATA) // 2


class Waits(list[float]):
    """Stands in for time.sleep."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def job(origin: Origin, tmp_path: Path) -> Job:
    origin.files["/x.pt"] = DATA
    return Job(f"{origin.url}/x.pt", tmp_path / "deep/x.pt", len(DATA))


def is_data(path: Path) -> None:
    if sha256(path.read_bytes()) != sha256(DATA):
        raise ValueError(f"{path.name} is wrong")


def left(job: Job) -> set[str]:
    """Files in the target's folder, but for the lock."""
    return {path.name for path in job.target.parent.iterdir()} - {".x.pt.lock"}


def test_a_file_comes_whole_and_leaves_nothing_else(job: Job, waits: Waits) -> None:
    told: list[tuple[int, int | None]] = []
    download(job, is_data, lambda done, total: told.append((done, total)), waits)
    assert job.target.read_bytes() == DATA
    assert left(job) == {"x.pt"}
    assert (told[0], told[-1]) == ((0, len(DATA)), (len(DATA), len(DATA)))
    assert waits == []


def test_redirects_are_followed(job: Job, origin: Origin, waits: Waits) -> None:
    origin.redirects["/here"] = "/there"
    origin.redirects["/there"] = f"{origin.url}/x.pt"
    download(job._replace(url=f"{origin.url}/here"), is_data, sleep=waits)
    assert job.target.read_bytes() == DATA


def test_a_cut_connection_goes_on_where_it_stopped(job: Job, origin: Origin, waits: Waits) -> None:
    origin.cuts = [HALF, 1000]
    download(job, is_data, sleep=waits)
    assert job.target.read_bytes() == DATA
    ranges = [asked for _, asked in origin.asked]
    assert ranges == ["", f"bytes={HALF}-", f"bytes={HALF + 1000}-"]


def test_a_server_without_ranges_begins_again(job: Job, origin: Origin, waits: Waits) -> None:
    origin.ranges, origin.cuts = False, [HALF]
    download(job, is_data, sleep=waits)
    assert job.target.read_bytes() == DATA
    assert len(origin.asked) == 2


@pytest.mark.parametrize("published", [True, False], ids=["size known", "size unknown"])
def test_a_file_that_changed_meanwhile_is_not_patched_together(
    job: Job, origin: Origin, waits: Waits, published: bool
) -> None:
    job = job if published else job._replace(size_bytes=None)
    old = b"\0" * len(DATA)
    origin.files["/x.pt"], origin.cuts = old, [HALF]

    def sleep(seconds: float) -> None:
        origin.files["/x.pt"] = DATA

    download(job, is_data, sleep=sleep)
    assert job.target.read_bytes() == DATA


def test_a_part_of_an_unknown_version_is_dropped(job: Job, origin: Origin, waits: Waits) -> None:
    job.target.parent.mkdir()
    job.part.write_bytes(b"\0" * HALF)
    download(job, is_data, sleep=waits)
    assert [asked for _, asked in origin.asked] == [""]
    assert job.target.read_bytes() == DATA


def test_a_wrong_part_gets_one_second_chance(job: Job, origin: Origin, waits: Waits) -> None:
    job.target.parent.mkdir()
    job.part.write_bytes(b"\0" * HALF)
    job.version.write_text(f'"{sha256(DATA)[:16]}"')
    download(job, is_data, sleep=waits)
    assert [asked for _, asked in origin.asked] == [f"bytes={HALF}-", ""]
    assert job.target.read_bytes() == DATA


def test_wrong_bytes_never_reach_the_target(job: Job, origin: Origin, waits: Waits) -> None:
    origin.files["/x.pt"] = DATA[::-1]
    with pytest.raises(ValueError, match=r"x\.pt\.part is wrong"):
        download(job, is_data, sleep=waits)
    assert left(job) == set()
    assert len(origin.asked) == 1


def test_an_old_file_stays_until_the_new_one_is_right(
    job: Job, origin: Origin, waits: Waits
) -> None:
    job.target.parent.mkdir()
    job.target.write_bytes(b"old")
    origin.files["/x.pt"] = DATA[::-1]
    with pytest.raises(ValueError, match="is wrong"):
        download(job, is_data, sleep=waits)
    assert job.target.read_bytes() == b"old"


def test_another_size_is_refused_before_it_comes(job: Job, origin: Origin, waits: Waits) -> None:
    origin.files["/x.pt"] = b"version https://git-lfs"
    with pytest.raises(DownloadError, match=r"offers 23 bytes, published are 1024000"):
        download(job, is_data, sleep=waits)
    origin.files["/x.pt"] = b""
    with pytest.raises(DownloadError, match=r"offers an empty file"):
        download(job._replace(size_bytes=None), is_data, sleep=waits)
    assert left(job) == set()


def test_a_web_page_is_no_weights(job: Job, origin: Origin, waits: Waits) -> None:
    origin.type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="the answer is a web page"):
        download(job._replace(size_bytes=None), is_data, sleep=waits)
    assert left(job) == set()


def test_a_busy_server_is_asked_again(job: Job, origin: Origin, waits: Waits) -> None:
    origin.answers = [503, 429, 500]
    download(job, is_data, sleep=waits)
    assert waits == [1, 2, 4]
    assert job.target.read_bytes() == DATA


def test_it_gives_up_and_says_so(job: Job, origin: Origin, waits: Waits) -> None:
    origin.answers = [503] * 9
    with pytest.raises(DownloadError, match=r"given up after 5 tries \(HTTP 503 .*from 0 bytes"):
        download(job, is_data, sleep=waits)
    assert waits == [1, 2, 4, 8]


def test_tries_that_bring_bytes_are_no_failures(job: Job, origin: Origin, waits: Waits) -> None:
    origin.cuts = [1000] * 20
    download(job, is_data, sleep=waits)
    assert job.target.read_bytes() == DATA
    assert len(origin.asked) == 21


def test_a_server_that_always_cuts_is_given_up(job: Job, origin: Origin, waits: Waits) -> None:
    origin.ranges, origin.cuts = False, [HALF] * 20
    with pytest.raises(DownloadError, match=f"ended at {HALF} of {len(DATA)} bytes"):
        download(job, is_data, sleep=waits)


def test_no_server_is_told_in_one_line(origin: Origin, tmp_path: Path, waits: Waits) -> None:
    job = Job("http://127.0.0.1:1/x.pt", tmp_path / "x.pt")
    with pytest.raises(DownloadError, match=r"given up after 5 tries .*refused") as caught:
        download(job, is_data, sleep=waits)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "no longer there"), (403, "accepted licence"), (401, "account")]
)
def test_a_refusal_is_final(job: Job, origin: Origin, waits: Waits, status: int, hint: str) -> None:
    origin.answers = [status]
    with pytest.raises(DownloadError, match=f"HTTP {status} .*{hint}.* put it at {job.target}"):
        download(job, is_data, sleep=waits)
    assert waits == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "x.pt"])
def test_only_http_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only http and https"):
        download(Job(url, tmp_path / "x.pt"), is_data)


def test_a_redirect_may_not_leave_https(tmp_path: Path) -> None:
    request = module.urllib.request.Request("https://host/x")
    with pytest.raises(DownloadError, match="redirected to http://host/x, which is not https"):
        module._NoDowngrade().redirect_request(request, None, 302, "", {}, "http://host/x")


def test_an_interrupted_download_keeps_what_came(job: Job, origin: Origin, waits: Waits) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(job, is_data, interrupt, waits)
    kept = job.part.stat().st_size
    assert HALF < kept < len(DATA)
    download(job, is_data, sleep=waits)
    assert origin.asked[-1][1] == f"bytes={kept}-"
    assert job.target.read_bytes() == DATA


def test_bytes_of_another_version_are_dropped(job: Job, origin: Origin, waits: Waits) -> None:
    """The server ignores If-Range: only its ETag tells."""
    origin.careless = True
    job.target.parent.mkdir()
    job.part.write_bytes(b"\0" * HALF)
    job.version.write_text('"older"')
    download(job, is_data, sleep=waits)
    assert [asked for _, asked in origin.asked] == [f"bytes={HALF}-", ""]
    assert job.target.read_bytes() == DATA


def test_a_part_beyond_the_end_is_dropped(job: Job, origin: Origin, waits: Waits) -> None:
    origin.answers = [416]
    job.target.parent.mkdir()
    job.part.write_bytes(DATA + b"more")
    job.version.write_text('"older"')
    download(job._replace(size_bytes=None), is_data, sleep=waits)
    assert job.target.read_bytes() == DATA


def test_a_server_that_does_not_say_how_much_it_sends_is_not_believed(
    job: Job, origin: Origin, waits: Waits
) -> None:
    origin.lengths = False
    with pytest.raises(DownloadError, match="does not say how long the file is"):
        download(job._replace(size_bytes=None), is_data, sleep=waits)
    download(job, is_data, sleep=waits)
    assert job.target.read_bytes() == DATA


def test_a_proxy_is_used_where_the_environment_names_one(
    job: Job, origin: Origin, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", origin.url)
    monkeypatch.delenv("no_proxy")
    origin.files["http://weights.invalid/x.pt"] = DATA
    download(job._replace(url="http://weights.invalid/x.pt"), is_data, sleep=waits)
    assert job.target.read_bytes() == DATA


def test_a_whole_part_needs_no_server(job: Job, origin: Origin, waits: Waits) -> None:
    job.target.parent.mkdir()
    job.part.write_bytes(DATA)
    download(job, is_data, sleep=waits)
    assert origin.asked == []
    assert left(job) == {"x.pt"}


def test_two_at_once_do_not_mix(job: Job, waits: Waits) -> None:
    refused: list[str] = []

    def second(done: int, total: int | None) -> None:
        if done > HALF and not refused:
            with pytest.raises(DownloadError, match="another process is fetching it") as caught:
                download(job, is_data, sleep=waits)
            refused.append(str(caught.value))

    download(job, is_data, second, waits)
    assert len(refused) == 1
    assert job.target.read_bytes() == DATA


def test_too_small_a_disk_is_told_before_anything_comes(
    job: Job, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(job.target.parent.parent)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"no space left \(1024000 bytes needed, 1000 free\)"):
        download(job, is_data, sleep=waits)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some, or set STABENCH_WEIGHTS"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: permission denied; set"),
    ],
)
def test_faults_of_the_disk_are_told_in_one_line(
    job: Job, waits: Waits, monkeypatch: pytest.MonkeyPatch, fault: OSError, message: str
) -> None:
    monkeypatch.setattr(module, "_check_space", _raising(fault))
    with pytest.raises(DownloadError, match=message) as caught:
        download(job, is_data, sleep=waits)
    assert "\n" not in str(caught.value)
    assert waits == []


def _raising(error: Exception) -> Callable[..., None]:
    def fail(*args: object) -> None:
        raise error

    return fail
