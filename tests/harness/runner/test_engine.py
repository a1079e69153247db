"""The engine with toy systems: what it runs, in which order, and what it never runs twice."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import pytest

from stabench.harness.errors import MissingError, StabenchError, TooManyFailures
from stabench.harness.runner import plan
from stabench.harness.runner.engine import Engine, Interrupted, check_failures
from stabench.harness.runner.progress import Silent
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import Request, RunFolder

CLIPS = [f"clip{index}" for index in range(6)]


class StopAfter(Silent):
    """A user who presses Ctrl-C after so many rows."""

    def __init__(self, rows: int) -> None:
        self.left = rows

    def add(self, rows: Sequence[Row]) -> None:
        self.left -= len(rows)
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., RunFolder]:
    """A new run folder whose systems run in this process unless told otherwise."""

    def make(suite: Path, **request: object) -> RunFolder:
        request = {"in_process": True, **request}
        return plan.begin(str(suite), Request(**request), tmp_path / "runs")

    return make


def _run(folder: RunFolder) -> RunFolder:
    Engine(folder, Silent()).run()
    return folder


def _lines(folder: RunFolder) -> list[str]:
    return folder.journal_path.read_text().splitlines()


def test_every_clip_once_in_every_system_and_repeat(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}, "b": {}}, repeats=2, block=4)))
    keys = {(row.system, row.clip, row.repeat) for row in folder.rows() if row.ok}
    assert keys == {(s, c, r) for s in "ab" for c in CLIPS for r in (0, 1)}
    assert len(_lines(folder)) == 24 + 2
    assert len(folder.rows(warmup=True)) == 2
    assert folder.record.finished_at >= folder.record.started_at


def test_systems_take_turns_in_the_journal(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}, "b": {}}, block=2, warmups=0)))
    turns = [(name, len(list(rows))) for name, rows in groupby(row.system for row in folder.rows())]
    first, second = turns[0][0], turns[1][0]
    assert turns == [(first, 2), (second, 4), (first, 4), (second, 2)]


def test_audio_of_all_systems_lies_apart(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}, "b": {"samples": 800}}, repeats=2)))
    for system in "ab":
        names = sorted(path.name for path in folder.audio_path(system, "x").parent.iterdir())
        assert names == [f"{clip}.wav" for clip in CLIPS]
    assert {row.samples for row in folder.rows() if row.system == "b"} == {800}
    assert folder.about_systems()["a"]["provenance"] == {"sha256": "0" * 64}


def test_repeats_differ_and_systems_share_seeds(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}, "b": {}}, repeats=2)))
    hashes = {(row.system, row.clip, row.repeat): row.audio_sha256 for row in folder.rows()}
    assert hashes["a", "clip0", 0] == hashes["b", "clip0", 0]
    assert hashes["a", "clip0", 0] != hashes["a", "clip0", 1]


def test_offline_batches_give_the_same_audio(suite, begin) -> None:
    offline = suite({"a": {}}, name="offline", scenario="offline", batch_size=4, block=6)
    batched = _run(begin(offline))
    single = _run(begin(suite({"a": {}}, name="single")))
    hashes = [{row.clip: row.audio_sha256 for row in run.rows()} for run in (batched, single)]
    assert hashes[0] == hashes[1]
    assert [row.batch for row in batched.rows()] == [4, 4, 4, 4, 2, 2]


@pytest.mark.parametrize("stop", [1, 3, 7, 12])
def test_ctrl_c_then_resume_runs_the_rest_and_nothing_twice(suite, begin, stop: int) -> None:
    path = suite({"a": {}, "b": {}}, block=2)
    whole = {row.key: row.audio_sha256 for row in _run(begin(path)).rows()}
    folder = begin(path)
    with pytest.raises(Interrupted, match=r"interrupted: \d+ of 12 done") as caught:
        Engine(folder, StopAfter(stop)).run()
    assert caught.value.exit_code == 130
    kept = _lines(folder)
    assert folder.record.finished_at is None
    _run(plan.resume(str(path), RunFolder.open(folder.path), {}))
    assert _lines(folder)[: len(kept)] == kept
    assert {row.key: row.audio_sha256 for row in folder.rows()} == whole
    measured = [line for line in _lines(folder) if '"warmup": false' in line]
    assert len(measured) == 12
    assert len(RunFolder.open(folder.path).record.resumed) == 1


def test_a_finished_run_resumed_runs_nothing(suite, begin) -> None:
    path = suite({"a": {}})
    folder = _run(begin(path))
    before = _lines(folder)
    _run(plan.resume(str(path), folder, {}))
    assert _lines(folder) == before


def test_failed_clips_are_retried(suite, begin, speech: Path) -> None:
    path = suite({"a": {}}, warmups=0)
    saved = (speech / "clip3.wav").read_bytes()
    (speech / "clip3.wav").write_bytes(b"")
    folder = _run(begin(path))
    assert folder.counts()["a"] == (5, 1, 6)
    (speech / "clip3.wav").write_bytes(saved)
    _run(plan.resume(str(path), folder, {}))
    assert folder.counts()["a"] == (6, 0, 6)
    assert len(_lines(folder)) == 7


def test_failures_beyond_the_policy_are_told_at_the_end(suite, begin) -> None:
    faulty = {"fault": "raise", "clips": ["clip1", "clip2"]}
    folder = _run(begin(suite({"a": {}, "b": faulty}, max_failed_share=0.3)))
    with pytest.raises(TooManyFailures, match=r"'b': 2 of 6 clips failed, allowed is 1.8"):
        check_failures(folder)
    check_failures(_run(begin(suite({"a": faulty}, max_failed_share=0.34))))


def test_represent_alone_leaves_no_audio(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}}), phase="represent"))
    assert folder.counts()["a"] == (6, 0, 6)
    assert not list((folder.path / "audio").rglob("*.wav"))


def test_the_limit_takes_the_first_clips_of_the_dataset(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}}), limit=2))
    assert {row.clip for row in folder.rows()} == {"clip0", "clip1"}


def test_a_folder_of_speech_replaces_the_dataset(suite, begin, tmp_path: Path, speech) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (speech / "clip4.wav").rename(mine / "hello.wav")
    (tmp_path / "captions.csv").write_text("id,caption\nhello,a dog\nother,a cat\n")
    folder = _run(begin(suite({"a": {}}), speech=str(mine)))
    [clip] = folder.clips
    assert (clip.id, clip.caption, clip.reference) == ("hello", "a dog", None)
    assert folder.counts()["a"] == (1, 0, 1)


def test_workers_die_and_the_run_goes_on(suite, begin) -> None:
    faulty = {"fault": "kill", "clips": ["clip1"]}
    folder = _run(begin(suite({"a": {}, "b": faulty}, warmups=0), in_process=False))
    assert (folder.counts()["a"], folder.counts()["b"]) == ((6, 0, 6), (5, 1, 6))
    [failed] = [row for row in folder.rows() if not row.ok]
    assert (failed.clip, failed.error.kind) == ("clip1", "worker-died")
    assert "SIGKILL" in failed.error.message


def test_a_hang_costs_its_clip(suite, begin, tmp_path: Path) -> None:
    faulty = {"fault": "hang", "clips": ["clip1"], "marker": str(tmp_path / "pids")}
    path = suite({"a": faulty}, warmups=0, timeout_s=3)
    folder = _run(begin(path, in_process=False, limit=3))
    [failed] = [row for row in folder.rows() if not row.ok]
    assert (failed.clip, failed.error.kind) == ("clip1", "timeout")
    assert folder.counts()["a"] == (2, 1, 3)


def test_two_runs_at_once_share_nothing(suite, begin) -> None:
    path = suite({"a": {}, "b": {}}, repeats=2)
    one, two = begin(path), begin(path)

    class Other(Silent):
        """Runs the second run in the middle of the first."""

        def add(self, rows: Sequence[Row]) -> None:
            if len(one.rows()) == 5:
                _run(two)

    Engine(one, Other()).run()
    assert {row.key: row.audio_sha256 for row in one.rows()} == {
        row.key: row.audio_sha256 for row in two.rows()
    }


def test_one_run_cannot_be_run_twice_at_once(suite, begin) -> None:
    folder = begin(suite({"a": {}}))

    class Other(Silent):
        def add(self, rows: Sequence[Row]) -> None:
            with pytest.raises(StabenchError, match="written by another process"):
                _run(folder)

    Engine(folder, Other()).run()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"fault": "missing", "where": "load"}, MissingError), ({"fualt": "x"}, StabenchError)],
)
def test_what_cannot_be_loaded_ends_the_run_before_its_first_clip(
    suite, begin, options: dict[str, str], error: type[StabenchError]
) -> None:
    folder = begin(suite({"a": {}, "b": options}))
    with pytest.raises(error, match="system 'b'"):
        _run(folder)
    assert _lines(folder) == []


def test_a_run_is_resumed_by_its_own_suite(suite, begin) -> None:
    path = suite({"a": {}, "b": {}})
    folder = begin(path, systems=("b", "again=a"), set=("system.b.label=Bee",))
    path.unlink()
    _run(plan.resume(None, RunFolder.open(folder.path), {}))
    assert {row.system for row in folder.rows() if row.ok} == {"b", "again"}
    assert folder.suite.systems[0].label == "Bee"
    with pytest.raises(StabenchError, match="option key limit was None and is 2"):
        plan.resume(None, RunFolder.open(folder.path), {"limit": 2})


def test_clips_are_chosen_by_their_ids(suite, begin) -> None:
    folder = _run(begin(suite({"a": {}}), clips=("clip3", "clip1"), limit=1))
    assert [clip.id for clip in folder.clips] == ["clip1"]
    with pytest.raises(StabenchError, match=r"--clip 'clip33': dataset .* no such clip .*clip3"):
        begin(suite({"a": {}}), clips=("clip33",))


def test_a_device_that_is_not_there_leaves_no_run_behind(suite, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(StabenchError, match="sees no GPU; use --device cpu"):
        plan.begin(str(suite({"a": {}})), Request(device="cuda"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_resumed_run_must_be_the_same_run(suite, begin, speech: Path) -> None:
    folder = _run(begin(suite({"a": {}}), limit=3))
    path = str(suite({"a": {}}))
    with pytest.raises(StabenchError, match="option key limit was 3 and is 5"):
        plan.resume(path, folder, {"limit": 5})
    changed = str(suite({"a": {"spin_ms": 2.0}}))
    with pytest.raises(StabenchError, match=r"suite key system.0.options.spin_ms was None"):
        plan.resume(changed, folder, {})
    path = str(suite({"a": {}}, threads=2))
    with pytest.raises(StabenchError, match=r"suite key run.threads was 1 and is 2"):
        plan.resume(path, folder, {})
    path = str(suite({"a": {}}))
    (speech / "clip0.wav").rename(speech / "clip00.wav")
    with pytest.raises(StabenchError, match="dataset key version was"):
        plan.resume(path, folder, {})


def test_captions_need_speech(suite, begin) -> None:
    with pytest.raises(StabenchError, match=r"--captions 'x.csv' needs --speech DIR"):
        begin(suite({"a": {}}), captions="x.csv")
