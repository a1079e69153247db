"""Fetching entries: checked, pinned, and not fetched again."""

from pathlib import Path

import pytest

from stabench.checkpoints import fetch as module
from stabench.checkpoints import store
from stabench.checkpoints.catalogue import Entry
from stabench.checkpoints.download import DownloadError
from stabench.checkpoints.fetch import fetch
from tests.checkpoints.origin import Origin, sha256, use_catalogue

DATA, MORE = b"weights" * 1000, b'{"width": 3}'
HEAD = 'about = "x"\nlicence = "MIT"\nused_by = []\n'
RIGHT = sha256(DATA)


def a_file(monkeypatch: pytest.MonkeyPatch, origin: Origin, keys: str = "") -> Entry:
    origin.files["/one.pt"] = DATA
    file = f'{{ name = "one.pt", url = "{origin.url}/one.pt"{keys} }}'
    text = f'[one]\n{HEAD}kind = "file"\nfiles = [{file}]'
    return use_catalogue(monkeypatch, text)["one"]


def a_folder(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> Entry:
    monkeypatch.setenv("HF_ENDPOINT", f"{origin.url}/")
    origin.files["/me/net/resolve/v1/deep/net%3D1.bin"] = DATA
    origin.files["/me/net/resolve/v1/config.json"] = MORE
    text = (
        f'[net]\n{HEAD}kind = "folder"\nrepo = "me/net"\nrevision = "v1"\n'
        'files = ["deep/net=1.bin", "config.json"]'
    )
    return use_catalogue(monkeypatch, text)["net"]


def test_a_published_file_is_checked(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    entry = a_file(monkeypatch, origin, f', sha256 = "{RIGHT}"')
    assert fetch(entry) == weights / "one/one.pt" == store.locate("one")
    assert (weights / "one/one.pt").read_bytes() == DATA
    assert store.pinned() == {}


def test_a_wrong_file_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    wanted = "0" * 64
    entry = a_file(monkeypatch, origin, f', sha256 = "{wanted}"')
    with pytest.raises(
        ValueError, match=f"sha256 {RIGHT}, published is {wanted}; nothing was kept"
    ):
        fetch(entry)
    assert [path.name for path in (weights / "one").iterdir()] == [".one.pt.lock"]


@pytest.mark.parametrize("keys", ["", f', sha256 = "{RIGHT[:8]}"'], ids=["no digest", "a part"])
def test_what_is_not_published_is_pinned(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, keys: str
) -> None:
    entry = a_file(monkeypatch, origin, keys)
    place = fetch(entry)
    assert store.pinned() == {"one/one.pt": RIGHT}
    assert store.unpinned(place, entry) == []
    place.unlink()
    origin.files["/one.pt"] = DATA[::-1]
    with pytest.raises(ValueError, match=r"published is|pinned was"):
        fetch(entry)


def test_a_folder_comes_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    names: list[str] = []
    entry = a_folder(monkeypatch, origin)
    place = fetch(entry, lambda name: names.append(name) or (lambda done, total: None))
    assert (place / "deep/net=1.bin").read_bytes() == DATA
    assert (place / "config.json").read_bytes() == MORE
    assert names == ["net=1.bin", "config.json"]
    assert store.pinned() == {"net/deep/net=1.bin": RIGHT, "net/config.json": sha256(MORE)}


def test_what_is_here_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> None:
    entry = a_folder(monkeypatch, origin)
    place = fetch(entry)
    origin.asked.clear()
    assert fetch(entry) == place
    assert origin.asked == []
    (place / "config.json").unlink()
    fetch(entry)
    assert [path for path, _ in origin.asked] == ["/me/net/resolve/v1/config.json"]


def test_a_wrong_file_is_replaced(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, weights: Path
) -> None:
    entry = a_file(monkeypatch, origin, f', sha256 = "{RIGHT}", size_bytes = {len(DATA)}')
    (weights / "one").mkdir(parents=True)
    (weights / "one/one.pt").write_bytes(DATA[:10])
    fetch(entry)
    assert (weights / "one/one.pt").read_bytes() == DATA


def test_files_that_lie_elsewhere_are_adopted(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, tmp_path: Path
) -> None:
    entry = a_folder(monkeypatch, origin)
    snapshot = tmp_path / ".cache/huggingface/hub/models--me--net/snapshots/v1"
    (snapshot / "deep").mkdir(parents=True)
    (snapshot / "deep/net=1.bin").write_bytes(DATA)
    (snapshot / "config.json").write_bytes(MORE)
    assert len(store.unpinned(snapshot, entry)) == 2
    assert fetch(entry) == snapshot
    assert origin.asked == []
    assert store.unpinned(snapshot, entry) == []


def test_a_missing_origin_is_told(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> None:
    entry = a_file(monkeypatch, origin)
    origin.files.clear()
    with pytest.raises(DownloadError, match="HTTP 404"):
        fetch(entry)


def test_the_hub_is_asked_where_nothing_else_is_said(
    monkeypatch: pytest.MonkeyPatch, origin: Origin
) -> None:
    entry = a_folder(monkeypatch, origin)
    monkeypatch.delenv("HF_ENDPOINT")
    assert module.url(entry, entry.files[0]) == (
        "https://huggingface.co/me/net/resolve/v1/deep/net%3D1.bin"
    )
