"""Checking: a valid submission passes; what is printed, what is trusted, how it ends."""

import io
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.cli import leaderboard_commands
from stabench.harness.errors import MissingError
from stabench.harness.submission import features_file
from stabench.harness.submission.check import check, check_submission
from stabench.harness.submission.findings import (
    HEARD,
    MOST,
    Refused,
    deviations,
    error,
    show,
    warning,
)
from stabench.metrics.contract import Features
from tests.harness.submission.forgeries import CLIP, errors
from tests.harness.submission.toy_board import SYSTEM, Toy, toy


def test_a_valid_submission_passes(submitted: Toy):
    found = check_submission(submitted.submit(), suite=str(submitted.suite))
    assert [one for one in found if one.severity != "note"] == []
    said = {one.message for one in found}
    assert "all 24 sounds heard and scored again" in said
    [fits] = [text for text in said if text.startswith("fit their own clips: ")]
    assert ", CLAP matched 0." in fits


def test_a_sample_is_checked_and_the_rest_is_said_to_be_trusted(submitted: Toy):
    found = check_submission(submitted.submit("sample"), suite=str(submitted.suite))
    trusted = "16 of 24 sounds heard again; the features of 8 taken on trust"
    [only] = [one for one in found if one.severity != "note"]
    assert (only.severity, only.message) == ("warning", f"{trusted}: pack with --audio all")
    full = check_submission(submitted.submit("sample"), suite=str(submitted.suite), full=True)
    assert "16 of 24 sounds, all are asked for: pack with --audio all" in {
        one.message for one in full if one.severity == "error"
    }
    with pytest.raises(Refused, match="all are asked for"):
        leaderboard_commands.check_submission(
            submitted.submit("sample"), str(submitted.suite), full=True
        )
    whole = check_submission(submitted.submit(), suite=str(submitted.suite), full=True)
    assert [one for one in whole if one.severity != "note"] == []


def test_an_edit_within_the_tolerance_of_machines_passes(submitted: Toy):
    forgery = submitted.forgery().claim("metrics/fad/value", lambda old: old * 1.001)
    assert errors(forgery.write(), submitted) == []


def test_scores_made_on_another_device_pass(submitted: Toy):
    forgery = submitted.forgery().claim("scoring/embedders/fad/device", "cuda")
    assert errors(forgery.write(), submitted) == []


def test_features_read_and_written_are_the_same_whatever_their_order():
    rng = np.random.default_rng(0)
    made = {
        clip: Features(rng.normal(size=(rows, 4)).astype(np.float32), None)
        for clip, rows in (("b", 2), ("c", 1), ("a", 3))
    }
    found = features_file.decode(features_file.encode({"fad": made}), ["fad"], ["c", "a", "b"])[
        "fad"
    ]
    assert all(np.array_equal(found[clip].embeddings, made[clip].embeddings) for clip in made)


def test_integers_have_no_tolerance():
    assert list(deviations("f", "n", 1000, 1000, HEARD)) == []
    assert [str(one) for one in deviations("f", "n", 1001, 1000, HEARD)] == [
        "f:n: error: says 1001, the package shows 1000"
    ]
    assert list(deviations("f", "x", 1001.0, 1000.0, HEARD)) == []
    assert len(list(deviations("f", "x", 1003.0, 1000.0, HEARD))) == 1


def test_an_unknown_suite_is_no_file_name(submitted: Toy):
    found = check_submission(submitted.submit())
    assert ("suite.name", "error") in {(one.field, one.severity) for one in found}
    assert any("unknown suite 'tones'" in one.message for one in found)
    forgery = submitted.forgery().claim("suite/name", "../tones.toml")
    assert any(one.field == "suite.name" for one in check_submission(forgery.write()))


def test_without_scoring_it_is_said_so(submitted: Toy):
    forgery = submitted.forgery().claim("metrics/fad/value", lambda old: old * 1.5)
    found = check_submission(forgery.write(), suite=str(submitted.suite), rescore=False)
    assert [one.message for one in found if one.severity == "warning"] == [
        "not scored again, as asked"
    ]


def test_failed_clips_are_counted_and_marked(tmp_path: Path):
    protocol = {"max_failed_share": 0.1}
    board = toy(tmp_path, failed={SYSTEM: [CLIP]}, protocol=protocol)
    path = board.submit()
    found = check_submission(path, suite=str(board.suite))
    assert [one for one in found if one.severity == "error"] == []
    claims = board.forgery().claims
    assert claims["failed"] == {CLIP: "timeout: no answer within 120 s"}
    assert "1 of 24 clips failed" in claims["marks"]
    assert claims["metrics"]["kl"]["n"] == 23


def test_every_finding_is_printed_and_an_error_is_exit_code_1(submitted: Toy):
    forgery = submitted.forgery().claim("metrics/fad/value", lambda old: old * 1.01)
    stream = io.StringIO()
    with pytest.raises(Refused, match="submission refused: 1 errors") as raised:
        check(forgery.write(), stream, suite=str(submitted.suite))
    assert raised.value.exit_code == 1
    first, *_, last = stream.getvalue().splitlines()
    assert first.startswith("submission.json:metrics.fad.value: error: says ")
    assert last == "1 errors, 0 warnings, 4 notes"
    with pytest.raises(MissingError, match="no such file"):
        check(submitted.place / "absent.zip")


def test_findings_of_strangers_do_nothing_to_a_terminal():
    stream = io.StringIO()
    hostile = [error("a\x1b[2J", "b\n", "\u202e" + "x" * 10_000)]
    show(hostile + [warning("f", "g", "h")] * (MOST + 5), stream)
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert "a\\x1b[2J:b\\n: error: \\u202exxx" in shown
    assert max(map(len, shown.splitlines())) < 600
    assert "... and 6 more findings" in shown
