"""`stabench new`: each file that it writes runs as it is, by the command that it prints."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from stabench.harness import registry
from stabench.harness.cli import check as checking
from stabench.harness.cli import main
from stabench.harness.cli.check_system import Trial, make_tone
from stabench.harness.cli.new import write_new
from stabench.harness.errors import StabenchError
from stabench.harness.suites import suite
from stabench.metrics.audio import decode, encode


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("system", "stabench run pocket --limit 2 --system bird.py:Bird"),
        ("suite", "stabench run bird.toml --limit 4"),
        ("metric", "stabench check bird.py:METRIC"),
        ("dataset", "stabench check bird.py:bird --option folder=DIR"),
        ("condition", "stabench run pocket --limit 2 --condition bird.py:bird20"),
    ],
)
def test_a_file_says_how_to_run_it_and_is_never_overwritten(
    kind: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_new(kind, "bird", None) == command
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    assert command in text
    path.write_text("mine")
    with pytest.raises(StabenchError, match=r"'bird\.(py|toml)' is there already"):
        write_new(kind, "bird", None)
    assert path.read_text() == "mine"


def test_the_line_of_the_file_names_it_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a place").mkdir()
    path = tmp_path / "a place" / "owl.py"
    words = shlex.split(write_new("system", "night_owl", path))
    assert words[-1] == f"{path}:NightOwl"
    assert registry.attribute(words[-1]).__name__ == "NightOwl"


@pytest.mark.parametrize(
    ("name", "out", "line"),
    [
        ("9lives", None, "NAME is '9lives'; give a letter, then letters, digits or _"),
        ("a-b", None, "NAME is 'a-b'"),
        ("class", None, "NAME is 'class'"),
        ("_x", None, "NAME is '_x'"),
        ("é", None, "NAME is 'é'"),
        ("json", None, "'json.py' would hide the module 'json'"),
        ("bird", "bird.txt", "--out 'bird.txt': a system is a .py file"),
        ("bird", "gone/bird.py", "no folder 'gone'; make it first"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    name: str,
    out: str | None,
    line: str,
    stabench,
    tmp_path: Path,
) -> None:
    words = ["new", "system", name, *(["--out", out] if out else [])]
    done = stabench(*words, check=2)
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_system_as_written_runs_and_keeps_the_contract(
    stabench,
    suite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stabench("new", "system", "bird")
    path = suite({"a": {}})
    stabench("run", path, "--system", "bird.py:Bird", "--limit", 2, "--out", "runs")
    lines = (tmp_path / "runs/latest/journal.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["status"] for row in rows} == {"ok"}
    assert {span["name"] for row in rows for span in row["spans"]} == {"listen", "make"}
    trial = Trial("tone", "a tone", "one second of a tone", make_tone)
    monkeypatch.setattr(checking, "first_clip", lambda: trial)
    monkeypatch.chdir(tmp_path)
    for option, code, line in (
        ("seconds=0.5", 0, "ok     generate    0.50 s of sound at 16000 Hz"),
        ("second=0.5", 1, "fault  options     options: unknown option 'second'; did you mean"),
    ):
        words = ["stabench", "check", "bird.py:Bird", "--option", option]
        monkeypatch.setattr(sys, "argv", words)
        assert main.main() == code
        out = capsys.readouterr().out
        assert line in out
        end = "nothing wrong" if code == 0 else "1 fault"
        assert out.splitlines()[-1] == f"bird.py:Bird: {end}"


def test_a_suite_as_written_is_one_of_the_pocket(tmp_path: Path) -> None:
    path = tmp_path / "bird.toml"
    write_new("suite", "bird", path)
    written = suite.load(str(path))
    written.check_names()
    assert written.name == "bird"
    assert [system.paradigm for system in written.systems] == ["end-to-end", "oracle"]


def test_a_dataset_as_written_has_the_clips_of_a_folder(
    stabench, speech: Path, tmp_path: Path
) -> None:
    (speech / "captions.csv").write_text("id,caption\nclip1,a bird sings\n")
    stabench("new", "dataset", "bird")
    done = stabench("check", "bird.py:bird", "--option", f"folder={speech}")
    assert "ok     clips       6 clips of bird" in done.stdout
    assert "ok     captions    1 of 6 clips have some" in done.stdout
    done = stabench("check", "bird.py:bird", check=1)
    assert "no .wav file in" in done.stdout
    (tmp_path / "bird.toml").write_text(
        f"""
name = "birds"
[dataset]
use = "bird.py:bird"
folder = "{speech}"
[protocol]
threads = 1
[[system]]
name = "toy"
use = "{Path(__file__).parents[1] / "toys.py"}:Toy"
"""
    )
    stabench("run", "bird.toml", "--limit", 3, "--out", "runs")
    rows = (tmp_path / "runs/latest/journal.jsonl").read_text().splitlines()
    assert {json.loads(row)["clip"] for row in rows} == {"clip0", "clip1", "clip2"}


def test_a_metric_as_written_scores(stabench, tmp_path: Path) -> None:
    for folder, pitch_hz in (("reference", 440), ("same", 440), ("other", 4_000)):
        (tmp_path / folder).mkdir()
        for index in range(4):
            # Each its own pitch: four copies would be one clip.
            turns = (pitch_hz + index) * np.arange(16_000) / 16_000
            sound = 0.3 * np.sin(2 * np.pi * turns)
            data = encode(sound.astype(np.float32), 16_000)
            (tmp_path / folder / f"c{index}.wav").write_bytes(data)
    stabench("new", "metric", "bird")
    words = ("--reference", "reference", "--outputs", "same=same", "--outputs", "other=other")
    listeners = Path(__file__).parents[1] / "listeners.py"
    words += ("--protocol", "pocket", "--tagger-backend", f"{listeners}:Tagger", "--no-sanity")
    stabench("score", *words, "--columns", "bird.py:METRIC", "--out", "out")
    systems = json.loads((tmp_path / "out/metrics.json").read_text())["systems"]
    values = {name: system["cells"]["bird"]["value"] for name, system in systems.items()}
    assert values == {"same": 1.0, "other": 0.0}


def test_a_condition_as_written_is_heard(stabench, suite, tmp_path: Path) -> None:
    stabench("new", "condition", "bird")
    path = suite({"a": {}})
    stabench("run", path, "--condition", "bird.py:bird20", "--limit", 2, "--out", "runs")
    run = tmp_path / "runs/latest"
    (known,) = json.loads((run / "conditions.json").read_text())["conditions"]
    clean = decode(tmp_path / "speech/clip1.wav").samples
    heard = decode(run / "speech/clip1@bird20.wav").samples
    assert heard == pytest.approx(clean / 10, abs=1e-6)
    peak = known["clips"]["clip1"]["parts"][0]["measured"]["peak"]
    assert peak == pytest.approx(float(np.abs(clean).max()) / 10)
    refused = stabench("new", "condition", "bird2", check=2)
    assert "NAME is 'bird2'; a condition has letters and _ alone" in refused.stderr
