"""The journal: whatever a killed writer leaves behind, the whole lines count and nothing else."""

import errno
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.harness.errors import StabenchError
from stabench.harness.runs.journal import Failure, Journal, Row, Span, from_json, read, to_json


def _row(clip: str = "a", status: str = "ok", **fields: object) -> Row:
    return Row("star", clip, 0, False, status, seed=1, **fields)


FULL = _row(
    phase_ns={"represent": 50, "generate": 70},
    spans=(Span("represent", "bridge", 40), Span("generate", "sampler", 60, 55)),
    text="ein Höllenhund\n",
    samples=3,
    audio_sha256="ab",
)
FAILED = _row("b", "failed", error=Failure("raised", "out of luck"))


def _write(path: Path, *rows: Row) -> None:
    journal = Journal(path)
    for row in rows:
        journal.append([row])
    journal.close()


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _write(path, FULL, FAILED)
    assert read(path) == [FULL, FAILED]


def test_a_missing_journal_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "none.jsonl") == []


def test_the_line_is_the_format_that_was_agreed() -> None:
    value = to_json(FAILED)
    assert value["error"] == {"kind": "raised", "message": "out of luck"}
    assert to_json(FULL)["spans"][1] == {
        "phase": "generate",
        "name": "sampler",
        "wall_ns": 60,
        "device_ns": 55,
    }
    assert set(value) == {
        *("system", "clip", "repeat", "warmup", "status", "error", "seed", "batch"),
        *("phase_ns", "spans", "text", "tokens", "speech_s", "samples"),
        *("rate_hz", "audio_sha256", "peak_memory_bytes", "finished_at"),
    }


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.integers(0, 2**63 - 1))
def test_any_text_survives(text: str, seed: int) -> None:
    row = Row("s", "c", 0, False, "ok", seed=seed, text=text)
    assert from_json(json.loads(json.dumps(to_json(row)))) == row


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800", "a\0b", "\udfff\udfff"], ids=ascii)
def test_what_no_reader_takes_is_replaced_before_it_is_written(tmp_path: Path, text: str) -> None:
    failure = Failure("raised", f"RuntimeError: {text}")
    rows = [
        Row("star", "a", 0, False, "ok", seed=0, text=text),
        Row("star", "b", 0, False, "failed", seed=0, error=failure),
    ]
    path = tmp_path / "journal.jsonl"
    _write(path, *rows)
    path.read_bytes().decode()
    heard, failed = read(path)
    assert heard.text is not None
    assert failed.error is not None
    for kept in (heard.text, failed.error.message):
        assert "\N{REPLACEMENT CHARACTER}" in kept
        assert kept.encode()


def test_the_last_line_of_a_key_wins(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    retried = _row("b")
    _write(path, FAILED, FULL, retried)
    assert read(path) == [FULL, retried]


def test_a_warm_up_is_another_key(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    warm = Row("star", "a", 0, True, "ok", seed=1)
    _write(path, warm, FULL)
    assert read(path) == [warm, FULL]


def test_a_journal_cut_at_any_byte_keeps_its_whole_lines_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    path = tmp_path / "journal.jsonl"
    _write(path, FULL, FAILED)
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path = tmp_path / f"cut{cut}.jsonl"
        path.write_bytes(whole[:cut])
        kept = [FULL, FAILED][: sum(end <= cut for end in ends)]
        assert read(path) == kept
        _write(path, _row("c"))
        assert read(path) == [*kept, _row("c")]


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"system": 1}', "[]", "\xff"])
def test_a_whole_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    _write(path, FULL)
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(StabenchError, match="line 2: not a row"):
        read(path)


def test_a_second_writer_is_turned_away_until_the_first_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    script = (
        "import sys; from pathlib import Path; from stabench.harness.runs.journal import Journal;"
        "journal = Journal(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StabenchError, match="written by another process"):
            Journal(path)
        other.kill()
    _write(path, FULL)
    assert read(path) == [FULL]


def test_a_full_disk_is_an_error_and_loses_nothing_earlier(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append([FULL])
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), journal._file.fileno())
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is the claim)
        journal.append([FAILED])
    assert caught.value.errno == errno.ENOSPC
    journal.close()
    assert read(path) == [FULL]


def test_the_remainder_is_what_no_stage_claimed() -> None:
    assert (FULL.remainder_ns("represent"), FULL.remainder_ns("generate")) == (10, 10)
    assert FAILED.remainder_ns("represent") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("phase_ns", {"represent": "12"}),
        ("phase_ns", {"generate": float("nan")}),
        ("rate_hz", 1.5),
        ("spans", [{}]),
        ("stray", 1),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_key(
    tmp_path: Path, key: str, value: object
) -> None:
    """Nothing may be taken for a time that is none."""
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps({**to_json(FULL), key: value}) + "\n")
    with pytest.raises(StabenchError, match=rf"line 1: not a row of this journal \(key '{key}"):
        read(path)


def test_rows_of_before_there_were_tasks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    earlier = [to_json(FULL), to_json(FAILED)]
    for value in earlier:
        times = value.pop("phase_ns")
        value |= {f"{phase}_ns": times.get(phase) for phase in ("represent", "generate")}
    path.write_text("".join(json.dumps(value) + "\n" for value in earlier))
    assert read(path) == [FULL, FAILED]
    assert [from_json(value) for value in earlier] == [FULL, FAILED]
    path.write_text(json.dumps({**earlier[0], "represent_ns": "12"}) + "\n")
    with pytest.raises(StabenchError, match=r"key 'phase_ns\.represent'"):
        read(path)


ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("examples", [60, pytest.param(1_000, marks=pytest.mark.slow)])
def test_whatever_a_system_says_its_run_stays_readable(tmp_path: Path, examples: int) -> None:
    """Transcripts, errors and names of stages with half characters, NUL and escape sequences."""
    numbers = count()

    @settings(max_examples=examples, deadline=None)
    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
    def check(text: str, message: str, stage: str) -> None:
        path = tmp_path / f"{next(numbers)}.jsonl"
        spoken = _row(text=text, spans=(Span("represent", stage, 1),))
        _write(path, spoken, _row("b", "failed", error=Failure("raised", message)))
        rows = read(path)
        assert len(rows) == 2
        kept = (rows[0].text, rows[0].spans[0].name, rows[1].error.message)
        assert list(map(len, kept)) == list(map(len, (text, stage, message)))

    check()
