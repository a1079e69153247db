"""The registry: entry points of other packages, and that listing them imports nothing."""

import sys
from pathlib import Path

import pytest

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError

BOOM = "raise SystemError('listing must not import me')\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution `zoo` with a system, a suite and a module that must not load."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo/__init__.py").write_text(BOOM)
    info = tmp_path / "zoo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[stabench.systems]\nlion = zoo.cats:Lion\n[stabench.suites]\nsafari = zoo\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_entry_points_are_listed_with_their_source_and_not_imported(package: Path) -> None:
    assert registry.entries("systems")["lion"] == ("lion", "zoo.cats:Lion", "zoo")
    assert registry.target("systems", "lion") == "zoo.cats:Lion"
    assert "zoo" not in sys.modules


def test_a_suite_lies_in_its_package(package: Path) -> None:
    assert registry.toml_path("suites", "safari") == package / "zoo/suites/safari.toml"
    assert registry.toml_path("suites", "mine.toml") == Path("mine.toml")
    assert "zoo" not in sys.modules


def test_one_name_for_two_things_is_refused(package: Path) -> None:
    points = package / "zoo-1.0.dist-info/entry_points.txt"
    points.write_text("[stabench.systems]\nrecorded = zoo.cats:Lion\n")
    with pytest.raises(StabenchError, match=r"'recorded' is registered twice: .*zoo.cats:Lion"):
        registry.entries("systems")


def test_an_unknown_name_gets_the_nearest_match() -> None:
    with pytest.raises(StabenchError, match="unknown system 'recorde'; did you mean 'recorded'"):
        registry.target("systems", "recorde")


def test_a_file_is_imported_once_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Mine: pass\n")
    target = registry.target("systems", f"{path}:Mine")
    assert registry.attribute(target) is registry.attribute(target)
    with pytest.raises(StabenchError, match="unknown attribute 'Mnie'; did you mean 'Mine'"):
        registry.attribute(f"{path}:Mnie")
    with pytest.raises(MissingError, match="no such file"):
        registry.attribute(f"{tmp_path / 'other.py'}:Mine")


def test_a_file_may_import_the_files_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "neighbour_of_mine.py").write_text("RATE_HZ = 8000\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import RATE_HZ\n")
    assert registry.attribute(f"{tmp_path / 'mine.py'}:RATE_HZ") == 8000


def test_a_file_that_raises_can_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("raise ValueError('no')\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            registry.attribute(f"{path}:Mine")


def test_a_module_that_is_not_there_is_missing() -> None:
    with pytest.raises(MissingError, match="no module 'no_such_package'"):
        registry.attribute("no_such_package.inner:Thing")


def _function(speech: str, limit: int = 3) -> None: ...


def _anything(**options: object) -> None: ...


def test_options_are_checked_against_the_function() -> None:
    registry.check_options("x", _function, {"speech": "a"})
    registry.check_options("x", _anything, {"whatever": 1})
    with pytest.raises(StabenchError, match="x: unknown option 'limt'; did you mean 'limit'"):
        registry.check_options("x", _function, {"speech": "a", "limt": 1})
    with pytest.raises(StabenchError, match="x: option 'speech' is missing"):
        registry.check_options("x", _function, {})


def test_every_built_in_target_is_a_module_and_an_attribute() -> None:
    for kind, entries in registry.BUILT_IN.items():
        for name, target in entries.items():
            if kind in ("suites", "protocols"):
                assert registry.toml_path(kind, name).is_file()
            else:
                assert registry.attribute(target) is not None
