"""Fetching entries: whole and right in the end, or not there at all; pinned, not fetched again."""

import errno
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from stabench.checkpoints import fetch as module
from stabench.checkpoints import store
from stabench.checkpoints.catalogue import Entry
from stabench.checkpoints.fetch import FetchError, fetch
from tests.checkpoints.origin import COMMIT, Origin, sha256, use_catalogue

DATA, MORE = b"weights" * 100_000, b'{"width": 3}'
HALF = len(DATA) // 2
HEAD = 'about = "x"\nlicence = "MIT"\nused_by = []\n'
RIGHT = sha256(DATA)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client would have slept between its tries."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of a block that is not whole are lost with the connection."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> Entry:
    """A file at an address of its own."""
    return a_file(monkeypatch, origin)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> Entry:
    """A folder on the hub, of which no digest is published."""
    monkeypatch.setenv("HF_ENDPOINT", f"{origin.url}/")
    origin.files["/me/net/resolve/v1/deep/net%3D1.bin"] = DATA
    origin.files["/me/net/resolve/v1/config.json"] = MORE
    return use_catalogue(
        monkeypatch,
        f'[net]\n{HEAD}kind = "folder"\nrepo = "me/net"\nrevision = "v1"\n'
        'files = ["deep/net=1.bin", "config.json"]',
    )["net"]


def a_file(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, digest: str = RIGHT, keys: str = ""
) -> Entry:
    origin.files["/one.pt"] = DATA
    file = f'{{ name = "one.pt", url = "{origin.url}/one.pt", sha256 = "{digest}"{keys} }}'
    return use_catalogue(monkeypatch, f'[one]\n{HEAD}kind = "file"\nfiles = [{file}]')["one"]


def fails(entry: Entry, kind: type[Exception] = FetchError) -> str:
    """The message of a fetch that fails, which is one line."""
    with pytest.raises(kind) as caught:
        fetch(entry)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def kept(folder: Path) -> set[str]:
    """Files in a folder, but for locks and the notes of the hub's client."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.name
        for path in files
        if ".cache" not in path.parts and not path.name.endswith(".lock")
    }


def test_a_published_file_is_checked(one: Entry, weights: Path) -> None:
    assert fetch(one) == weights / "one/one.pt" == store.locate("one")
    assert (weights / "one/one.pt").read_bytes() == DATA
    assert kept(weights) == {"one.pt"}
    assert store.pinned() == {}


def test_a_wrong_file_never_takes_the_name(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    wanted = "0" * 64
    entry = a_file(monkeypatch, origin, wanted)
    (weights / "one").mkdir(parents=True)
    (weights / "one/one.pt").write_bytes(b"old")
    message = fails(entry, ValueError)
    assert f"sha256 {RIGHT}, published is {wanted}; nothing was kept" in message
    assert (weights / "one/one.pt").read_bytes() == b"old"
    assert kept(weights) == {"one.pt"}


def test_another_size_is_told_without_hashing(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    entry = a_file(monkeypatch, origin, keys=f", size_bytes = {len(DATA)}")
    origin.files["/one.pt"] = b"version https://git-lfs"
    assert f"is truncated: 23 of {len(DATA)} bytes; nothing was kept" in fails(entry, ValueError)
    assert kept(weights) == set()


def test_what_has_a_part_of_its_digest_published_is_pinned(
    monkeypatch: pytest.MonkeyPatch, origin: Origin
) -> None:
    entry = a_file(monkeypatch, origin, RIGHT[:8])
    place = fetch(entry)
    assert store.pinned() == {"one/one.pt": RIGHT}
    assert store.unpinned(place, entry) == []


def test_a_folder_comes_from_the_hub(net: Entry, weights: Path) -> None:
    told: list[Path] = []
    place = fetch(net, told.append)
    assert (place / "deep/net=1.bin").read_bytes() == DATA
    assert (place / "config.json").read_bytes() == MORE
    assert told == [place / "deep/net=1.bin", place / "config.json"]
    assert kept(place) == {"net=1.bin", "config.json"}
    assert store.pinned() == {"net/deep/net=1.bin": RIGHT, "net/config.json": sha256(MORE)}


def test_a_pin_holds_what_the_hub_sends_later(net: Entry, origin: Origin) -> None:
    place = fetch(net)
    (place / "config.json").unlink()
    origin.files["/me/net/resolve/v1/config.json"] = MORE[::-1]
    assert "pinned was" in fails(net, ValueError)
    assert kept(place) == {"net=1.bin"}


def test_a_space_is_another_kind_of_repository(
    monkeypatch: pytest.MonkeyPatch, origin: Origin
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", origin.url)
    origin.files[f"/spaces/me/net/resolve/{COMMIT}/one.pt"] = DATA
    entry = use_catalogue(
        monkeypatch,
        f'[one]\n{HEAD}kind = "file"\nrepo = "spaces/me/net"\nrevision = "{COMMIT}"\n'
        'files = ["one.pt"]',
    )["one"]
    assert fetch(entry).read_bytes() == DATA


def test_what_is_here_is_not_fetched_again(net: Entry, origin: Origin) -> None:
    place = fetch(net)
    origin.asked.clear()
    assert fetch(net) == place
    assert origin.asked == []
    (place / "config.json").unlink()
    fetch(net)
    assert [path for path, _ in origin.asked] == ["/me/net/resolve/v1/config.json"]


def test_a_wrong_file_is_replaced(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    entry = a_file(monkeypatch, origin, keys=f", size_bytes = {len(DATA)}")
    (weights / "one").mkdir(parents=True)
    (weights / "one/one.pt").write_bytes(DATA[:10])
    fetch(entry)
    assert (weights / "one/one.pt").read_bytes() == DATA


def test_files_that_lie_elsewhere_are_adopted(net: Entry, origin: Origin, tmp_path: Path) -> None:
    snapshot = tmp_path / ".cache/huggingface/hub/models--me--net/snapshots/v1"
    (snapshot / "deep").mkdir(parents=True)
    (snapshot / "deep/net=1.bin").write_bytes(DATA)
    (snapshot / "config.json").write_bytes(MORE)
    assert len(store.unpinned(snapshot, net)) == 2
    assert fetch(net) == snapshot
    assert origin.asked == []
    assert store.unpinned(snapshot, net) == []


def test_a_damaged_copy_in_the_hubs_cache_is_not_taken_again(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", origin.url)
    origin.files[f"/me/net/resolve/{COMMIT}/one.pt"] = DATA
    entry = use_catalogue(
        monkeypatch,
        f'[one]\n{HEAD}kind = "file"\nrepo = "me/net"\nrevision = "{COMMIT}"\n'
        f'files = [{{ name = "one.pt", sha256 = "{RIGHT}" }}]',
    )["one"]
    copy = tmp_path / f".cache/huggingface/hub/models--me--net/snapshots/{COMMIT}/one.pt"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(DATA[::-1])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / ".cache/huggingface/hub"))
    assert fetch(entry).read_bytes() == DATA


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_cut_connection_goes_on(one: Entry, origin: Origin, weights: Path, ranges: bool) -> None:
    origin.ranges, origin.cuts = ranges, [HALF]
    assert fetch(one).read_bytes() == DATA
    assert [span for _, span in origin.asked] == ["", f"bytes={HALF}-"]


def test_a_cut_connection_to_the_hub_goes_on(net: Entry, origin: Origin) -> None:
    origin.cuts = [HALF]
    assert (fetch(net) / "deep/net=1.bin").read_bytes() == DATA
    assert f"bytes={HALF}-" in [span for _, span in origin.asked]


@pytest.mark.parametrize("name", ["one", "net"])
def test_ctrl_c_leaves_nothing_broken(
    request: pytest.FixtureRequest, origin: Origin, weights: Path, name: str
) -> None:
    entry = request.getfixturevalue(name)
    # A process that was started in the background ignores it.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    main = threading.main_thread().ident
    assert main is not None
    origin.midway = lambda: signal.pthread_kill(main, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fetch(entry)
    assert not any(store.home(entry, file).exists() for file in entry.files)
    with pytest.raises(FileNotFoundError):
        store.locate(name)
    origin.midway = lambda: None
    place = fetch(entry)
    assert set(store.verify(place, entry).values()) >= {RIGHT}
    assert kept(place.parent if place.is_file() else place) == {f.basename for f in entry.files}


def test_a_later_call_goes_on_where_an_earlier_one_stopped(
    one: Entry, origin: Origin, weights: Path
) -> None:
    part = weights / "one" / module.INCOMING / "one.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:HALF])
    assert fetch(one).read_bytes() == DATA
    assert [span for _, span in origin.asked] == [f"bytes={HALF}-"]


@pytest.mark.parametrize("stale", [b"\0" * HALF, DATA + b"more"], ids=["other bytes", "too long"])
def test_a_part_of_another_version_is_dropped(
    one: Entry, origin: Origin, weights: Path, stale: bytes
) -> None:
    part = weights / "one" / module.INCOMING / "one.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(stale)
    assert "run the fetch again" in fails(one, Exception)
    assert fetch(one).read_bytes() == DATA


def test_no_server_is_told(monkeypatch: pytest.MonkeyPatch, one: Entry, net: Entry) -> None:
    text = f'[one]\n{HEAD}kind = "file"\nfiles = [{{ name = "one.pt", sha256 = "{RIGHT}"'
    entry = use_catalogue(monkeypatch, f'{text}, url = "http://127.0.0.1:1/one.pt" }}]')["one"]
    assert "127.0.0.1:1/one.pt: it broke off (" in fails(entry)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    hub = use_catalogue(monkeypatch, f'{text} }}]\nrepo = "me/net"')["one"]
    message = fails(hub)
    assert message.startswith("me/net one.pt: it broke off (")
    assert "check network and proxy, and run the fetch again" in message


@pytest.mark.parametrize(
    ("status", "hint"),
    [(404, "no longer there"), (403, "an account; run `hf auth login`"), (500, "again later")],
)
@pytest.mark.parametrize("name", ["one", "net"])
def test_a_refusal_is_told(
    request: pytest.FixtureRequest, origin: Origin, weights: Path, name: str, status: int, hint: str
) -> None:
    entry = request.getfixturevalue(name)
    origin.answers = [status] * 20
    message = fails(entry)
    assert f"HTTP {status}" in message
    assert hint in message
    assert f"(its place is {store.home(entry, entry.files[0])})" in message
    assert not store.home(entry, entry.files[0]).exists()


def test_a_gated_repository_says_what_to_do(net: Entry, origin: Origin) -> None:
    origin.answers, origin.headers = [403] * 20, {"X-Error-Code": "GatedRepo"}
    assert "it is gated; accept its licence on its page, run `hf auth login`" in fails(net)


def test_offline_mode_is_named(net: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids it" in fails(net)


def test_two_at_once_do_not_mix(one: Entry, origin: Origin) -> None:
    refused: list[str] = []
    origin.midway = lambda: refused.append(fails(one))
    assert fetch(one).read_bytes() == DATA
    assert "another process is fetching it; wait for that one" in refused[0]


def test_too_small_a_disk_is_told_before_anything_comes(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, tmp_path: Path
) -> None:
    entry = a_file(monkeypatch, origin, keys=f", size_bytes = {len(DATA)}")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    assert "no space left; free some, or set STABENCH_WEIGHTS" in fails(entry)
    assert origin.asked == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some, or set STABENCH_WEIGHTS"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: permission denied; set"),
    ],
)
def test_faults_of_the_disk_are_told(
    one: Entry, monkeypatch: pytest.MonkeyPatch, fault: OSError, message: str
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.http_get", _raising(fault))
    assert message in fails(one)


def _raising(error: Exception) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise error

    return fail
