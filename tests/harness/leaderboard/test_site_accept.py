"""Accepting a package: checked, written whole with its verdict, and listed."""

import hashlib
import json

import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.leaderboard import entries as site_accept
from stabench.harness.leaderboard.entries import MOST_REMARKS, accept, borrowed, entries
from stabench.harness.submission.findings import Refused, note
from tests.harness.leaderboard.made_entries import Leaderboard


@pytest.fixture(scope="module")
def package(submitted):
    """A package of the toy run with a sample of its sounds."""
    return submitted.submit("sample")


def test_a_package_that_passes_becomes_an_audited_entry(submitted, package, tmp_path):
    root = tmp_path / "leaderboard"
    folder = accept(package, root, name="cascade", suite=str(submitted.suite))
    (entry,) = entries(root)
    assert (entry.id, folder) == ("cascade", root / "cascade")
    claimed = (folder / "submission.json").read_bytes()
    assert entry.verdict.submission_sha256 == hashlib.sha256(claimed).hexdigest()
    assert set(entry.verdict.recomputed) == set(json.loads(claimed)["metrics"])
    assert entry.verdict.heard == len(entry.submission.audio.clips)
    assert entry.timed
    assert len(entry.sounds) == 12
    assert not entry.recomputed("fad")  # eight clips' features are on trust
    assert "features of 8 taken on trust" in " ".join(entry.verdict.remarks)
    with pytest.raises(StabenchError, match="'cascade': is there already; give another --id"):
        accept(package, root, name="Cascade", suite=str(submitted.suite))
    assert len(entries(root)) == 1


def test_a_name_that_cannot_be_a_folder_is_refused(submitted, package, tmp_path):
    with pytest.raises(StabenchError, match=r"entry '\.\./x': expected letters"):
        accept(package, tmp_path, name="../x", suite=str(submitted.suite))


def test_a_package_with_an_edited_number_leaves_nothing_behind(submitted, tmp_path):
    forged = submitted.forgery().claim("metrics/kl/value", lambda value: 0.99 * value)
    root = tmp_path / "leaderboard"
    with pytest.raises(Refused, match="submission refused"):
        accept(forged.write(), root, name="forged", suite=str(submitted.suite))
    assert not root.exists()


def test_a_package_with_every_sound_holds_places(submitted, tmp_path):
    accept(submitted.submit(), tmp_path, name="whole", suite=str(submitted.suite))
    [entry] = entries(tmp_path)
    assert all(entry.recomputed(column) for column in entry.submission.metrics)


def test_sounds_of_another_system_s_entry_are_told(tmp_path):
    made = Leaderboard(tmp_path)
    made.add("star")
    made.add("again")
    made.add("thief", change=lambda v: v["system"].update(weights={"a": "6" * 64}))
    again, star, thief = entries(made.root)
    assert list(borrowed(again.submission, [star])) == []
    [told] = borrowed(thief.submission, [star])
    assert told.severity == "warning"
    assert told.message == "12 of 12 sounds are those of entry 'star', exactly"


def test_many_remarks_keep_nobody_from_being_accepted(submitted, package, tmp_path, monkeypatch):
    found = [note("a", "b", f"remark {index}") for index in range(MOST_REMARKS + 5)]
    monkeypatch.setattr(site_accept, "check_submission", lambda *_, **__: found)
    accept(package, tmp_path, name="x", suite=str(submitted.suite))
    [entry] = entries(tmp_path)
    assert len(entry.verdict.remarks) == MOST_REMARKS + 1
    assert entry.verdict.remarks[-1] == "and 5 more remarks, which the check prints"


def test_a_full_disk_leaves_nothing_behind(submitted, package, tmp_path, monkeypatch):
    from pathlib import Path

    def full(_path, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        accept(package, tmp_path / "root", name="x", suite=str(submitted.suite))
    assert list((tmp_path / "root").iterdir()) == []
