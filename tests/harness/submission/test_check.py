"""Checking: a valid submission passes; what is read, what is printed, how it ends."""

import io
from pathlib import Path

import pytest

from stabench.harness.errors import MissingError
from stabench.harness.submission.check import check, check_package
from stabench.harness.submission.findings import (
    HEARD,
    MOST,
    Broken,
    Refused,
    deviations,
    error,
    show,
    warning,
)
from stabench.harness.submission.package import open_package
from tests.harness.submission.forgeries import CLIP, errors
from tests.harness.submission.toy_board import SYSTEM, Toy, toy


def test_a_valid_submission_passes(submitted: Toy):
    findings = submitted.check()
    assert [finding for finding in findings if finding.severity != "note"] == []
    messages = {finding.message for finding in findings}
    assert "all 24 sounds heard and scored again" in messages
    [fits] = [text for text in messages if text.startswith("fit their own clips: ")]
    assert ", CLAP matched 0." in fits


def test_a_package_of_schema_1_with_every_sound_is_checked_as_ever(submitted: Toy):
    """Its features are not read: every number is recomputed from the sounds."""
    findings = submitted.check(submitted.forgery().age().write())
    assert [finding for finding in findings if finding.severity != "note"] == []
    assert "all 24 sounds heard and scored again" in {finding.message for finding in findings}
    edited = submitted.forgery().claim("metrics/fad/value", lambda old: old * 1.01).age()
    assert [error.field for error in errors(edited.write(), submitted)] == ["metrics.fad.value"]


def test_a_package_of_schema_1_with_a_sample_is_refused_in_one_line(submitted: Toy):
    [refusal] = submitted.check(submitted.forgery().age("sample").write())
    assert str(refusal) == (
        "submission.json:audio: error: schema 1 with a sample of the sounds, whose rest nobody "
        "can check; pack the run again with `stabench submit`"
    )
    mute = submitted.forgery().age().claim("audio", None)
    assert "schema 1 with a sample" in submitted.check(mute.write())[0].message


def test_an_edit_within_the_tolerance_of_machines_passes(submitted: Toy):
    forgery = submitted.forgery().claim("metrics/fad/value", lambda old: old * 1.001)
    assert errors(forgery.write(), submitted) == []


def test_scores_made_on_another_device_pass(submitted: Toy):
    forgery = submitted.forgery().claim("scoring/embedders/fad/device", "cuda")
    assert errors(forgery.write(), submitted) == []


def test_integers_have_no_tolerance():
    assert list(deviations("f", "n", 1000, 1000, HEARD)) == []
    assert [str(finding) for finding in deviations("f", "n", 1001, 1000, HEARD)] == [
        "f:n: error: says 1001, the package shows 1000"
    ]
    assert list(deviations("f", "x", 1001.0, 1000.0, HEARD)) == []
    assert len(list(deviations("f", "x", 1003.0, 1000.0, HEARD))) == 1


def test_an_unknown_suite_is_no_file_name(submitted: Toy):
    findings = check_package(open_package(submitted.submit()))
    assert ("suite.name", "error") in {(error.field, error.severity) for error in findings}
    assert any("unknown suite 'tones'" in error.message for error in findings)
    forgery = submitted.forgery().claim("suite/name", "../tones.toml")
    with pytest.raises(Broken, match=r"suite\.name: error: String should match pattern"):
        open_package(forgery.write())


def test_without_scoring_it_is_said_so(submitted: Toy):
    forgery = submitted.forgery().claim("metrics/fad/value", lambda old: old * 1.5)
    findings = submitted.check(forgery.write(), rescore=False)
    warnings = [finding.message for finding in findings if finding.severity == "warning"]
    assert warnings == ["not scored again, as asked"]


def test_failed_clips_are_counted_and_marked(tmp_path: Path):
    protocol = {"max_failed_share": 0.1}
    board = toy(tmp_path, failed={SYSTEM: [CLIP]}, protocol=protocol)
    assert errors(board.submit(), board) == []
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
    forgery.files.pop("run.json")
    stream = io.StringIO()
    with pytest.raises(Refused, match=r"1 errors, the first: run\.json:file: error: is not in the"):
        check(forgery.write(), stream)
    assert stream.getvalue().splitlines()[-1] == "1 errors, 0 warnings, 0 notes"


def test_findings_of_strangers_do_nothing_to_a_terminal():
    stream = io.StringIO()
    hostile = [error("a\x1b[2J", "b\n", "\u202e" + "x" * 10_000)]
    show(hostile + [warning("f", "g", "h")] * (MOST + 5), stream)
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert "a\\x1b[2J:b\\n: error: \\u202exxx" in shown
    assert max(map(len, shown.splitlines())) < 600
    assert "... and 6 more findings" in shown
