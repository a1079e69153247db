"""Runs under conditions: what is run, what is not run twice, what becomes of odd speech."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.datasets.conditions.condition import find_active
from stabench.harness.datasets.conditions.rendering import Speech
from stabench.harness.errors import StabenchError
from stabench.harness.runner import plan
from stabench.harness.runner.engine import Engine, Interrupted
from stabench.harness.runner.progress import Silent
from stabench.harness.runs.conditions_file import SPEECH
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.harness.suites.suite import load
from stabench.metrics.audio import decode, encode
from tests.harness.conftest import TOYS
from tests.harness.runner.test_engine import StopAfter

CLIPS = [f"clip{index}" for index in range(6)]
TWO = ("noise10", "telephone")


@pytest.fixture
def told(suite, speech: Path, tmp_path: Path) -> Path:
    """A suite of a system that hears and an oracle that is told the caption."""
    path = suite({"ears": {}, "oracle": {}})
    table = tmp_path / "captions.csv"
    table.write_text("id,caption\n" + "".join(f"{clip},A {clip} barks.\n" for clip in CLIPS))
    head, ears, oracle = path.read_text().partition('[[system]]\nname = "oracle"\n')
    text = head.replace(f'speech = "{speech}"', f'speech = "{speech}"\ncaptions = "{table}"')
    oracle = f'paradigm = "oracle"\nuse = "{TOYS}:Reader"\n'
    path.write_text(text + ears + oracle)
    return path


def begin(path: Path, runs: Path, *conditions: str, **request: object) -> RunFolder:
    asked = Request(**{"in_process": True, "conditions": conditions, **request})
    return plan.begin(str(path), asked, runs)


def run(folder: RunFolder) -> RunFolder:
    Engine(folder, Silent()).run()
    return folder


def keys(folder: RunFolder) -> Counter[tuple[str, str]]:
    return Counter((row.system, row.clip) for row in folder.list_rows())


def test_every_clip_is_heard_under_every_condition_and_the_oracle_once(told, tmp_path) -> None:
    folder = run(begin(told, tmp_path / "runs", *TWO))
    expected = {("ears", clip) for clip in CLIPS} | {("oracle", clip) for clip in CLIPS}
    expected |= {("ears", f"{clip}@{name}") for clip in CLIPS for name in TWO}
    assert keys(folder) == Counter(dict.fromkeys(expected, 1))
    assert {name: count.planned for name, count in folder.counts().items()} == {
        "ears": 18,
        "oracle": 6,
    }


def test_conditions_share_seeds_so_that_they_differ_in_speech_alone(told, tmp_path) -> None:
    folder = run(begin(told, tmp_path / "runs", *TWO))
    clean = {(row.system, row.clip): row for row in folder.rows()}
    for condition in TWO:
        rows = folder.rows(condition=condition)
        assert {(row.system, row.clip) for row in rows} == clean.keys()
        for row in rows:
            beside = clean[row.system, row.clip]
            assert row.seed == beside.seed
            # What hears answers otherwise; the oracle's row is the very same.
            assert (row == beside) == (row.system == "oracle")
            path = folder.audio_path(row.system, row.clip, condition)
            assert (path == folder.audio_path(row.system, row.clip)) == (row.system == "oracle")


def test_clean_rows_are_those_of_a_run_without_conditions(told, tmp_path) -> None:
    alone = run(begin(told, tmp_path / "alone"))
    beside = run(begin(told, tmp_path / "beside", *TWO))
    sounds = [{row.key: row.audio_sha256 for row in each.rows()} for each in (alone, beside)]
    assert sounds[0] == sounds[1]


def test_an_oracle_that_does_not_say_that_it_reads_captions_is_refused(
    suite, told, tmp_path
) -> None:
    told.write_text(told.read_text().replace(":Reader", ":Toy"))
    folder = begin(told, tmp_path / "runs", "noise10")
    with pytest.raises(StabenchError, match="'oracle' has a paradigm that reads the true caption"):
        run(folder)
    assert folder.list_rows() == []
    run(begin(told, tmp_path / "clean"))


def test_what_is_measured_on_the_speech_is_in_the_run(told, speech, tmp_path) -> None:
    folder = begin(told, tmp_path / "runs", "noise10", "fast")
    noisy, fast = folder.read_conditions().conditions
    for clip in CLIPS:
        clean = decode(speech / f"{clip}.wav").samples.astype(float)
        heard = decode(folder.speech_path(clip, "noise10")).samples.astype(float)
        active = find_active(Speech(clean, 16_000))
        known = noisy.clips[clip]
        noise = heard / known.gain - clean
        ratio_db = 10 * np.log10(np.mean(clean[active] ** 2) / np.mean(noise[active] ** 2))
        assert known.parts[0].measured["snr_db"] == pytest.approx(ratio_db, abs=0.01)
        assert known.duration_s == pytest.approx(0.1)
        assert known.speech_end_s == pytest.approx(0.1)
        assert fast.clips[clip].speech_end_s == pytest.approx(0.08)
        assert len(decode(folder.speech_path(clip, "fast")).samples) == 1_280


@pytest.mark.parametrize("stop", [1, 5, 15])
def test_an_interrupted_run_goes_on_where_it_was(told, tmp_path, stop: int) -> None:
    whole = run(begin(told, tmp_path / "whole", *TWO))
    folder = begin(told, tmp_path / "runs", *TWO)
    made = {path: path.stat().st_mtime_ns for path in (folder.path / SPEECH).iterdir()}
    with pytest.raises(Interrupted, match="of 24 done"):
        Engine(folder, StopAfter(stop)).run()
    run(plan.resume(str(told), RunFolder.open(folder.path), {"conditions": TWO}))
    assert keys(folder) == keys(whole)
    sounds = [{row.key: row.audio_sha256 for row in each.list_rows()} for each in (folder, whole)]
    assert sounds[0] == sounds[1]
    # Nothing was rendered twice.
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_speech_that_is_gone_is_rendered_again_and_must_be_the_same(told, speech, tmp_path) -> None:
    folder = run(begin(told, tmp_path / "runs", "noise10"))
    path = folder.speech_path("clip2", "noise10")
    before = path.read_bytes()
    path.unlink()
    plan.resume(None, RunFolder.open(folder.path), {})
    assert path.read_bytes() == before
    path.unlink()
    (speech / "clip2.wav").write_bytes((speech / "clip3.wav").read_bytes())
    with pytest.raises(StabenchError, match="speech of clip 'clip2' under 'noise10' would be ano"):
        plan.resume(None, RunFolder.open(folder.path), {})


def test_a_run_that_was_killed_while_it_rendered_is_rendered_to_the_end(told, tmp_path) -> None:
    folder = begin(told, tmp_path / "runs", *TWO)
    (folder.path / "conditions.json").unlink()
    folder.speech_path("clip5", "telephone").unlink()
    resumed = run(plan.resume(None, RunFolder.open(folder.path), {}))
    assert keys(resumed) == keys(run(begin(told, tmp_path / "whole", *TWO)))


def test_speech_that_a_condition_cannot_take_is_a_failed_row_with_its_reason(
    told, speech, tmp_path
) -> None:
    (speech / "clip1.wav").write_bytes(encode(np.zeros(1_600, np.float32), 16_000))
    saved = (speech / "clip4.wav").read_bytes()
    (speech / "clip4.wav").write_bytes(b"")
    folder = run(begin(told, tmp_path / "runs", *TWO))
    rows = {row.clip: row for row in folder.list_rows() if row.system == "ears"}
    assert len(rows) == 18
    silent = rows["clip1@noise10"]
    assert silent.error.kind == "bad-speech"
    assert silent.error.message == (
        "condition 'noise10': no frame holds speech, so that 10 dB below it means nothing; give "
        "other speech"
    )
    assert rows["clip1"].ok
    assert rows["clip1@telephone"].ok
    for name in ("clip4", "clip4@noise10", "clip4@telephone"):
        assert rows[name].error.kind == "bad-speech"
        assert "the file is empty" in rows[name].error.message
    # As any failed clip: tried again when the run is resumed.
    (speech / "clip4.wav").write_bytes(saved)
    resumed = run(plan.resume(None, RunFolder.open(folder.path), {}))
    rows = {row.clip: row for row in resumed.list_rows() if row.system == "ears"}
    assert [name for name, row in rows.items() if not row.ok] == ["clip1@noise10"]


def test_the_voices_of_a_babble_do_not_depend_on_which_clips_are_run(told, tmp_path) -> None:
    few = begin(told, tmp_path / "few", "babble5", clips=("clip3",))
    all_ = begin(told, tmp_path / "all", "babble5")
    paths = [each.speech_path("clip3", "babble5") for each in (few, all_)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_dataset_of_one_speaker_makes_no_babble(told, speech, tmp_path) -> None:
    for clip in CLIPS[1:]:
        (speech / f"{clip}.wav").write_bytes(encode(np.zeros(1_600, np.float32), 16_000))
    folder = begin(told, tmp_path / "runs", "babble5")
    (record,) = folder.read_conditions().conditions
    assert "the dataset has 0; take a larger one, or noise" in record.clips["clip0"].failure


def test_conditions_of_a_suite_are_in_its_file_and_on_the_command_line(told, tmp_path) -> None:
    path = tmp_path / "grid.toml"
    grid = '[[condition]]\nname = "noise10"\nlabel = "Noise"\n[[condition]]\nname = "clean"\n'
    path.write_text(told.read_text() + grid)
    folder = begin(path, tmp_path / "runs")
    assert folder.conditions == ("noise10",)
    assert folder.read_conditions().conditions[0].label == "Noise"
    # The command line takes the suite's place, and keeps the label of what is in both.
    chosen = begin(path, tmp_path / "runs", "telephone", "noise10")
    assert [use.label for use in chosen.suite.conditions] == ["", "Noise"]
    assert begin(path, tmp_path / "runs", "clean").conditions == ()
    assert "condition" not in load(str(told)).resolved()


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        (("nois10",), "condition 'nois10': unknown condition 'nois'; did you mean 'noise'?"),
        (("noise10", "noise10"), "condition 'noise10' is there 2 times; keep one of them"),
        (("fail.py:FAIL",), "condition 'fail.py:FAIL': 'fail.py': no such file"),
    ],
)
def test_a_wrong_condition_leaves_no_run_behind(told, tmp_path, monkeypatch, conditions, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StabenchError) as caught:
        begin(told, tmp_path / "runs", *conditions)
    assert says.replace("fail.py", str(tmp_path / "fail.py")) in str(caught.value) or (
        says in str(caught.value)
    )
    assert not (tmp_path / "runs").exists()


BROKEN = """
from stabench.harness.datasets.conditions.condition import Family
def fail(speech, setting, near):
    raise KeyError("volume")
FAIL = Family("fail", "always fails", fail)
"""


def test_an_outside_condition_that_fails_is_said_before_the_run(told, tmp_path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    name = f"{tmp_path / 'broken.py'}:FAIL"
    with pytest.raises(StabenchError, match="'FAIL' failed on a second of sound: KeyError: 'vol"):
        begin(told, tmp_path / "runs", name)
    assert not (tmp_path / "runs").exists()


def test_a_clip_that_is_called_like_another_under_a_condition_is_refused(
    told, speech, tmp_path
) -> None:
    (speech / "clip0@noise10.wav").write_bytes((speech / "clip0.wav").read_bytes())
    with pytest.raises(StabenchError, match="clips under conditions: clip id 'clip0@noise10' is"):
        begin(told, tmp_path / "runs", "noise10")
    begin(told, tmp_path / "runs", "noise5")


def test_workers_run_conditions_too(
    stabench: Callable[..., object], told: Path, tmp_path: Path
) -> None:
    done = stabench("run", told, "--condition", "telephone+noise10", "--limit", 2)
    assert "Under each condition" in done.stdout
    assert "rendered telephone+noise10: 2 sounds" in done.stderr
    lines = (tmp_path / "results/runs/latest/journal.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    heard = {(row["system"], row["clip"]) for row in rows if not row["warmup"]}
    assert ("ears", "clip1@telephone+noise10") in heard
    assert ("oracle", "clip1@telephone+noise10") not in heard
