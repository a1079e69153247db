"""A user without a home folder, or with one that cannot be written, is told what to set."""

import sys
from pathlib import Path

import pytest

from stabench.harness.cli import main
from tests.harness.fake_run import FakeRun

ADVICE = "set STABENCH_CACHE"


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scored-to-be run in the current folder, and no home, as in some containers."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "STABENCH_CACHE", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    monkeypatch.chdir(tmp_path)
    return FakeRun(tmp_path, n=4).make().path


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["stabench", *words])
    return main.main()


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["score", "RUN"], {2}),
        (["weights", "status"], {2}),
        (["weights", "fetch", "vggish"], {3}),
        (["doctor"], {0, 1, 3}),
        (["report", "RUN", "--no-html"], {0}),
        (["list", "suites"], {0}),
        (["list", "embedders"], {0}),
        (["reproduce", "RUN"], {0, 2}),
        (["compare", "RUN", "RUN"], {0}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_without_a_home_a_command_works_or_says_what_to_set(
    words: list[str],
    codes: set[int],
    homeless: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = run([str(homeless) if word == "RUN" else word for word in words], monkeypatch)
    printed = capfd.readouterr()
    assert code in codes, printed.err
    if code == 2:
        assert ADVICE in printed.err
        assert "no home folder" in printed.err
        assert printed.err.count("\n") == 1
    if words == ["doctor"]:
        assert ADVICE in printed.out


def test_a_cache_that_cannot_be_made_is_one_line_with_advice(
    homeless: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even for root: a file has the name of the folder."""
    (homeless.parent / "file").touch()
    monkeypatch.setenv("STABENCH_CACHE", str(homeless.parent / "file" / "cache"))
    assert run(["score", str(homeless)], monkeypatch) == 2
    printed = capfd.readouterr().err
    assert "STABENCH_CACHE" in printed
    assert run(["doctor"], monkeypatch) in (0, 1, 3)
    assert "set STABENCH_CACHE to another folder" in capfd.readouterr().out
