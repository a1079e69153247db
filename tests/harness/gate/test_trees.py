"""Two states of a user's repository under one stabench: neither runs the other's code."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate.command import gate_command, run_interleaved
from stabench.harness.gate.interleaved import GUARD, Side
from stabench.harness.gate.trees import find_trees, holds_stabench, place_systems
from stabench.harness.runner.worker_process import SOURCE
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.harness.suites.suite import load
from tests.harness.conftest import ROOT
from tests.harness.gate.toy_repository import CAPTION, Repository, write_repository

LOOSE = '[quality.effects]\nwer = 0.01\n[latency]\nthreshold = "900 %"\n'


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """The repository that the gate is typed in."""
    repository = write_repository(tmp_path / "the head")
    monkeypatch.chdir(repository.folder)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return repository


@pytest.fixture
def base(head: Repository) -> Repository:
    """An earlier state, that says another thing with modules of the same names."""
    repository = head.copy("it's the base")
    repository.hear("a cat")
    return repository


Run = Callable[..., RunFolder]


@pytest.fixture
def run(head: Repository, base: Repository, tmp_path: Path) -> Run:
    def interleaved(suite: str = "toy.toml", python: str = sys.executable) -> RunFolder:
        sides = Side(base.folder, Path(python)), Side(head.folder)
        folder = run_interleaved(suite, *sides, Request(limit=3), tmp_path / "runs", score=False)
        return RunFolder.open(folder)

    return interleaved


def list_imports(folder: RunFolder, name: str) -> list[str]:
    """Where the modules of one side lie, and what it read by a relative path."""
    told = folder.about_systems()[name]["provenance"]
    return [told["mark"], *told["imports"]]


def check_sides(folder: RunFolder, base: Repository, head: Repository) -> None:
    """Check that each side ran its own code, as its answers and its modules say."""
    assert folder.counts() == {"toy+base": (3, 0, 3), "toy+head": (3, 0, 3)}
    heard = {(row.system, row.text) for row in folder.rows()}
    assert heard == {("toy+base", "a cat"), ("toy+head", CAPTION)}
    for name, tree in (("toy+base", base), ("toy+head", head)):
        assert list_imports(folder, name) == [
            tree.folder.name,
            str(tree.folder / "src" / "spoken_words.py"),
            str(tree.folder / "room" / "places.py"),
            str(tree.folder / "room" / "late.py"),
        ]


def test_each_side_runs_its_own_tree(run: Run, base: Repository, head: Repository) -> None:
    check_sides(run(), base, head)


@pytest.mark.parametrize("side", ["head", "base"])
def test_a_side_on_the_users_path_does_not_serve_the_other(
    run: Run, base: Repository, head: Repository, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {"head": head, "base": base}[side].folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tree), str(tree / "src")]))
    check_sides(run(), base, head)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a folder of packages that a Python has; `text` is what a .pth file in it runs."""

    def make(text: str) -> Path:
        place = tmp_path_factory.mktemp("environment")
        venv.create(place, with_pip=False, symlinks=True)
        packages = next(place.glob("lib/python*/site-packages"))
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (packages / "ours.pth").write_text(f"{ours}\n")
        (packages / "editable.py").write_text(EDITABLE)
        (packages / "installed.pth").write_text(text)
        return place / "bin" / "python"

    return make


EDITABLE = """import sys
from importlib.util import spec_from_file_location


class Finder:
    def __init__(self, tree):
        self.tree = tree

    def find_spec(self, name, path=None, target=None):
        if name == "spoken_words":
            return spec_from_file_location(name, f"{self.tree}/src/spoken_words.py")
        if name == "room":
            places = [f"{self.tree}/room"]
            return spec_from_file_location(
                name, f"{places[0]}/__init__.py", submodule_search_locations=places
            )


def install(tree):
    sys.meta_path.insert(0, Finder(tree))
"""
FINDER = "import editable; editable.install('{0}')\n"


@pytest.mark.parametrize("how", ["{0}\n{0}/src\n", FINDER], ids=["path", "finder"])
def test_a_head_that_is_installed_for_editing_does_not_serve_the_base(
    run: Run,
    base: Repository,
    head: Repository,
    how: str,
    environment: Callable[[str], Path],
) -> None:
    """As `pip install -e .` leaves it, by a path or by a finder that comes before all others."""
    check_sides(run(python=str(environment(how.format(head.folder)))), base, head)


def test_a_copy_that_is_installed_serves_neither_side(
    run: Run, base: Repository, head: Repository, environment: Callable[[str], Path]
) -> None:
    python = environment("")
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    (packages / "spoken_words.py").write_text("WHERE = __file__\nhear = lambda: 'installed'\n")
    for repository in (base, head):
        suite = repository.folder / "toy.toml"
        suite.write_text(f'{suite.read_text()}python = "{python}"\n')
    check_sides(run(), base, head)


def test_a_module_that_the_base_lacks_is_missing_there(
    run: Run, base: Repository, environment: Callable[[str], Path], head: Repository
) -> None:
    (base.folder / "src" / "spoken_words.py").unlink()
    python = environment(FINDER.format(head.folder))
    with pytest.raises(MissingError, match=r"No module named 'spoken_words' in '.*the base'"):
        run(python=str(python))


def test_an_environment_inside_a_tree_belongs_to_no_side(
    run: Run, base: Repository, head: Repository
) -> None:
    """A .venv in the head, named for both; and one that each tree has at the same place."""
    for place, named in ((head.folder / ".venv", f"{head.folder}/shared"), (None, ".venv")):
        for repository in (base, head):
            own = repository.folder / (".venv" if place is None else "shared")
            if repository is head or place is None:
                venv.create(own, with_pip=False, symlinks=True)
                packages = next(own.glob("lib/python*/site-packages"))
                ours = next(path for path in sys.path if path.endswith("site-packages"))
                (packages / "ours.pth").write_text(f"{ours}\n")
            suite = repository.folder / "toy.toml"
            text = suite.read_text().split("python =")[0]
            if place is None:
                suite.write_text(f'{text}python = "{named}/bin/python"\n')
        python = f"{named}/bin/python" if place is not None else sys.executable
        check_sides(run(python=python), base, head)


def test_a_side_of_a_namespace_and_of_itself(tmp_path: Path) -> None:
    """The guard alone: namespace packages are each tree's, and one tree against itself works."""
    for name in ("one", "two"):
        (tmp_path / name / "spread").mkdir(parents=True)
        (tmp_path / name / "spread" / "part.py").write_text("print(__file__)\n")
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path / 'one')!r})\nimport spread.part\n"
    )
    for tree, other in (("one", "two"), ("two", "one"), ("one", "one")):
        words = [sys.executable, GUARD, tmp_path / tree, tmp_path / other, program]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout == f"{tmp_path / tree / 'spread' / 'part.py'}\n"


def test_the_base_has_its_own_options_and_the_heads_clips(
    run: Run, base: Repository, head: Repository
) -> None:
    """A suite is part of a state: what a pull request changes in a system's options counts."""
    (base.folder / "other.txt").write_text("by its suite")
    suite = base.folder / "toy.toml"
    suite.write_text(
        suite.read_text().replace('"speech"', '"nowhere"') + 'options = {mark = "other.txt"}\n'
    )
    folder = run()
    assert list_imports(folder, "toy+base")[0] == "by its suite"
    assert list_imports(folder, "toy+head")[0] == head.folder.name
    suite.unlink()
    assert list_imports(run(), "toy+base")[0] == base.folder.name


def test_systems_that_one_side_lacks_are_named(base: Repository, head: Repository) -> None:
    for repository, side in ((base, "base"), (head, "head")):
        suite = repository.folder / "toy.toml"
        text = suite.read_text()
        suite.write_text(f'{text}[[system]]\nname = "more"\nuse = "adapter.py:Toy"\n')
        with pytest.raises(StabenchError, match=f"'more' is in the suite of the {side} alone"):
            run_interleaved(
                "toy.toml", Side(base.folder), Side(head.folder), Request(), base.folder
            )
        suite.write_text(text)


@pytest.mark.parametrize(
    ("use", "options"),
    [
        ("pocket-star", {}),
        ("http", {"url": "http://127.0.0.1:1/", "sample_rate": 16_000}),
        ("command", {"command": "sh /bin/true", "sample_rate": 16_000}),
    ],
)
def test_what_both_sides_would_share_is_refused(
    base: Repository, head: Repository, use: str, options: dict[str, object]
) -> None:
    """The gate would compare a system with itself, and be green."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    text = (head.folder / "toy.toml").read_text().replace("adapter.py:Toy", use)
    for repository in (base, head):
        (repository.folder / "toy.toml").write_text("\n".join([text, "[system.options]", *lines]))
    with pytest.raises(StabenchError, match="base and head would run the same code"):
        run_interleaved("toy.toml", Side(base.folder), Side(head.folder), Request(), base.folder)
    named = {**options, "command": "sh mark.txt"} if use == "command" else None
    if named is not None:
        suite = load("toy.toml")
        (system,) = suite.systems
        suite = suite.model_copy(
            update={"systems": (system.model_copy(update={"options": named}),)}
        )
        trees = find_trees(base.folder, head.folder)
        assert place_systems("x", suite, Request(), trees, (sys.executable, sys.executable))


def test_a_folder_within_a_repository_is_the_same_one_in_the_base(
    head: Repository, base: Repository
) -> None:
    for repository in (head, base):
        (repository.folder / ".git").mkdir()
        (repository.folder / "bench").mkdir()
    inner = head.folder / "bench"
    for named in (base.folder, base.folder / "bench"):
        trees = find_trees(named, inner)
        assert (trees.base.folder, trees.base.root) == (base.folder / "bench", base.folder)
        assert (trees.head.folder, trees.head.root) == (inner, head.folder)
    (base.folder / "bench").rmdir()
    with pytest.raises(MissingError, match="has no folder 'bench'"):
        find_trees(base.folder, inner)
    with pytest.raises(MissingError, match="is not there"):
        find_trees(base.folder / "none", inner)
    # A copy of that folder alone is no repository: the two folders are the trees.
    (base.folder / ".git").rmdir()
    trees = find_trees(base.folder, inner)
    assert (trees.base.root, trees.head.root) == (base.folder, inner)


def test_a_base_inside_the_head_is_its_own_tree(head: Repository, tmp_path: Path) -> None:
    """As a job has it that checks the base out below the head."""
    inside = head.folder / "base"
    trees = find_trees(head.copy("x").folder.rename(inside), head.folder)
    assert (trees.base.root, trees.head.root) == (inside, head.folder)
    module = inside / "src" / "spoken_words.py"
    program = tmp_path / "program.py"
    program.write_text("import spoken_words; print(spoken_words.WHERE)\n")
    for tree, other in ((inside, head.folder), (head.folder, inside)):
        words = [sys.executable, GUARD, tree, other, program]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(tree / module.relative_to(inside))


def test_a_checkout_of_stabench_is_told_by_its_project(tmp_path: Path, head: Repository) -> None:
    assert holds_stabench(ROOT)
    assert holds_stabench(SOURCE)
    assert not holds_stabench(head.folder)
    # Folders of these names, and a package that depends on stabench, are not stabench.
    (head.folder / "harness").mkdir()
    (head.folder / "harness" / "worker.py").write_text("")
    for text in ('[project]\nname = "mine"\ndependencies = ["stabench"]\n', "project = 3\n", "[["):
        (head.folder / "pyproject.toml").write_text(text)
        assert not holds_stabench(head.folder)


@pytest.mark.slow
def test_the_gate_finds_what_the_head_made_worse(
    head: Repository, base: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is typed in the head: `stabench gate --suite toy.toml --base ../base`."""
    rules = tmp_path / "gate.toml"
    rules.write_text(LOOSE)
    how = {"suite": "toy.toml", "base": Path("..") / base.folder.name, "runs": tmp_path / "runs"}
    # The base says "a cat": the head, which is right, improved.
    assert gate_command(None, rules, **how) == 0
    assert "improved: 1 check: toy WER" in capsys.readouterr().out
    base.hear(CAPTION)
    assert gate_command(None, rules, strict=True, **how) in (0, 5)
    assert "toy WER" in capsys.readouterr().out.split("same:")[1].split("\n")[0]
    head.hear("a dog barks")
    assert gate_command(None, rules, **how) == 1
    assert "toy: WER regressed" in capsys.readouterr().out


def test_an_interpreter_is_named_from_where_the_command_is_typed(
    run: Run, base: Repository, head: Repository, environment: Callable[[str], Path]
) -> None:
    python = environment("")
    check_sides(run(python=os.path.relpath(python, head.folder)), base, head)
    with pytest.raises(MissingError, match=r"of the base: interpreter '.*' cannot be run"):
        run(python="../none/bin/python")


def test_batches_are_refused_before_a_folder_is_made(
    run: Run, head: Repository, tmp_path: Path
) -> None:
    suite = head.folder / "toy.toml"
    text = suite.read_text()
    suite.write_text(text.replace("[run]", '[run]\nscenario = "offline"\nbatch_size = 4'))
    with pytest.raises(StabenchError, match="batch_size is 4"):
        run()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("place", ["room", "src/inner"])
def test_a_registered_system_of_a_package_is_each_trees_own(
    run: Run, base: Repository, head: Repository, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an entry point of the user's package names it: by its module."""
    module = f"{Path(place).name}.system"
    monkeypatch.setitem(registry.BUILT_IN["systems"], "mine", f"{module}:Toy")
    for repository in (base, head):
        folder = repository.folder / place
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "system.py").write_text("from adapter import Toy\n")
        suite = repository.folder / "toy.toml"
        suite.write_text(suite.read_text().replace("adapter.py:Toy", "mine"))
    check_sides(run(), base, head)
