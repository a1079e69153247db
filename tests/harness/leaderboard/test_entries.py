"""Entries on the disk: what may stand in the leaderboard's folder, and what breaks the build."""

import json
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.leaderboard.entries import MOST_CLIPS, entries
from tests.harness.leaderboard.made_entries import CLIPS, RATE_HZ, Leaderboard, sound

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def made(tmp_path: Path) -> Leaderboard:
    return Leaderboard(tmp_path / "leaderboard")


def test_entries_are_read_by_id_with_their_verdicts(made):
    made.add("b")
    made.add("a", audited=False)
    (made.root / "README.md").write_text("not an entry")
    unaudited, audited = entries(made.root)
    assert (unaudited.id, unaudited.verdict) == ("a", None)
    assert (audited.id, audited.verdict is None) == ("b", False)
    assert (audited.recomputed("kl"), unaudited.recomputed("kl")) == (True, False)
    assert (audited.timed, unaudited.timed) == (True, False)


def former(value: dict[str, Any], rule: str = "all") -> None:
    """Claims as schema 1 wrote them."""
    value["schema"] = 1
    value["files"] = {"run.json": "7" * 64, "features.safetensors": "8" * 64}
    value["audio"] = {"rule": rule, "root": "6" * 64, "clips": list(CLIPS)}


def test_an_entry_of_schema_1_is_read_as_ever(made):
    made.add("a", change=former, verdict={"schema": 1, "heard": 12}, audio=True)
    [entry] = entries(made.root)
    assert entry.recomputed("kl")
    assert entry.timed
    assert entry.submission.files == {"run.json": "7" * 64}
    assert [sound.clip for sound in entry.sounds] == list(CLIPS[:3])


def test_an_entry_of_schema_1_with_a_sample_of_its_sounds_is_refused(made):
    path = made.add("a", change=former) / "submission.json"
    path.write_text(path.read_text().replace('"rule": "all"', '"rule": "sample"'))
    with pytest.raises(
        StabenchError, match=r"submission\.json: schema 1 with a sample of the sounds"
    ):
        entries(made.root)


def test_a_submission_that_was_edited_after_its_check_is_found_out(made):
    path = made.add("a") / "submission.json"
    path.write_text(path.read_text().replace('"value": 2.0', '"value": 1.98'))
    with pytest.raises(StabenchError, match=r"verdict\.json: of another submission\.json"):
        entries(made.root)


def test_a_verdict_with_errors_or_of_another_shape_is_refused(made):
    made.add("a", verdict={"errors": 2})
    with pytest.raises(StabenchError, match="the check found 2 errors; remove the entry"):
        entries(made.root)
    (made.root / "a" / "verdict.json").write_text('{"schema": 2}')
    with pytest.raises(StabenchError, match=r"verdict\.json: submission_sha256: field required"):
        entries(made.root)


def test_a_broken_submission_is_refused_with_its_field_and_no_escape(made):
    path = made.add("a", audited=False) / "submission.json"
    value = json.loads(path.read_text())
    value["system"]["links"] = {"\x1b[31mred": "javascript:alert(1)"}
    path.write_text(json.dumps(value))
    with pytest.raises(StabenchError, match=r"system\.links") as caught:
        entries(made.root)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "a<b", "ä", "_a", "x" * 101])
def test_folders_have_names_that_can_be_files(made, name):
    (made.root / name).mkdir()
    with pytest.raises(StabenchError, match="expected a folder named by letters"):
        entries(made.root)


def test_names_that_differ_in_case_only_are_refused(made):
    made.add("star")
    made.add("STAR")
    with pytest.raises(StabenchError, match="'star': differs from 'STAR' in case only"):
        entries(made.root)


def test_links_are_not_followed(made, tmp_path):
    outside = tmp_path / "outside.json"
    folder = made.add("a", audited=False)
    (folder / "submission.json").rename(outside)
    (folder / "submission.json").symlink_to(outside)
    with pytest.raises(MissingError, match=r"no submission\.json"):
        entries(made.root)
    other = Leaderboard(tmp_path / "other")
    (other.root / "b").symlink_to(folder)
    with pytest.raises(StabenchError, match="entry 'b': expected a folder"):
        entries(other.root)


def test_a_missing_folder_is_said_so(tmp_path):
    with pytest.raises(MissingError, match="--from DIR"):
        entries(tmp_path / "none")


def test_sounds_are_the_outputs_whose_hashes_are_claimed(made):
    folder = made.add("a", audio=True)
    (entry,) = entries(made.root)
    assert [sound.clip for sound in entry.sounds] == list(CLIPS[:3])
    assert entry.sounds[0].content == (folder / "audio" / "clip00.wav").read_bytes()
    (folder / "audio" / "clip01.wav").write_bytes((folder / "audio" / "clip02.wav").read_bytes())
    with pytest.raises(StabenchError, match=r"clip01\.wav: not the sound whose hash is claimed"):
        _ = entries(made.root)[0].sounds
    (folder / "audio" / "clip01.wav").write_bytes(b"no sound")
    with pytest.raises(StabenchError, match=r"clip01\.wav: cannot be decoded"):
        _ = entries(made.root)[0].sounds


def test_no_clip_s_name_leads_out_of_the_folder(made, tmp_path):
    from stabench.metrics.audio import encode

    def climbing(value):
        value["outputs"]["../../secret"] = value["outputs"].pop("clip00")

    made.add("a", change=climbing)
    (made.root / "secret.wav").write_bytes(encode(sound("clip00"), RATE_HZ))
    assert entries(made.root)[0].sounds == []
    assert MOST_CLIPS >= 1


def test_the_leaderboard_of_this_repository_has_its_own_systems_checked_and_small():
    root = ROOT / "results" / "leaderboard"
    accepted = {entry.id: entry for entry in entries(root)}
    assert {"pocket-cascade", "pocket-star"} <= accepted.keys()
    for name in ("pocket-cascade", "pocket-star"):
        entry = accepted[name]
        assert entry.timed
        assert all(entry.recomputed(column) for column in entry.submission.metrics)
        assert entry.submission.marks == ()
        assert len(entry.submission.outputs) == entry.submission.dataset.clips == 144
        assert entry.sounds
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 1_000_000
