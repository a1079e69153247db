"""A run that goes on after it was scored: no number of the older sounds is shown any more."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stabench.harness.compare import read_evidence
from stabench.harness.runs import journal
from stabench.harness.runs.journal import Row
from stabench.harness.runs.results import STALE, Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Scored; of `star` one clip failed, of `oracle` the file of one is gone."""
    make = FakeRun(tmp_path, n=12, failed={"star": ["clip003"]}, metrics={"sanity": []})
    folder = make.make()
    folder.audio_path("oracle", "clip005").unlink()
    score_run(folder.path)
    return folder


def append(run: RunFolder, row: Row) -> None:
    with run.journal_path.open("a") as file:
        file.write(json.dumps(journal.to_json(row)) + "\n")


def row_of(run: RunFolder, system: str, clip: str) -> Row:
    return next(row for row in run.rows() if (row.system, row.clip) == (system, clip))


def stale(run: RunFolder) -> set[str]:
    systems = Results.read(run.path).metrics.systems.items()
    return {name for name, one in systems if {c.reason for c in one.cells.values()} == {STALE}}


def test_scores_of_the_journals_sounds_are_shown(run: RunFolder) -> None:
    found = Results.read(run.path)
    assert not stale(run)
    assert found.metrics.systems["star"].cells["kl"].value is not None
    assert found.metrics.systems["oracle"].n == 11
    digests = {one.audio_sha256 for one in found.metrics.systems.values()}
    assert len(digests) == 3
    assert None not in digests


def test_a_clip_that_succeeds_later_makes_scores_stale(run: RunFolder) -> None:
    done = row_of(run, "star", "clip004")
    append(run, replace(done, clip="clip003"))
    assert stale(run) == {"star"}
    found = Results.read(run.path)
    assert not found.metrics.systems["star"].per_clip
    assert {name for one in found.paired for name in (one.a, one.b)} == {"cascade", "oracle"}
    column = read_evidence.read(run.path).systems["star"].columns["fad"]
    assert (column.value, column.reason) == (None, STALE)


def test_another_sound_makes_scores_stale_until_they_are_made_again(run: RunFolder) -> None:
    append(run, replace(row_of(run, "cascade", "clip001"), audio_sha256="0" * 64))
    assert stale(run) == {"cascade"}
    score_run(run.path)
    assert not stale(run)
    assert "clip001" in Results.read(run.path).metrics.systems["cascade"].failures


def test_without_any_sound_the_number_of_clips_tells(tmp_path: Path) -> None:
    """A run of the first phase alone is scored by its transcripts."""
    run = FakeRun(tmp_path, n=6, failed={"cascade": ["clip002"]}).make()
    rows = [replace(row, audio_sha256=None, rate_hz=None, samples=None) for row in run.rows()]
    run.journal_path.write_text("")
    for row in rows:
        append(run, row)
    score_run(run.path)
    assert not stale(run)
    append(run, replace(row_of(run, "cascade", "clip003"), clip="clip002"))
    assert stale(run) == {"cascade"}
