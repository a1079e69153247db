"""Forgeries: what a careless or dishonest team may do to a submission, a function each."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness.submission.check import check_submission
from stabench.harness.submission.findings import Finding
from stabench.harness.submission.schema import NAME
from tests.harness.submission.toy_board import Forgery, Toy

CLIP = "clip003"
Case = tuple[Callable[[Forgery], Any], str, str, str]
"""What is done, and the file, the field and the words of a finding that must come of it."""
JOURNAL, FEATURES = "journal.jsonl", "features.safetensors"


def errors(path: Path, board: Toy, **how: Any) -> list[Finding]:
    """The errors of a check against the toy suite."""
    found = check_submission(path, suite=str(board.suite), **how)
    return [one for one in found if one.severity == "error"]


def assert_told(board: Toy, case: Case) -> None:
    """The forgery is refused, and for the reason that is true."""
    forge, file, field, words = case
    forgery = board.forgery()
    forge(forgery)
    found = errors(forgery.write(), board)
    told = [one for one in found if one.file == file and field in one.field]
    assert any(words in one.message for one in told), found[:10]


def lines(change: Callable[[dict[str, Any]], Any]) -> Callable[[Forgery], Forgery]:
    """Another journal, latencies and hashes renewed."""
    return lambda forgery: forgery.rows(change)


def torn(change: Callable[[dict[str, Any]], Any]) -> Callable[[Forgery], Any]:
    """A journal of which no latency can be made, hashes renewed."""
    return lambda forgery: forgery.rows(change, seal=False).sealed()


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
            forgery.sealed()

    return edit


def dropped_row(forgery: Forgery) -> None:
    kept = forgery.files["journal.jsonl"].splitlines(keepends=True)
    forgery.files["journal.jsonl"] = b"".join(kept[1:])
    forgery.timed().sealed()


def doubled_row(forgery: Forgery) -> None:
    data = forgery.files["journal.jsonl"]
    forgery.files["journal.jsonl"] = data + data.splitlines(keepends=True)[0]
    forgery.sealed()


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
        forgery.sealed()

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


def other_features(forgery: Forgery) -> None:
    """Better features than the sounds have, hashes renewed."""
    from safetensors.numpy import load, save

    tensors = load(forgery.files["features.safetensors"])
    tensors["tagger.embeddings"] = tensors["tagger.embeddings"] * np.float32(1.01)
    forgery.files["features.safetensors"] = save(tensors)
    forgery.sealed()


def features(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Forgery], Any]:
    def edit(forgery: Forgery) -> None:
        from safetensors.numpy import load, save

        tensors = {k: v.copy() for k, v in load(forgery.files["features.safetensors"]).items()}
        change(tensors)
        forgery.files["features.safetensors"] = save(tensors)
        forgery.sealed()

    return edit


def chosen(forgery: Forgery) -> None:
    """A sample that its owner chose."""
    clips = sorted(forgery.claims["outputs"])[:16]
    forgery.claim("audio/rule", "sample").claim("audio/clips", clips)
    kept = {f"audio/{clip}.wav" for clip in clips}
    forgery.files = {n: d for n, d in forgery.files.items() if n in kept or "audio/" not in n}


def halved(row: dict[str, Any]) -> None:
    for phase in ("represent_ns", "generate_ns"):
        row[phase] //= 2
    for span in row["spans"]:
        span["wall_ns"] //= 2


def rounded(row: dict[str, Any]) -> None:
    row["represent_ns"] = 8_000_000
    row["spans"] = [span for span in row["spans"] if span["phase"] == "generate"]
