"""The example of a command: it runs as its page says, and its times are told apart."""

import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.runner import plan
from stabench.harness.runner.engine import Engine
from stabench.harness.runner.progress import Silent
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.metrics.audio import encode
from tests.examples.run_example import EXAMPLES, LINES, run_example
from tests.harness.conftest import ROOT

FOLDER = EXAMPLES / "command_system"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run of the example on three clips."""
    return run_example(FOLDER / "suite.toml", tmp_path_factory.mktemp("command"))


@pytest.mark.slow
def test_the_example_runs_as_typed(example: RunFolder) -> None:
    assert "stabench run examples/command_system/suite.toml" in (FOLDER / "README.md").read_text()
    assert example.counts()["echo"] == (3, 0, 3)
    about = example.about_systems()["echo"]
    assert about["provenance"] == {
        "command": ["sh", "examples/command_system/my_system.sh"],
        "name": "echo",
        "version": "1",
    }
    assert (about["python"], about["packages"]) == (None, {})


@pytest.mark.slow
def test_its_sound_is_the_speech_and_its_stages_are_told_apart(example: RunFolder) -> None:
    for row in example.rows():
        heard, rate_hz = soundfile.read(example.audio_path("echo", row.clip), dtype="float32")
        assert rate_hz == 16_000
        [clip] = [clip for clip in example.clips if clip.id == row.clip]
        spoken, spoken_hz = soundfile.read(clip.speech, dtype="float32")
        if spoken_hz == rate_hz:
            np.testing.assert_allclose(heard, spoken, atol=2**-15)
        assert [(span.phase, span.name) for span in row.spans] == [
            ("represent", "write_speech"),
            ("represent", "command"),
            ("generate", "command"),
            ("generate", "read_sound"),
        ]
        assert all(row.remainder_ns(phase) >= 0 for phase in row.phase_ns)
        assert row.peak_memory_bytes is None


@pytest.mark.slow
def test_the_report_of_the_example_shows_both_times(example: RunFolder) -> None:
    text = (example.path / "report.md").read_text()
    assert re.search(r"Echo \\\(shell\\\)|Echo \(shell\)", text)
    assert "write\\_speech" in text or "write_speech" in text


def test_the_page_is_short_and_the_script_is_for_any_shell() -> None:
    assert len((FOLDER / "README.md").read_text().splitlines()) <= LINES
    script = FOLDER / "my_system.sh"
    assert script.read_text().startswith("#!/bin/sh\n")
    assert script.stat().st_mode & stat.S_IXUSR


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the example's script on four clips, changed: `run({"load": "laod"}, at_once=True)`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech").mkdir()
    for index in range(4):
        samples = np.random.default_rng(index).uniform(-0.5, 0.5, 1_600).astype(np.float32)
        (tmp_path / "speech" / f"clip{index}.wav").write_bytes(encode(samples, 16_000))

    def start(changes: dict[str, str], warmups: int = 0, **options: object) -> RunFolder:
        text = (FOLDER / "my_system.sh").read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "my_system.sh").write_text(text)
        more = "".join(f", {name} = {str(value).lower()}" for name, value in options.items())
        (tmp_path / "suite.toml").write_text(
            'name = "mine"\n[dataset]\nuse = "folder"\nspeech = "speech"\n'
            f"[protocol]\nwarmups = {warmups}\nthreads = 1\ntimeout_s = 60\n"
            '[[system]]\nname = "mine"\nuse = "command"\n'
            f'options = {{ command = "sh my_system.sh", sample_rate = 16000{more} }}\n'
        )
        folder = plan.begin("suite.toml", Request(limit=None), tmp_path / "runs")
        Engine(folder, Silent()).run()
        return folder

    return start


HEAR = """echo '{}' ;;
    *'"request": "generate"'*)"""


def test_a_command_that_dies_costs_its_clip_and_is_started_again(run, tmp_path: Path) -> None:
    die = f"if [ ! -e died ]; then touch died; echo no luck >&2; exit 3; fi; {HEAR}"
    folder = run({HEAR: die})
    assert folder.counts()["mine"] == (3, 1, 4)
    [failed] = [row for row in folder.rows() if not row.ok]
    assert failed.error.message == (
        "RemoteError: the command ended with exit code 3, asked 'represent'; its last words: "
        "'no luck'"
    )
    assert folder.log_path("mine").read_text().startswith("no luck\n")


def test_a_command_that_always_dies_is_given_up_for_its_own_reason(run) -> None:
    folder = run({HEAR: f"echo no luck >&2; exit 3; {HEAR}"})
    assert [row.error.kind for row in folder.rows()] == ["raised"] * 3 + ["gave-up"]
    message = folder.rows()[-1].error.message
    assert "no luck" in message
    assert "SIGKILL" not in message


def test_a_command_that_fails_a_clip_goes_on(run) -> None:
    fail = HEAR.replace("'{}'", """'{"error": "too loud"}'""")
    folder = run({HEAR: fail})
    assert {row.error.message for row in folder.rows()} == {
        "RemoteError: the command, asked 'represent', answered with an error: 'too loud'"
    }


def test_at_once_nothing_is_measured_apart(run) -> None:
    folder = run({}, at_once=True)
    assert folder.counts()["mine"] == (4, 0, 4)
    assert {tuple(row.phase_ns) for row in folder.rows()} == {("represent+generate",)}


def test_no_process_and_no_file_is_left(run, tmp_path: Path) -> None:
    mark = "echo $$ > pid; while IFS= read -r line"
    ignore = "done\ntrap '' TERM HUP\nwhile :; do sleep 1; done"
    folder = run({"while IFS= read -r line": mark, "done\n": f"{ignore}\n"})
    assert folder.counts()["mine"].ok == 4
    pid = int((tmp_path / "pid").read_text())
    status = Path(f"/proc/{pid}/stat")
    alive = status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    assert not alive


def test_the_shell_of_the_example_is_here() -> None:
    assert shutil.which("sh"), "POSIX has one"
    assert (ROOT / "examples").is_dir()
