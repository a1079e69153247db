"""Forgeries: what a careless or dishonest team may do to a submission, a function each."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness.submission.findings import Finding
from stabench.harness.submission.schema import NAME
from tests.harness.submission.toy_board import Forgery, Toy

CLIP = "clip003"
Case = tuple[Callable[[Forgery], Any], str, str, str]
"""What is done, and the file, the field and the words of a finding that must come of it."""
JOURNAL = "journal.jsonl"


def errors(path: Path, board: Toy) -> list[Finding]:
    """The errors of a check against the toy suite."""
    return [finding for finding in board.check(path) if finding.severity == "error"]


def assert_refused(board: Toy, case: Case) -> None:
    """The forgery is refused, and for the reason that is true."""
    forge, file, field, words = case
    forgery = board.forgery()
    forge(forgery)
    refusal = errors(forgery.write(), board)
    reasons = [error.message for error in refusal if error.file == file and field in error.field]
    assert any(words in reason for reason in reasons), refusal[:10]


def lines(change: Callable[[dict[str, Any]], Any]) -> Callable[[Forgery], Forgery]:
    """Another journal, latencies and hashes renewed."""
    return lambda forgery: forgery.rows(change)


def tear(change: Callable[[dict[str, Any]], Any]) -> Callable[[Forgery], Any]:
    """A journal of which no latency can be made, hashes renewed."""
    return lambda forgery: forgery.rows(change, seal=False).seal()


def text(old: str, new: str) -> Callable[[Forgery], Any]:
    """Other JSON text in submission.json."""

    def edit(forgery: Forgery) -> None:
        data = json.dumps(forgery.claims)
        assert old in data
        forgery.files[NAME] = data.replace(old, new, 1).encode()

    return edit


def claim(field: str, value: Any) -> Callable[[Forgery], Any]:
    return lambda forgery: forgery.claim(field, value)


def percent(field: str) -> Callable[[Forgery], Any]:
    return claim(field, lambda old: old * 1.01)


def without(field: str, key: str) -> Callable[[Forgery], Any]:
    return claim(field, lambda old: {k: v for k, v in old.items() if k != key})


def file(name: str, data: bytes, seal: bool = True) -> Callable[[Forgery], Any]:
    def edit(forgery: Forgery) -> None:
        forgery.files[name] = data
        if seal:
            forgery.seal()

    return edit


def drop_row(forgery: Forgery) -> None:
    kept = forgery.files["journal.jsonl"].splitlines(keepends=True)
    forgery.files["journal.jsonl"] = b"".join(kept[1:])
    forgery.time().seal()


def extra_clip(forgery: Forgery) -> None:
    """An output of a clip that the dataset does not have, with a sound."""
    forgery.claim("outputs", lambda old: old | {"clip999": old[CLIP]})
    forgery.files["audio/clip999.wav"] = forgery.files[f"audio/{CLIP}.wav"]


def double_row(forgery: Forgery) -> None:
    data = forgery.files["journal.jsonl"]
    forgery.files["journal.jsonl"] = data + data.splitlines(keepends=True)[0]
    forgery.seal()


def run_json(*way: str, value: Any) -> Callable[[Forgery], Any]:
    """A field of run.json or systems.json, hashes renewed."""
    name, *keys, last = way

    def edit(forgery: Forgery) -> None:
        content = json.loads(forgery.files[name])
        place = content
        for key in keys:
            place = place[int(key) if isinstance(place, list) else key]
        place[last] = value
        forgery.files[name] = json.dumps(content).encode()
        forgery.seal()

    return edit


def pcm16(forgery: Forgery) -> None:
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(100), 16_000, "PCM_16", format="WAV")
    forgery.files[f"audio/{CLIP}.wav"] = stream.getvalue()


def stereo(forgery: Forgery) -> None:
    """The same samples under a header of two channels."""
    name = f"audio/{CLIP}.wav"
    data = bytearray(forgery.files[name])
    data[22] = 2
    forgery.files[name] = bytes(data)


def halve_times(row: dict[str, Any]) -> None:
    row["phase_ns"] = {phase: ns // 2 for phase, ns in row["phase_ns"].items()}
    for span in row["spans"]:
        span["wall_ns"] //= 2


def round_times(row: dict[str, Any]) -> None:
    row["phase_ns"]["represent"] = 8_000_000
    row["spans"] = [span for span in row["spans"] if span["phase"] == "generate"]
