"""Accepting a package: checked, written whole with its verdict, and listed."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.leaderboard.entries import (
    MOST_REMARKS,
    accept,
    entries,
    find_borrowed_sounds,
)
from stabench.harness.submission.findings import Refused, note
from tests.harness.leaderboard.made_entries import Leaderboard


@pytest.fixture(scope="module")
def package(submitted):
    """The package of the toy run."""
    return submitted.submit()


def test_a_package_that_passes_becomes_an_audited_entry(submitted, package, tmp_path):
    root = tmp_path / "leaderboard"
    folder = accept(package, root, name="cascade", suite=str(submitted.suite))
    (entry,) = entries(root)
    assert (entry.id, folder) == ("cascade", root / "cascade")
    claims = (folder / "submission.json").read_bytes()
    with zipfile.ZipFile(package) as file:
        assert claims == file.read("submission.json")
        assert entry.sounds[0].content == file.read(f"audio/{entry.sounds[0].clip}.wav")
    assert entry.verdict.submission_sha256 == hashlib.sha256(claims).hexdigest()
    assert set(entry.verdict.recomputed) == set(json.loads(claims)["metrics"])
    assert all(entry.recomputed(column) for column in entry.submission.metrics)
    assert entry.timed
    assert len(entry.sounds) == 12
    assert "all 24 sounds heard and scored again" in " ".join(entry.verdict.remarks)
    with pytest.raises(StabenchError, match="'cascade': is there already; give another --id"):
        accept(package, root, name="Cascade", suite=str(submitted.suite))
    assert len(entries(root)) == 1


@pytest.mark.parametrize("sounds", [0, 1])
def test_an_entry_keeps_as_many_sounds_as_asked(submitted, package, tmp_path, sounds):
    accept(package, tmp_path, name="a", suite=str(submitted.suite), sounds=sounds)
    (entry,) = entries(tmp_path)
    assert len(entry.sounds) == sounds
    assert all(entry.recomputed(column) for column in entry.submission.metrics)


def test_a_name_that_cannot_be_a_folder_is_refused(submitted, package, tmp_path):
    with pytest.raises(StabenchError, match=r"entry '\.\./x': expected letters"):
        accept(package, tmp_path, name="../x", suite=str(submitted.suite))


def test_a_package_with_an_edited_number_leaves_nothing_behind(submitted, tmp_path):
    forged = submitted.forgery().claim("metrics/kl/value", lambda value: 0.99 * value)
    root = tmp_path / "leaderboard"
    with pytest.raises(Refused, match="submission refused"):
        accept(forged.write(), root, name="forged", suite=str(submitted.suite))
    assert not root.exists()


def test_a_package_of_schema_1_with_every_sound_is_accepted_as_it_was_sent(submitted, tmp_path):
    former = submitted.forgery().age()
    folder = accept(former.write(), tmp_path, name="former", suite=str(submitted.suite))
    [entry] = entries(tmp_path)
    assert (folder / "submission.json").read_bytes() == former.files["submission.json"]
    assert all(entry.recomputed(column) for column in entry.submission.metrics)
    assert not list(folder.glob("*.safetensors"))


def test_a_package_is_opened_once(submitted, package, tmp_path, monkeypatch):
    """Nobody can put another file in its place between the check and the entry."""

    def replace(opened, *_, **__):
        package.unlink()
        return []

    package = Path(shutil.copy(package, tmp_path))
    monkeypatch.setattr("stabench.harness.submission.check.check_package", replace)
    accept(package, tmp_path / "root", name="x", suite=str(submitted.suite))
    [entry] = entries(tmp_path / "root")
    assert len(entry.sounds) == 12


def test_sounds_of_another_system_s_entry_are_told(tmp_path):
    made = Leaderboard(tmp_path)
    made.add("star")
    made.add("again")
    made.add("thief", change=lambda v: v["system"].update(weights={"a": "6" * 64}))
    again, star, thief = entries(made.root)
    assert list(find_borrowed_sounds(again.submission, [star])) == []
    [finding] = find_borrowed_sounds(thief.submission, [star])
    assert finding.severity == "warning"
    assert finding.message == "12 of 12 sounds are those of entry 'star', exactly"


def test_many_remarks_keep_nobody_from_being_accepted(submitted, package, tmp_path, monkeypatch):
    remarks = [note("a", "b", f"remark {index}") for index in range(MOST_REMARKS + 5)]
    monkeypatch.setattr("stabench.harness.submission.check.check_package", lambda *_, **__: remarks)
    accept(package, tmp_path, name="x", suite=str(submitted.suite))
    [entry] = entries(tmp_path)
    assert len(entry.verdict.remarks) == MOST_REMARKS + 1
    assert entry.verdict.remarks[-1] == "and 5 more remarks, which the check prints"


def test_a_full_disk_leaves_nothing_behind(submitted, package, tmp_path, monkeypatch):
    def full(_path, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        accept(package, tmp_path / "root", name="x", suite=str(submitted.suite))
    assert list((tmp_path / "root").iterdir()) == []
