"""Base and head by turns: each side runs its own source, and the run is taken apart again."""

import io
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from stabench.harness import registry
from stabench.harness.compare import read_evidence as reading
from stabench.harness.compare.evidence import Hardware, find_hardware_mismatch
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate.command import gate_run, run_interleaved
from stabench.harness.gate.interleaved import (
    BASE,
    HEAD,
    START,
    Side,
    check_side,
    interleave,
    is_interleaved,
    replace_times,
    take_side,
    write_launcher,
    write_suite,
)
from stabench.harness.runner.engine import Engine, Interrupted
from stabench.harness.runner.interpreters import Wanted, check_interpreters, environment
from stabench.harness.runner.schedule import blocks
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.harness.suites.suite import load, parse
from tests.harness.conftest import ROOT
from tests.harness.worlds import evidence, mean, system, times

ODD = 'quote " and \\ and \x7f and \N{SNOWMAN}'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Another source tree, whose path needs quotes."""
    folder = tmp_path / "it's here"
    (folder / "stabench").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "stabench"\n')
    (folder / "stabench" / "start.py").write_text(
        "import sys\nprint('the worker of this tree', sys.argv[1:])\n"
    )
    return folder


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A source tree of before version 0.2: rooms at the top, the worker in harness/worker.py."""
    folder = tmp_path / "earlier"
    (folder / "harness").mkdir(parents=True)
    (folder / "systems").mkdir()
    (folder / "harness" / "__init__.py").write_text("")
    (folder / "harness" / "registry.py").write_text(
        "import importlib\n"
        "def attribute(target):\n"
        "    module, name = target.split(':')\n"
        "    return getattr(importlib.import_module(module), name)\n"
    )
    (folder / "harness" / "worker.py").write_text(
        "from harness import registry\n"
        "def main():\n"
        "    print(registry.attribute('stabench.systems.here:NAME'))\n"
        "    print(registry.attribute('systems.here:NAME'))\n"
    )
    (folder / "systems" / "here.py").write_text("NAME = 'a system of the earlier tree'\n")
    return folder


def test_every_system_twice_a_clip_at_a_time() -> None:
    suite = interleave(load("pocket"), "/b/python", "/h/python")
    names = [(use.name, use.python) for use in suite.systems]
    assert names[:2] == [("cascade+base", "/b/python"), ("cascade+head", "/h/python")]
    assert len(names) == 2 * len(load("pocket").systems)
    two = [f"star{suffix}" for suffix in (BASE, HEAD)]
    turns = [block[0].system for block in blocks(two, list("abcd"), repeats=1, block=1, seed=0)]
    assert suite.run.block == 1
    assert turns[:2] == turns[3:1:-1] == turns[4:6], "A B B A A B B A"


def test_systems_with_an_interpreter_and_batches_are_refused() -> None:
    value = load("pocket").resolved()
    next(use for use in value["system"] if use["name"] == "star")["python"] = "/opt/python"
    with pytest.raises(StabenchError, match="'star' has an interpreter of its own"):
        interleave(parse("suite", value), "a", "b")
    value = load("pocket").resolved()
    value["protocol"] |= {"scenario": "offline", "batch_size": 4}
    with pytest.raises(StabenchError, match="batch_size is 4"):
        interleave(parse("suite", value), "a", "b")


# Of these the gate says in one line that it cannot interleave them.
REFUSED = {"pocket-conditions": "condition", "pocket-table1": "probes", "table1": "probes"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_interleaved_is_said(name: str) -> None:
    with pytest.raises(StabenchError, match=REFUSED[name]):
        interleave(load(name), "/b/python", "/h/python")


@pytest.mark.parametrize("name", sorted(registry.entries("suites").keys() - REFUSED.keys()))
def test_a_suite_written_is_the_suite(name: str, tmp_path: Path) -> None:
    suite = interleave(load(name), "/b/python", "/h/python")
    write_suite(tmp_path / "suite.toml", suite)
    assert load(str(tmp_path / "suite.toml")) == suite


def test_odd_texts_in_a_suite(tmp_path: Path) -> None:
    options = {"a b": [1, 2.5, True, {"c": ODD}], "d": {}}
    value = {"name": "odd", "title": ODD, "dataset": {"use": "folder", "speech": ODD}}
    value["system"] = [{"name": "a", "use": "recorded", "options": options}]
    suite = parse("suite", value)
    write_suite(tmp_path / "suite.toml", suite)
    assert load(str(tmp_path / "suite.toml")) == suite
    assert tomllib.loads((tmp_path / "suite.toml").read_text())["title"] == ODD


def test_a_launcher_runs_the_source_of_its_side(tmp_path: Path, checkout: Path) -> None:
    """Although the engine names its own start."""
    path = write_launcher(tmp_path, "base", Side(checkout))
    done = subprocess.run(
        [path, ROOT / START, "stabench.harness.runner.worker"],
        env={"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the worker of this tree ['stabench.harness.runner.worker']\n"


def test_a_launcher_runs_an_earlier_tree_whose_names_are_shorter(
    tmp_path: Path, earlier: Path
) -> None:
    path = write_launcher(tmp_path, "base", Side(earlier))
    done = subprocess.run(
        [path, ROOT / START, "stabench.harness.runner.worker"],
        env={"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a system of the earlier tree\n" * 2


@pytest.mark.parametrize("side", ["checkout", "earlier"])
def test_a_launcher_is_an_interpreter_that_can_be_asked(
    tmp_path: Path, request: pytest.FixtureRequest, side: str
) -> None:
    path = write_launcher(tmp_path, "base", Side(request.getfixturevalue(side)))
    check_interpreters([Wanted("a", str(path), "stabench.systems.recorded:Recorded")], "cpu", 60)


def test_our_own_interpreter_keeps_the_users_variables_in_a_launcher(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/it's mine")
    monkeypatch.delenv("PYTHONNOUSERSITE", raising=False)
    start = checkout / "stabench" / "start.py"
    names = ("PYTHONPATH", "PYTHONNOUSERSITE")
    start.write_text(f"import os\nprint([os.environ.get(name) for name in {names}])\n")
    own = write_launcher(tmp_path, "own", Side(checkout))
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    theirs = write_launcher(tmp_path, "other", Side(checkout, other))
    told = [
        subprocess.run(
            [path, ROOT / START, "worker"],
            env=environment(1, str(path)),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for path in (own, theirs)
    ]
    assert told == ['["/it\'s mine", None]\n', "[None, '1']\n"]


def test_a_side_that_is_not_there(tmp_path: Path, checkout: Path) -> None:
    with pytest.raises(MissingError, match="no checkout of stabench"):
        check_side(Side(tmp_path))
    for wrong in (tmp_path / "python", tmp_path):
        with pytest.raises(MissingError, match="cannot be run"):
            check_side(Side(checkout, wrong))
    absent = tmp_path / "absent"
    for sides in ((Side(absent), Side(checkout)), (Side(checkout), Side(absent))):
        with pytest.raises(MissingError, match=f"'{absent}'"):
            run_interleaved("pocket", *sides, Request(), tmp_path / "runs")
    assert not (tmp_path / "runs").exists(), "no empty folder for a run that cannot begin"


def test_an_interrupted_run_says_how_it_goes_on(
    tmp_path: Path, suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_engine: Engine) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "_list_pending", stop)
    here = Side(ROOT)
    with pytest.raises(Interrupted, match=r"continue with stabench run --resume \S+") as caught:
        run_interleaved(str(suite({"a": {}})), here, here, Request(limit=4), tmp_path / "runs")
    folder = RunFolder.open(Path(str(caught.value).split()[-1]))
    assert folder.suite.systems[0].name == "a+base"
    assert folder.counts()["a+head"] == (0, 0, 4)


def test_a_run_is_taken_apart() -> None:
    both = evidence(system("star+base", n=1), system("star+head", n=2))
    assert is_interleaved(both)
    assert take_side(both, BASE).systems["star"].n == 1
    assert take_side(both, HEAD).systems["star"].n == 2
    for names in (["star"], ["star+head"], ["star+head", "star+base", "b"]):
        assert not is_interleaved(evidence(*map(system, names)))


@pytest.mark.parametrize(("device", "cpu", "gpu"), [("cpu", "", None), ("cuda", "Some CPU", None)])
def test_both_sides_ran_on_one_machine_whatever_it_is_called(
    device: str, cpu: str, gpu: str | None
) -> None:
    machine = Hardware(device=device, cpu_model=cpu, gpu=gpu, threads=1)
    both = evidence(system("star+base"), system("star+head"), hardware=machine, git_commit="c" * 40)
    base, head = take_side(both, BASE), take_side(both, HEAD)
    assert find_hardware_mismatch(base, head) is None
    assert find_hardware_mismatch(both, both) is not None
    assert (base.git_commit, head.git_commit) == (None, "c" * 40), "the head's alone is recorded"


def test_stored_quality_with_the_times_of_the_base() -> None:
    import numpy as np

    stored = evidence(
        system(columns={"kl": mean(np.ones(3))}, samples_ns={"generate": times(np.zeros(3))}),
        system("other", samples_ns={"generate": times(np.zeros(3))}),
        hardware=None,
    )
    base = evidence(system(samples_ns={"generate": times(np.ones(3))}))
    merged = replace_times(stored, base)
    assert merged.systems["star"].columns == stored.systems["star"].columns
    assert merged.systems["star"].samples_ns == base.systems["star"].samples_ns
    assert merged.systems["other"].samples_ns == {}
    assert merged.hardware == base.hardware
    assert list(merged.systems) == ["star", "other"]


def test_this_tree_against_itself(tmp_path: Path, suite: Callable[..., Path]) -> None:
    """The real engine: both sides answer every clip alike, and the gate has both to compare."""
    here = Side(ROOT, Path(sys.executable))
    path = suite({"a": {}, "b": {}})
    request = Request(systems=("a",), limit=4)
    run = run_interleaved(str(path), here, here, request, tmp_path / "runs", score=False)
    folder = RunFolder.open(run)
    assert folder.counts() == {"a+base": (4, 0, 4), "a+head": (4, 0, 4)}
    both = reading.read(run)
    assert take_side(both, BASE).systems["a"].audio == take_side(both, HEAD).systems["a"].audio
    rules = tmp_path / "gate.toml"
    rules.write_text('[latency]\nthreshold = "900 %"\n')
    assert gate_run(run, None, rules, stream=io.StringIO()) == 0
    assert "| a | Generation |" in (run / "gate.md").read_text()
