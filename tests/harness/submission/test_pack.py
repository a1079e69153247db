"""Packing: the same bytes for the same run, and runs that are nothing to submit."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs.journal import Failure, Row
from stabench.harness.submission import cards
from stabench.harness.submission.pack import EXAMPLE, read_about, submit
from stabench.harness.submission.schema import NAME, Submission
from tests.harness.submission.toy_board import ABOUT, SYSTEM, Toy


@pytest.fixture
def run_copy(submitted: Toy, tmp_path: Path) -> Toy:
    """A run that a test may change."""
    shutil.copytree(submitted.run.path, tmp_path / "run")
    return Toy(tmp_path, type(submitted.run)(tmp_path / "run"), submitted.suite)


def edit(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_same_run_gives_the_same_bytes_and_no_local_path(submitted: Toy):
    first = submitted.submit().read_bytes()
    assert submitted.submit().read_bytes() == first
    with zipfile.ZipFile(submitted.submit()) as file:
        texts = {n: file.read(n) for n in file.namelist() if not n.endswith(".wav")}
        sounds = [name for name in file.namelist() if name.startswith("audio/")]
    assert set(texts) == {NAME, "run.json", "systems.json", "journal.jsonl"}
    assert str(submitted.place).encode() not in b"".join(texts.values())
    assert sounds == [f"audio/clip{index:03}.wav" for index in range(1, 25)]


def test_every_number_is_that_of_the_run(submitted: Toy):
    with zipfile.ZipFile(submitted.submit()) as file:
        claims = Submission.model_validate_json(file.read(NAME), strict=True)
    cells = json.loads(submitted.run.metrics_path.read_text())["systems"][SYSTEM]["cells"]
    for column, card in claims.metrics.items():
        assert (card.value, card.low, card.high, card.n) == pytest.approx(
            [cells[column].get(key) for key in ("value", "low", "high", "n")]
        )
    # It needs more clips.
    assert claims.metrics["is"].value is None
    assert set(claims.metrics) == {"fad", "fd", "kl", "is", "clap", "recall", "wer"}
    walls = [row.phase_ns["generate"] for row in submitted.run.rows()]
    assert claims.latency.phases["generate"].mean_ns.value == pytest.approx(sum(walls) / 24)
    assert set(claims.latency.phases["generate"].percentiles_ns) == {"p50"}
    assert claims.system.weights == {"sha256": "0" * 64}
    assert claims.marks == ("the source is of no known commit",)


def test_sounds_that_were_made_elsewhere_are_nothing_to_submit(run_copy: Toy):
    edit(run_copy.run.path / "systems.json", lambda about: about[SYSTEM].update(replays=True))
    with pytest.raises(StabenchError, match="plays back sounds that were made elsewhere"):
        run_copy.submit()


def test_outputs_are_of_measured_rows_that_finished():
    row = Row("s", "a", 0, False, "ok", 1, samples=8, rate_hz=16_000, audio_sha256="1" * 64)
    warm = replace(row, warmup=True, audio_sha256="2" * 64)
    again = replace(row, repeat=1, audio_sha256="3" * 64)
    lost = replace(row, clip="b", status="failed", error=Failure("timeout", "late"))
    rows = [row, again, warm, lost]
    hashes = {clip: output.sha256 for clip, output in cards.output_cards(rows).items()}
    assert hashes == {"a": "1" * 64}
    assert cards.failed_clips(rows) == {"b": "timeout: late"}


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("run.json", lambda r: r["request"].update(limit=3), "--limit 3 left clips out"),
        ("run.json", lambda r: r["request"].update(phase="represent"), "makes no sound"),
        ("run.json", lambda r: r["request"].update(speech="x"), "--speech replaced"),
        ("run.json", lambda r: r.update(finished_at=None), "has not finished"),
        (
            "run.json",
            lambda r: r["suite"]["system"][0].update(options={"weights": "random"}),
            "random weights; they have no quality",
        ),
        (
            "run.json",
            lambda r: r["suite"]["system"][0].update(label="two\nlines"),
            "label: String should match pattern",
        ),
        (
            "systems.json",
            lambda s: s[SYSTEM]["provenance"].update(weights="random"),
            "random weights",
        ),
        (
            "metrics.json",
            lambda m: m["systems"][SYSTEM]["cells"]["fad"].update(value=1.0),
            "fad of 'cascade' is not what its audio gives now; score the run again",
        ),
    ],
)
def test_a_run_that_is_nothing_to_submit_is_refused(run_copy: Toy, file, change, words):
    edit(run_copy.run.path / file, change)
    with pytest.raises(StabenchError, match=words):
        run_copy.submit()


def test_a_system_that_does_everything_at_once_has_no_times_to_submit(run_copy: Toy):
    text = run_copy.run.journal_path.read_text()
    run_copy.run.journal_path.write_text(text.replace('{"represent": ', '{"represent+generate": '))
    with pytest.raises(StabenchError, match="it does everything at once"):
        run_copy.submit()


def test_the_versions_of_another_interpreter_are_those_of_the_system(submitted: Toy):
    record = submitted.run.record
    own = record.environment
    theirs = {"python": "3.13.1", "packages": {"torch": "0.0.other"}}

    def versions(python: str | None, stated: dict) -> tuple[str, str | None]:
        [use] = record.suite.systems
        systems = (use.model_copy(update={"python": python}),)
        suite = record.suite.model_copy(update={"systems": systems})
        card = cards.hardware_card(record.model_copy(update={"suite": suite}), stated)
        return card.python, card.torch

    assert versions(None, theirs) == versions(None, {}) == (own.python, own.torch)
    assert versions("/other", theirs) == ("3.13.1", "0.0.other")
    assert versions("/other", {"python": "3.13.1", "packages": {}}) == ("3.13.1", None)
    assert versions("/other", {"python": 3, "packages": "x"}) == (own.python, None)
    assert versions(None, {"python": None, "packages": {}}) == (own.python, None)


def test_clips_not_run_failed_unscored_or_broken_are_refused(run_copy: Toy):
    with pytest.raises(StabenchError, match="unknown system 'cascde'; did you mean 'cascade'"):
        run_copy.submit(system="cascde")
    wav = run_copy.run.audio_path(SYSTEM, "clip003")
    wav.write_bytes(run_copy.run.audio_path(SYSTEM, "clip004").read_bytes())
    with pytest.raises(StabenchError, match=r"clip 'clip003': .*not the audio of the run"):
        run_copy.submit()
    whole = run_copy.run.journal_path.read_text().splitlines(keepends=True)
    failure = json.loads(whole[0]) | {"status": "failed", "error": {"kind": "k", "message": "m"}}
    run_copy.run.journal_path.write_text(json.dumps(failure) + "\n" + "".join(whole[1:]))
    with pytest.raises(StabenchError, match="1 clips failed, the suite allows 0"):
        run_copy.submit()
    run_copy.run.journal_path.write_text("".join(whole[1:]))
    with pytest.raises(StabenchError, match="23 of 24 clips ran; resume it"):
        run_copy.submit()
    run_copy.run.journal_path.write_text("".join(whole))
    run_copy.run.metrics_path.unlink()
    with pytest.raises(StabenchError, match="the run is not scored"):
        run_copy.submit()


def test_without_an_about_file_an_example_is_printed(submitted: Toy, tmp_path, capsys):
    with pytest.raises(StabenchError, match="needs --about"):
        submit(submitted.run.path, tmp_path, SYSTEM, None)
    assert capsys.readouterr().out == EXAMPLE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (EXAMPLE, "version still says 'FILL IN'"),
        (ABOUT.replace("contact", "contct"), "unknown key 'contct'; did you mean 'contact'"),
        (ABOUT.replace('licence = "Apache-2.0"\n', ""), "key 'licence' is missing"),
        (
            ABOUT.replace("https://example", "javascript:example"),
            "links.paper is 'javascript:",
        ),
        (ABOUT.replace("= 3", '= "3"'), "parameters is '3'; input should be a valid integer"),
        ("version = ", "not a TOML file"),
    ],
)
def test_an_about_file_is_read_strictly(tmp_path: Path, text, words):
    path = tmp_path / "about.toml"
    path.write_text(text)
    with pytest.raises(StabenchError, match=words):
        read_about(path)


def test_an_about_file_may_break_its_lines(tmp_path: Path):
    path = tmp_path / "about.toml"
    path.write_text(ABOUT.replace('"None."', '"""\nNone\nat all."""'))
    assert read_about(path).training_data == "None at all."
    with pytest.raises(MissingError, match="no such file"):
        read_about(tmp_path / "absent.toml")
