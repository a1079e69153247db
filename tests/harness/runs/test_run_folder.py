"""The run folder: what create writes, open reads; runs side by side do not touch each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stabench.harness import environment
from stabench.harness.datasets.dataset import Clip
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs.journal import Failure, Journal, Row
from stabench.harness.runs.run_folder import DatasetRecord, Record, Request, RunFolder
from stabench.harness.suites.suite import load

CLIPS = (Clip("a", "a dog", Path("a.wav"), None, ("dog",)), Clip("b", None, None, None))


@pytest.fixture
def record(suite: Callable[..., Path]) -> Record:
    return Record(
        suite=load(str(suite({"x": {}, "y": {}}, repeats=2))),
        request=Request(limit=2, device="cpu"),
        dataset=DatasetRecord(name="pets", version="1", n=2, label_names=("dog",), clips=CLIPS),
        environment=environment.record(1),
        started_at="2026-01-01T00:00:00.000+00:00",
    )


def test_what_was_written_is_what_is_read(tmp_path: Path, record: Record) -> None:
    made = RunFolder.create(tmp_path / "runs", record)
    found = RunFolder.open(made.path)
    assert found.record == record
    assert (found.clips, found.dataset.label_names) == (CLIPS, ("dog",))
    assert found.suite == record.suite
    assert made.path.name.startswith("toys-20")


def test_latest_is_a_relative_link_to_the_last_run(tmp_path: Path, record: Record) -> None:
    runs = tmp_path / "runs"
    RunFolder.create(runs, record)
    last = RunFolder.create(runs, record)
    assert (runs / "latest").readlink() == Path(last.path.name)
    assert RunFolder.open("latest", runs).path == last.path.resolve()


def test_a_run_goes_on_where_there_are_no_links(
    tmp_path: Path,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    runs = tmp_path / "runs"
    monkeypatch.setattr("os.symlink", refuse)
    made = RunFolder.create(runs, record)
    assert RunFolder.open(made.path).record == record
    [line] = capsys.readouterr().err.splitlines()
    assert "latest' cannot point to this run (Operation not supported); name its folder" in line
    assert [path.name for path in runs.iterdir()] == [made.path.name]


def test_a_folder_called_latest_is_left_alone_and_no_litter_is_left(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    (runs / "latest").mkdir(parents=True)
    (runs / "latest" / "mine").touch()
    made = RunFolder.create(runs, record)
    assert "cannot point to this run" in capsys.readouterr().err
    assert {path.name for path in runs.iterdir()} == {"latest", made.path.name}
    assert (runs / "latest" / "mine").exists()


def test_a_run_opened_by_the_link_stays_the_same_run(tmp_path: Path, record: Record) -> None:
    first = RunFolder.create(tmp_path, record)
    opened = RunFolder.open(tmp_path / "latest")
    RunFolder.create(tmp_path, record)
    opened.write_record(record.model_copy(update={"finished_at": "now"}))
    assert RunFolder.open(first.path).record.finished_at == "now"
    assert RunFolder.open("latest", tmp_path).record.finished_at is None


def test_runs_made_at_once_have_folders_of_their_own(tmp_path: Path, record: Record) -> None:
    runs = tmp_path / "runs"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunFolder.create(runs, record), range(24)))
    assert len({folder.path for folder in made}) == 24
    assert all(RunFolder.open(folder.path).record == record for folder in made)
    assert RunFolder.open("latest", runs).record == record
    assert not list(runs.glob(".*"))


def test_a_run_is_named_by_its_order(tmp_path: Path, record: Record) -> None:
    names = [f"toy-20260101T00000{second}Z-{end}" for second, end in ((1, "ffffff"), (2, "000000"))]
    for name in (*names, "zoo-20260101T000000Z-aaaaaa"):
        RunFolder(tmp_path / name).path.mkdir()
        RunFolder(tmp_path / name).write_record(record)
    # Neither is a run: no stamp, no run.json.
    (tmp_path / "mine").mkdir()
    (tmp_path / "toy-20260101T000009Z-000000").mkdir()

    def names_of(*order: str) -> list[str]:
        return [RunFolder.open(name, tmp_path).path.name for name in order]

    # Without a link, as on a network drive, the names tell the order.
    order = ("latest", "latest~0", "latest~1", "latest~2")
    assert names_of(*order) == [names[1], names[1], names[0], "zoo-20260101T000000Z-aaaaaa"]
    (tmp_path / "latest").symlink_to(names[0])
    assert names_of("latest", "latest~1") == [names[0], "zoo-20260101T000000Z-aaaaaa"]
    with pytest.raises(MissingError, match=r"run 'latest~2': no run.json .* holds 2 runs"):
        RunFolder.open("latest~2", tmp_path)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, record: Record) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StabenchError, match=r"cannot be written .*--out DIR") as caught:
        RunFolder.create(tmp_path / "file/runs", record)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def test_no_run_and_a_broken_run(tmp_path: Path, record: Record) -> None:
    with pytest.raises(MissingError, match=r"no run\.json"):
        RunFolder.open(tmp_path)
    with pytest.raises(MissingError, match="run 'latest'"):
        RunFolder.open("latest", tmp_path)
    path = RunFolder.create(tmp_path, record).path
    text = (path / "run.json").read_text()
    (path / "run.json").write_text(text.replace('"limit"', '"limmit"'))
    with pytest.raises(StabenchError, match=r"run\.json: key 'request.limmit'"):
        RunFolder.open(path)
    (path / "run.json").write_text(text[:100])
    with pytest.raises(StabenchError, match=r"run\.json"):
        RunFolder.open(path)


def test_rows_and_counts(tmp_path: Path, record: Record) -> None:
    folder = RunFolder.create(tmp_path, record)
    assert folder.rows() == []
    assert folder.counts() == {"x": (0, 0, 4), "y": (0, 0, 4)}
    ok = Row("x", "a", 0, False, "ok", 1)
    failed = Row("x", "b", 0, False, "failed", 1, error=Failure("raised", "no"))
    warm = Row("x", "a", 0, True, "ok", 1)
    journal = Journal(folder.journal_path)
    journal.append([warm, ok, failed])
    journal.close()
    assert (folder.rows(), folder.rows(warmup=True)) == ([ok, failed], [warm])
    assert folder.counts()["x"] == (1, 1, 4)


def test_systems_tell_about_themselves(tmp_path: Path, record: Record) -> None:
    folder = RunFolder.create(tmp_path, record)
    assert folder.about_systems() == {}
    folder.add_system("x", {"provenance": {"sha256": "ab"}})
    folder.add_system("y", {"provenance": {}})
    assert list(folder.about_systems()) == ["x", "y"]


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', "\udcff"])
def test_a_broken_systems_file_is_one_line(tmp_path: Path, record: Record, text: str) -> None:
    folder = RunFolder.create(tmp_path, record)
    (folder.path / "systems.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StabenchError, match=r"systems\.json: not .*; remove it and run again"):
        folder.about_systems()


def test_half_written_files_are_swept(tmp_path: Path, record: Record) -> None:
    folder = RunFolder.create(tmp_path, record)
    audio = folder.audio_path("x", "a")
    audio.parent.mkdir(parents=True)
    audio.touch()
    audio.with_name(".a.wav.1-2.part").touch()
    folder.sweep()
    assert list(audio.parent.iterdir()) == [audio]
