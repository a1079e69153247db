"""The command line as a user meets it: lines, exit codes, files, and what it does not import."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from stabench.harness import registry
from stabench.harness.cli import doctor, main
from stabench.harness.errors import MissingError
from stabench.harness.runs.run_folder import RunFolder

TOYS = Path(__file__).parents[1] / "toys.py"


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error: nothing on standard output, one line on standard error."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("run folder:")]
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    return lines[0].removeprefix("stabench: ")


def test_a_run_leaves_its_folder_and_prints_its_table(stabench, suite, tmp_path: Path) -> None:
    done = stabench("run", suite({"a": {}, "b": {}}))
    folder = RunFolder.open("latest", tmp_path / "results/runs")
    assert folder.counts() == {"a": (6, 0, 6), "b": (6, 0, 6)}
    for name in ("run.json", "journal.jsonl", "systems.json", "report.md", "report.json"):
        assert (folder.path / name).is_file()
    assert "Processing" in done.stdout
    assert "12 of 12 done, 0 failed" in done.stderr


def test_a_new_system_is_one_file_and_one_word(stabench, suite, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from stabench.systems.contract import Representation, Waveform\n"
        "class Mine:\n"
        "    sample_rate = 8000\n"
        "    def load(self, device, dtype): pass\n"
        "    def represent(self, speech, spans): return Representation(speech.samples[::2])\n"
        "    def generate(self, representations, seeds, spans):\n"
        "        return [Waveform(one.payload, 8000) for one in representations]\n"
    )
    path = suite({"a": {}}, name="with-mine")
    done = stabench("run", path, "--system", "mine.py:Mine", "--limit", 2, "--out", "runs")
    folder = RunFolder.open("latest", tmp_path / "runs")
    assert folder.counts() == {"Mine": (2, 0, 2)}
    assert "Mine" in done.stdout


def test_a_new_system_is_one_line_in_another_package(
    stabench, suite, tmp_path: Path, environment: dict[str, str]
) -> None:
    site = tmp_path / "site"
    info = site / "toybox-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toybox.py").write_text(TOYS.read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toybox\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stabench.systems]\ntoy = toybox:Toy\n")
    environment["PYTHONPATH"] += os.pathsep + str(site)
    assert "toybox:Toy  (toybox)" in stabench("list", "systems").stdout
    stabench("run", suite({"a": {}}, use="toy"), "--limit", 1)


FAULTS = {
    "sute": (["run", "dmo"], 2, "unknown suite 'dmo'; did you mean 'demo'?"),
    "file": (["run", "none.toml"], 3, "suite 'none.toml': no file"),
    "system": (["run", "SUITE", "--system", "aa"], 2, "unknown system 'aa'; did you mean 'a'?"),
    "class": (["run", "SUITE", "--system", "no.py:No"], 3, "no such file"),
    "limit": (["run", "SUITE", "--limit", "0"], 2, "'--limit'"),
    "device": (
        ["run", "SUITE", "--device", "tpu"],
        2,
        "device 'tpu': expected cpu, cuda or cuda:N",
    ),
    "gpu": (["run", "SUITE", "--device", "cuda:x"], 2, "device 'cuda:x': expected cpu, cuda"),
    "no suite": (["run"], 2, "run takes SUITE, or --resume RUN"),
    "key": (["run", "SUITE", "--set", "run.repeat=2"], 2, "did you mean 'repeats'?"),
    "clip": (["run", "SUITE", "--clip", "x"], 2, "--clip 'x': dataset"),
    "cascade": (
        ["run", "SUITE", "--system", "cascade:asr=wisper,tta=tango2"],
        2,
        "asr: unknown part 'wisper'; did you mean 'whisper'?",
    ),
    "command": (["rnu"], 2, "No such command 'rnu'"),
    "speech": (["run", "SUITE", "--speech", "none"], 3, "speech folder 'none' is not there"),
    "out": (["run", "SUITE", "--out", "file/x"], 2, "output folder 'file/x' cannot be written"),
    "resume": (["run", "SUITE", "--resume", "latest"], 3, "run 'latest': no run.json"),
    "list": (["list", "sistems"], 2, "unknown list 'sistems'; did you mean 'systems'?"),
    "score": (["score"], 2, "score takes RUN, or --reference DIR"),
    "score of a run": (["score", "latest", "--columns", "kl"], 2, "by the run's own suite"),
    "outputs": (["score", "--reference", ".", "--outputs", "x"], 2, "expected NAME=DIR"),
    "folders without a protocol": (
        ["score", "--reference", ".", "--outputs", "x=."],
        2,
        "give one of paper, pocket, stabench",
    ),
    "a run with a protocol": (["score", "latest", "--protocol", "paper"], 2, "the run's own suite"),
    "a name in bytes": (
        ["score", "--reference", ".", "--outputs", "caf\udce9=.", "--protocol", "pocket"],
        2,
        "system name 'caf\\udce9': not printable",
    ),
    "a folder in bytes": (["report", "caf\udce9\x1b[31m"], 3, "run 'caf\\udce9[31m'"),
    "report": (["report", "none"], 3, "none"),
    "compare": (["compare", "none", "also-none"], 3, "'none' is not there"),
    "baseline": (["compare", "file", "file"], 2, "file"),
    "reproduce": (["reproduce", "none"], 3, "run 'none'"),
    "submit": (["submit", "none", "--system", "a", "--about", "none"], 3, "'none'"),
    "package": (["check-submission", "none.zip"], 3, "none.zip"),
    "no package": (["leaderboard", "add", "none.zip"], 3, "none.zip"),
    "export": (["export", "none", "--out", "x"], 3, "run 'none': no run.json"),
    "format": (["export", "none", "--out", "x", "--format", "hf"], 2, "'--format'"),
    "history": (["history"], 2, "history takes METRIC, or --add RUN"),
    "no history": (["history", "kl"], 3, "history.jsonl"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_and_its_exit_code(
    name: str, suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    words, code, line = FAULTS[name]
    path = suite({"a": {}, "b": {}})
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["stabench", *(str(path) if w == "SUITE" else w for w in words)]
    )
    assert main.main() == code
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert len(err.splitlines()) == 1


def test_missing_weights_are_exit_3(stabench, suite) -> None:
    path = suite({"a": {"fault": "missing", "where": "load"}})
    done = stabench("run", path, check=3)
    line = done.stderr.splitlines()[-1]
    assert "weights 'toy.safetensors' are not there" in line


def test_too_many_failures_are_exit_4_after_the_report(stabench, suite, tmp_path: Path) -> None:
    path = suite({"a": {"fault": "raise", "clips": ["clip2"]}})
    done = stabench("run", path, check=4)
    assert "system 'a': 1 of 6 clips failed, allowed is 0" in done.stderr.splitlines()[-1]
    assert (tmp_path / "results/runs/latest/report.md").is_file()
    assert "raised: RuntimeError: out of idea for this clip" in done.stderr


def test_represent_alone_reports_processing_latency(stabench, suite, tmp_path: Path) -> None:
    stabench("run", suite({"a": {}}), "--phase", "represent")
    folder = RunFolder.open("latest", tmp_path / "results/runs")
    assert all(list(row.phase_ns) == ["represent"] for row in folder.rows())
    assert (folder.path / "report.md").is_file()
    assert not folder.metrics_path.exists()


def test_a_traceback_only_with_debug(
    suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("stabench.harness.runner.plan.begin", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["stabench", "run", str(suite({"a": {}}))])
    assert main.main() == main.INTERNAL
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "stabench: internal fault: ZeroDivisionError: division by zero; "
        "run again with --debug for the place"
    ]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--debug"])
    assert main.main() == main.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_exit_2() -> None:
    line, code = main._explain_ending(OSError(28, "No space left on device", "runs/x.wav"))
    assert code == 2
    assert line == (
        "cannot read or write 'runs/x.wav': No space left on device; free some space and start it "
        "again, a run with --resume"
    )


def test_ctrl_c_tells_how_to_go_on(suite, tmp_path: Path, environment: dict[str, str]) -> None:
    path = suite({"a": {"fault": "hang", "clips": ["clip3"], "marker": str(tmp_path / "pids")}})
    process = subprocess.Popen(
        [sys.executable, "-m", "stabench", "run", str(path)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell without job control has its background jobs ignore Ctrl-C, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not (tmp_path / "pids").exists():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    line = err.splitlines()[-1]
    found = re.fullmatch(
        r"stabench: interrupted: (\d) of 6 done; continue with stabench run --resume (\S+)",
        line,
    )
    assert found is not None, err
    folder = RunFolder.open(tmp_path / found[2])
    assert len([row for row in folder.rows() if row.ok]) == int(found[1])


def test_ctrl_c_in_any_other_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stabench.harness.cli.list.listing", stop)
    monkeypatch.setattr(sys, "argv", ["stabench", "list"])
    assert main.main() == 130
    assert capsys.readouterr().err == "stabench: interrupted\n"


def test_a_reader_that_has_gone_is_no_regression(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """`stabench list | head -1`: exit 1 would say that something regressed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stabench", "list"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.wait(timeout=60) == main.CLOSED
    assert process.stderr.read() == b""
    process.stderr.close()


def test_resume_keeps_the_options_of_the_run(stabench, suite, tmp_path: Path) -> None:
    path = suite({"a": {}, "b": {}})
    stabench("run", path, "--system", "b", "--limit", 2)
    before = (tmp_path / "results/runs/latest/journal.jsonl").read_bytes()
    stabench("run", path, "--resume", "latest")
    assert (tmp_path / "results/runs/latest/journal.jsonl").read_bytes() == before
    done = stabench("run", path, "--resume", "latest", "--limit", 3, check=2)
    assert "option key limit was 2 and is 3; start a new run" in _said(done)


def test_a_folder_of_sounds_for_the_page_is_asked_for(stabench, suite, tmp_path: Path) -> None:
    stabench("run", suite({"a": {}}))
    done = stabench("report", "latest", "--sound-from", tmp_path / "away", check=3)
    assert "away': no such folder; give a folder of WAVs" in _said(done)


def test_folders_are_scored_by_name(stabench, tmp_path: Path) -> None:
    words = ("--reference", "none", "--outputs", "x=also-none", "--protocol", "pocket")
    done = stabench("score", *words, check=3)
    assert "none" in _said(done)


COMMANDS = ("run", "score", "report", "compare", "reproduce", "list", "history", "export")
COMMANDS += ("submit", "check-submission", "leaderboard", "weights", "doctor", "new", "check")


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_help_is_short_for_every_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stabench", *words, "-h"])
    assert main.main() == 0
    text = capsys.readouterr().out
    assert "Usage: stabench" in text
    assert len(text.splitlines()) < 60


def test_list_names_everything_and_loads_nothing(environment: dict[str, str]) -> None:
    script = (
        "import sys, json; sys.argv = ['stabench', 'list'];"
        "from stabench.harness.cli.main import main;"
        "code = main(); print(json.dumps([code, sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    *listed, last = done.stdout.splitlines()
    code, modules = json.loads(last)
    assert code == 0
    assert {"systems", "suites", "datasets", "embedders", "metrics"} <= set(listed)
    heavy = {"torch", "transformers", "diffusers", "scipy", "numpy", "soundfile"}
    assert heavy.isdisjoint(modules)


def test_import_harness_loads_no_torch(environment: dict[str, str]) -> None:
    script = (
        "import stabench, stabench.harness.runner.engine, stabench.harness.runner.plan, sys;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_doctor_looks_at_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stabench", "doctor"])
    assert main.main() == 0
    out = capsys.readouterr().out
    for word in ("python", "torch", "device", "threads", "systems", "run folders"):
        assert re.search(rf"^\S+ +{word} ", out, re.MULTILINE), out


def test_doctor_names_a_package_that_is_not_there_and_finds_our_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = registry.entries

    def entries(kind: str) -> dict[str, registry.Entry]:
        gone = {"gone": registry.Entry("gone", "no_such_package.inner:Thing", "gone")}
        return known(kind) | (gone if kind == "systems" else {})

    monkeypatch.setattr(registry, "entries", entries)
    lines = [(line.ok, line.what, line.text) for line in doctor.examine(Path("runs"))]
    assert (False, "systems", "'gone': no module 'no_such_package.inner:Thing'") in lines
    assert any(ok and "files" in text for ok, what, text in lines if what == "weights")


def test_missing_judges_end_a_run_before_its_first_clip(
    suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    class Absent:
        @property
        def identity(self) -> str:
            raise MissingError("embedder 'cnn14-16k': no weights; stabench weights fetch")

    monkeypatch.setattr(
        "stabench.harness.scoring.score.networks_of", lambda *_: {"tagger": Absent()}
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stabench", "run", str(suite({"a": {}}))])
    assert main.main() == 3
    assert "stabench weights fetch" in capsys.readouterr().err
    assert RunFolder.open(tmp_path / "results/runs/latest").rows() == []
