"""`stabench check` and `stabench new` where the pocket is there: its clips, judges and systems."""

import shlex
import sys
from pathlib import Path

import pytest

from stabench.harness.cli import main
from stabench.harness.cli.check_system import first_clip
from stabench.harness.cli.new import write_new

ROW = """
import numpy as np
from stabench.harness.scoring.sanity import SanityRow
from stabench.metrics.audio import Audio

def reverse(clip, recording, random):
    return Audio(np.ascontiguousarray(recording.samples[::-1]), recording.rate_hz)

REVERSED = SanityRow(name="reversed", label="Recordings, backwards", make=reverse)
"""


@pytest.fixture
def call(
    pocket_set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Calls stabench in `tmp_path`; returns its exit code and the lines that it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["stabench", *words])
        code = main.main()
        return code, capsys.readouterr().out.splitlines()

    return run


@pytest.mark.slow
def test_a_system_is_tried_on_the_first_clip(pocket_set) -> None:
    trial, clip = first_clip(), pocket_set.clips[0]
    assert (trial.id, trial.caption) == (clip.id, clip.caption)
    assert len(trial.speech(8_000)) == pytest.approx(len(trial.speech(16_000)) / 2, abs=1)


def test_a_metric_as_written_is_tried_on_known_sounds(call) -> None:
    words = shlex.split(write_new("metric", "bird", None))
    code, lines = call(*words[1:])
    said = {line.split()[1]: line for line in lines[:-1]}
    assert code == 0
    assert "1.00 [1.00, 1.00], 36 clips" in said["recordings"]
    assert float(said["noise"].split()[2]) < 0.5
    assert "direction" not in said
    path = Path("bird.py")
    path.write_text(path.read_text().replace('better="higher"', 'better="lower"'))
    (path.parent / "other.py").write_text(path.read_text())
    code, lines = call("check", "other.py:METRIC")
    assert any("lower is better, and 'noise' is better than the rec" in line for line in lines)


def test_a_metric_that_draws_without_a_seed_or_raises_is_a_fault(call) -> None:
    write_new("metric", "bird", None)
    text = Path("bird.py").read_text()
    old = "    return agree(class_logits([pair.gen for pair in pairs]), recordings)\n"
    assert old in text
    Path("luck.py").write_text(text.replace(old, "    return np.random.rand(len(pairs))\n"))
    code, lines = call("check", "luck.py:METRIC")
    assert code == 1
    assert any(line.startswith("fault  again       measured twice: ") for line in lines)
    Path("bad.py").write_text(text.replace(old, "    return pairs[0]\n"))
    code, lines = call("check", "bad.py:METRIC")
    assert code == 1
    assert any("fault  measured    metric 'bird' (bad.py) returned Pair" in line for line in lines)


def test_a_sanity_row_is_tried_on_known_sounds(call) -> None:
    Path("row.py").write_text(ROW)
    code, lines = call("check", "row.py:REVERSED")
    assert code == 0
    assert "ok     sounds      of 36 recordings" in lines
    assert [line.split()[1] for line in lines[2:-1]] == ["fad", "clap"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["system", "suite"])
def test_the_command_that_is_printed_runs_the_file(kind: str, call) -> None:
    words = shlex.split(write_new(kind, "bird", None))
    code, lines = call(*words[1:])
    assert code == 0
    assert any("Bird" in line or "STAR" in line for line in lines)
