"""Where weights are found, and that wrong ones are not taken."""

import hashlib
import os
from pathlib import Path

import pytest

from stabench.checkpoints import catalogue, digests, store
from stabench.checkpoints.catalogue import Entry
from tests.checkpoints.origin import sha256, use_catalogue

DATA = b"0123456789" * 100
COMMIT = "a" * 40
HEAD = 'about = "x"\nlicence = "CC0-1.0"\nused_by = []\n'
ONE = f"""
[one]
{HEAD}
kind = "file"
repo = "owner/name"
revision = "{COMMIT}"
cached_by = "torch-hub"
files = [{{ name = "sub/one.pt", size_bytes = {len(DATA)}, sha256 = "{sha256(DATA)}" }}]
"""
MANY = f"""
[many]
{HEAD}
kind = "folder"
repo = "spaces/owner/name"
files = ["config.json", {{ name = "deep/model.bin", instead = ["model.safetensors"] }}, "a", "b"]
"""


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Entry:
    return use_catalogue(monkeypatch, ONE)["one"]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Entry:
    return use_catalogue(monkeypatch, MANY)["many"]


def put(path: Path, data: bytes = DATA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def with_files(monkeypatch: pytest.MonkeyPatch, keys: str) -> Entry:
    """A one-file entry whose file has these keys."""
    text = f'[one]\n{HEAD}kind = "file"\nrepo = "o/n"\nfiles = [{{ name = "one.pt", {keys} }}]'
    return use_catalogue(monkeypatch, text)["one"]


def test_places_are_searched_in_order(one: Entry, tmp_path: Path, weights: Path) -> None:
    hub = tmp_path / ".cache/huggingface/hub/models--owner--name/snapshots"
    places = [
        tmp_path / "given/one.pt",
        weights / "one/one.pt",
        weights / "one.pt",
        tmp_path / ".cache/stabench/weights/one/one.pt",
        tmp_path / ".cache/stabench/weights/one.pt",
        hub / COMMIT / "sub/one.pt",
        tmp_path / ".cache/torch/hub/checkpoints/one.pt",
    ]
    put(hub / ("b" * 40) / "sub/one.pt")
    for place in reversed(places[1:]):
        put(place)
        assert store.locate("one") == place
    assert store.locate("one", put(places[0])) == places[0]
    assert store.locate("one", places[0].parent) == places[0]


@pytest.mark.parametrize(
    ("variable", "inner"),
    [("HF_HOME", "hub"), ("HF_HUB_CACHE", "."), ("XDG_CACHE_HOME", "huggingface/hub")],
)
def test_the_hub_cache_may_be_elsewhere(
    one: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, inner: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "other"))
    file = put(tmp_path / "other" / inner / f"models--owner--name/snapshots/{COMMIT}/sub/one.pt")
    assert store.locate("one") == file


def test_a_branch_is_followed_to_its_snapshot(many: Entry, tmp_path: Path) -> None:
    repo = tmp_path / ".cache/huggingface/hub/spaces--owner--name"
    for name in ("config.json", "deep/model.bin", "a", "b"):
        put(repo / "snapshots" / COMMIT / name)
    with pytest.raises(FileNotFoundError):
        store.locate("many")
    put(repo / "refs/main", COMMIT.encode())
    assert store.locate("many") == repo / "snapshots" / COMMIT


def test_what_is_missing_is_said_in_one_line(one: Entry, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        store.locate("one")
    assert str(caught.value) == (
        f"weights 'one': one.pt not found at {weights}/one/one.pt, {weights}/one.pt, "
        f"{tmp_path}/.cache/stabench/weights/one/one.pt, {tmp_path}/.cache/stabench/weights/one.pt,"
        f" {tmp_path}/.cache/torch/hub/checkpoints/one.pt; run: stabench weights fetch one "
        "(licence CC0-1.0)"
    )


def test_a_given_path_is_the_only_place(one: Entry, weights: Path, tmp_path: Path) -> None:
    put(weights / "one.pt")
    with pytest.raises(FileNotFoundError, match=r"one\.pt not found at .*/nowhere"):
        store.locate("one", tmp_path / "nowhere")


def test_a_folder_must_be_whole(many: Entry, weights: Path) -> None:
    put(weights / "many/config.json")
    with pytest.raises(
        FileNotFoundError, match=f"deep/model.bin, a, b not found in {weights}/many"
    ):
        store.locate("many")
    for name in ("model.safetensors", "a", "b"):
        put(weights / "many" / name)
    assert store.locate("many") == weights / "many"
    assert set(store.verify(weights / "many", many)) == {
        "config.json",
        "model.safetensors",
        "a",
        "b",
    }


def test_unknown_names_are_refused(one: Entry) -> None:
    with pytest.raises(LookupError, match="did you mean 'one'"):
        store.locate("ome")


def test_the_right_file_passes_and_tells_its_sha256(one: Entry, tmp_path: Path) -> None:
    file = put(tmp_path / "one.pt")
    assert store.verify(file, one) == {"one.pt": sha256(DATA)}
    assert store.unpinned(file, one) == []


def test_a_truncated_file_is_told_by_its_size_alone(
    one: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "digest", lambda *_: pytest.fail("hashed"))
    file = put(tmp_path / "one.pt", DATA[:-1])
    with pytest.raises(
        store.Truncated, match=r"is truncated: 999 of 1000 bytes; delete it and run"
    ):
        store.verify(file, one)
    with pytest.raises(store.WrongDigest, match="has 1001 bytes, published are 1000"):
        store.verify(put(file, DATA + b"0"), one)


def test_one_wrong_bit_is_found(one: Entry, tmp_path: Path) -> None:
    wrong = bytes([DATA[0] ^ 1]) + DATA[1:]
    file = put(tmp_path / "one.pt", wrong)
    with pytest.raises(store.WrongDigest) as caught:
        store.verify(file, one)
    assert str(caught.value) == (
        f"weights 'one': {file} has sha256 {sha256(wrong)}, published is {sha256(DATA)}; "
        "delete it and run: stabench weights fetch one"
    )


@pytest.mark.parametrize(
    "keys",
    [f'sha256 = "{sha256(DATA)[:8]}"', f'md5 = "{hashlib.md5(DATA).hexdigest()}"'],
    ids=["leading digits", "md5"],
)
def test_lesser_digests_are_checked_too(
    keys: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = with_files(monkeypatch, keys)
    assert store.verify(put(tmp_path / "right"), entry) == {"one.pt": sha256(DATA)}
    with pytest.raises(store.WrongDigest, match="published is"):
        store.verify(put(tmp_path / "wrong", b"other"), entry)


def test_a_pin_holds_a_file_that_nobody_published_a_digest_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    entry = with_files(monkeypatch, "size_bytes = 1000")
    file = put(tmp_path / "one.pt")
    assert store.verify(file, entry) == {"one.pt": sha256(DATA)}
    assert store.unpinned(file, entry) == ["one/one.pt"]
    store.pin({"one/one.pt": sha256(DATA)})
    assert store.unpinned(file, entry) == []
    put(file, DATA[::-1])
    with pytest.raises(
        store.WrongDigest, match=f"pinned was {sha256(DATA)}; .*{weights}/pins.json"
    ):
        store.verify(file, entry)


def test_pins_outlast_the_choice_of_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = with_files(monkeypatch, "size_bytes = 1000")
    monkeypatch.delenv("STABENCH_WEIGHTS")
    store.pin({"one/one.pt": sha256(DATA)})
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path / "elsewhere"))
    with pytest.raises(store.WrongDigest, match=r"in .*/\.cache/stabench/weights/pins\.json$"):
        store.verify(put(tmp_path / "one.pt", DATA[::-1]), entry)


def test_a_broken_pins_file_is_no_reason_to_trust(
    one: Entry, tmp_path: Path, weights: Path
) -> None:
    put(weights / "pins.json", b'{"one')
    with pytest.raises(ValueError, match=r"pins.json is no JSON object; repair it, or delete it"):
        store.verify(put(tmp_path / "one.pt"), one)


@pytest.fixture
def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each time a file is hashed."""
    done: list[str] = []
    real = hashlib.file_digest
    monkeypatch.setattr(
        digests.hashlib, "file_digest", lambda file, kind: done.append(kind) or real(file, kind)
    )
    return done


def test_a_file_is_hashed_once_while_it_stays(hashings: list[str], tmp_path: Path) -> None:
    file = put(tmp_path / "file")
    assert digests.digest(file) == digests.digest(file) == sha256(DATA)
    assert hashings == ["sha256"]
    link = tmp_path / "link"
    link.symlink_to(file)
    assert digests.digest(link) == sha256(DATA)
    assert digests.digest(file, "md5") == hashlib.md5(DATA).hexdigest()
    assert digests.digest(file) == sha256(DATA)
    assert hashings == ["sha256", "md5"]


def test_another_content_of_the_same_size_is_hashed_again(
    hashings: list[str], tmp_path: Path
) -> None:
    file = put(tmp_path / "file")
    digests.digest(file)
    before = file.stat()
    put(file, DATA[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert digests.digest(file) == sha256(DATA[::-1])
    assert len(hashings) == 2


def test_a_cache_that_cannot_be_kept_costs_only_time(
    hashings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STABENCH_CACHE", str(put(tmp_path / "a-file")))
    file = put(tmp_path / "file")
    assert digests.digest(file) == digests.digest(file) == sha256(DATA)
    assert len(hashings) == 2


def test_the_shipped_catalogue_can_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "package_folder", lambda entry: None)
    for name, entry in catalogue.entries().items():
        way = f"run: stabench weights fetch {name}" if entry.fetchable else "run: pip install"
        with pytest.raises(FileNotFoundError, match="not verified" if entry.unverified else way):
            store.locate(name)
