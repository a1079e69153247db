"""Accepting a package: checked, written whole with its verdict, and listed."""

import hashlib
import json

import pytest

from harness.board.findings import Refused
from harness.board.site_accept import accept
from harness.board.site_entries import entries
from harness.errors import StabenchError


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
    with pytest.raises(StabenchError, match="is there already; give another --id"):
        accept(package, root, name="cascade", suite=str(submitted.suite))


def test_a_name_that_cannot_be_a_folder_is_refused(submitted, package, tmp_path):
    with pytest.raises(StabenchError, match=r"entry '\.\./x': expected letters"):
        accept(package, tmp_path, name="../x", suite=str(submitted.suite))


def test_a_package_with_an_edited_number_leaves_nothing_behind(submitted, tmp_path):
    forged = submitted.forgery().claim("metrics/kl/value", lambda value: 0.99 * value)
    root = tmp_path / "leaderboard"
    with pytest.raises(Refused, match="submission refused"):
        accept(forged.write(), root, name="forged", suite=str(submitted.suite))
    assert not root.exists()
