"""The registry: entry points of other packages, and that listing them imports nothing."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stabench.harness import registry
from stabench.harness.cli import doctor
from stabench.harness.cli.list import listing, show
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
        registry.target("systems", "recorded")
    assert registry.entries("systems")["recorded"].source == "built in"
    assert registry.target("systems", "star") == "stabench.systems.star.star:Star"


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
            if kind in ("suites", "protocols", "recipes"):
                assert registry.toml_path(kind, name).is_file()
            else:
                assert registry.attribute(target) is not None


WRONG_POINTS = {
    "unknown group": (
        "[stabench.metric]\nroar = zoo2.things:METRIC\n",
        "zoo2, entry point 'roar': unknown group 'stabench.metric'; did you mean "
        "'stabench.metrics'?",
    ),
    "no module": (
        "[stabench.systems]\nlion = zoo2.gone:Lion\n",
        "zoo2, entry point 'lion': system 'lion': module 'zoo2.gone' cannot be imported: no module "
        "'zoo2.gone'; install it",
    ),
    "no attribute": (
        "[stabench.systems]\nlion = zoo2.things:Lino\n",
        "system 'lion': zoo2.things: unknown attribute 'Lino'; did you mean 'Lion'?",
    ),
    "no attribute named": (
        "[stabench.systems]\nlion = zoo2.things\n",
        "system 'lion': 'zoo2.things' is no module:attribute",
    ),
    "raises": (
        "[stabench.datasets]\nplains = zoo2.raises:plains\n",
        "dataset 'plains': 'zoo2.raises:plains' cannot be imported: RuntimeError: not today",
    ),
    "no system": (
        "[stabench.systems]\nlion = zoo2.things:NUMBER\n",
        "system 'lion': 'zoo2.things:NUMBER' is int; give a class or a function",
    ),
    "no metric": (
        "[stabench.metrics]\nroar = zoo2.things:NUMBER\n",
        "column 'roar': 'zoo2.things:NUMBER' is int; give a stabench.metrics.registry.Metric",
    ),
    "wrong metric": (
        "[stabench.metrics]\nroar = zoo2.things:METRIC\n",
        "column 'roar': needs: unknown word 'tager'; did you mean 'tagger'?",
    ),
    "no sanity row": (
        "[stabench.sanity]\nhiss = zoo2.things:METRIC\n",
        "sanity row 'hiss': 'zoo2.things:METRIC' is Metric; give a stabench.harness.scoring.sanity."
        "SanityRow",
    ),
    "no task": (
        "[stabench.tasks]\nhum = zoo2.things:NUMBER\n",
        "task 'hum': 'zoo2.things:NUMBER' is int; give a stabench.harness.tasks.task.Task",
    ),
    "no suite": ("[stabench.suites]\nsafari = zoo2\n", "suite 'safari': no file"),
    "name of ours": (
        "[stabench.metrics]\nkl = zoo2.things:METRIC\n",
        "zoo2, entry point 'kl': column 'kl' is registered twice: stabench.metrics.registry:METRICS"
        " (built in) and zoo2.things:METRIC (zoo2); uninstall or rename one",
    ),
}
THINGS = """
from stabench.metrics.registry import Metric
print("imported")
NUMBER = 5
class Lion: pass
METRIC = Metric("roar", "Roar", "higher", "", 2, 1, ("tager",), lambda metric, sets: None)
"""


@pytest.fixture
def brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a distribution `zoo2` with these entry points."""
    info = tmp_path / "zoo2-1.0.dist-info"
    info.mkdir()
    (tmp_path / "zoo2").mkdir()
    (tmp_path / "zoo2/__init__.py").write_text("")
    (tmp_path / "zoo2/things.py").write_text(THINGS)
    (tmp_path / "zoo2/raises.py").write_text("raise RuntimeError('not today')\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo2\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda text: (info / "entry_points.txt").write_text(text) and None
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo2"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", WRONG_POINTS)
def test_a_wrong_entry_point_is_one_line_in_the_list_and_for_the_doctor(
    name: str, brings: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    text, line = WRONG_POINTS[name]
    brings(text)
    faults = list(registry.faults())
    assert len(faults) == 1
    assert line in faults[0].text
    assert "\n" not in faults[0].text
    show(listing(None))
    out, err = capsys.readouterr()
    assert err == f"stabench: {faults[0].text}\n"
    assert "imported" not in out.splitlines()
    lines = [str(finding) for finding in doctor._check_registered()]
    assert [text for text in lines if "zoo2" in text] == [
        f"wrong    {faults[0].kind:14} {faults[0].text}"
    ]


@pytest.mark.parametrize("name", [name for name in WRONG_POINTS if name != "unknown group"])
def test_a_wrong_entry_point_is_an_error_where_its_name_is_used(
    name: str, brings: Callable[[str], None]
) -> None:
    brings(WRONG_POINTS[name][0])
    (fault,) = registry.faults()
    load = registry.attribute(registry.LOADERS.get(fault.kind, "stabench.harness.registry:load"))
    with pytest.raises(StabenchError) as caught:
        load(fault.name) if fault.kind in registry.LOADERS else load(fault.kind, fault.name)
    assert fault.text == f"zoo2, entry point '{fault.name}': {caught.value}"


def test_lists_of_one_kind_say_what_is_wrong_with_that_one(
    brings: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    brings("[stabench.systems]\nlion = zoo2.gone:Lion\n[stabench.sistems]\nlion = zoo2:Lion\n")
    for kind, count in (("systems", 2), ("metrics", 1)):
        show(listing(kind))
        assert len(capsys.readouterr().err.splitlines()) == count


def test_a_right_entry_point_is_no_fault(brings: Callable[[str], None]) -> None:
    brings("[stabench.systems]\nlion = zoo2.things:Lion\n[console_scripts]\nx = zoo2:gone\n")
    assert list(registry.faults()) == []
    assert registry.load("systems", "lion").__name__ == "Lion"
    assert registry.origin("systems", "lion") == "zoo2 1.0"
    assert registry.origin("systems", "star") is None


def test_a_file_without_a_name_in_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StabenchError, match=r"say what in it, such as mine\.py:NAME"):
        registry.target("systems", "mine.py")
