"""Submissions of the wrong shape: JSON, files, types and sounds that nobody may send."""

import numpy as np
import pytest

from stabench.harness.submission.schema import FORMER_FEATURES, NAME
from stabench.harness.submission.sources import RUN
from tests.harness.submission.forgeries import (
    CLIP,
    JOURNAL,
    Case,
    assert_refused,
    claim,
    double_row,
    file,
    halve_times,
    lines,
    pcm16,
    run_json,
    stereo,
    tear,
    text,
    without,
)
from tests.harness.submission.toy_board import Toy

SHAPES: dict[str, Case] = {
    "no submission.json": (lambda f: f.files.pop(NAME), NAME, "file", "not in the archive"),
    "not utf-8": (lambda f: f.files.update({NAME: b'{"a": "\xff"}'}), NAME, "json", "not UTF-8"),
    "no json": (lambda f: f.files.update({NAME: b"{]"}), NAME, "json", "not JSON at line 1"),
    "deep": (
        lambda f: f.files.update({NAME: b"[" * 100_000 + b"]" * 100_000}),
        NAME,
        "json",
        "nested deeper than 32",
    ),
    "nan": (text('"n": 24', '"n": NaN'), NAME, "json", "NaN is no JSON number"),
    "infinite": (text('"n": 24', '"n": 1e999'), NAME, "json", "beyond double precision"),
    "huge": (text('"n": 24', f'"n": {"9" * 5000}'), NAME, "json", "an integer of 5000 digits"),
    "key twice": (text('"n": 24', '"n": 24, "n": 23'), NAME, "json", "'n' stands twice"),
    "text for number": (claim("metrics/fad/value", "1.0"), NAME, "metrics.fad.value", "number"),
    "truth for number": (claim("metrics/fad/n", True), NAME, "metrics.fad.n", "valid integer"),
    "list for object": (claim("metrics", []), NAME, "metrics", "object"),
    "extra key": (claim("hidden", 1), NAME, "hidden", "Extra inputs"),
    "other schema": (claim("schema", 3), NAME, "schema", "Input should be 2"),
    "schema of another type": (
        lambda f: f.age().claim("schema", True),
        NAME,
        "schema",
        "Input should be 2",
    ),
    "features": (
        file(FORMER_FEATURES, b"tensors", False),
        FORMER_FEATURES,
        "file",
        "belongs to no submission",
    ),
    "schema 1 without a sound": (
        lambda f: f.age().files.pop(f"audio/{CLIP}.wav"),
        f"audio/{CLIP}.wav",
        "file",
        "is not in the archive",
    ),
    "sound of no output": (
        lambda f: f.files.update({"audio/clip999.wav": f.files[f"audio/{CLIP}.wav"]}),
        "audio/clip999.wav",
        "file",
        "belongs to no submission",
    ),
    "no contact": (without("system", "contact"), NAME, "system.contact", "Field required"),
    "escape": (claim("system/label", "\x1b[2J"), NAME, "system.label", "match pattern"),
    "negative": (claim("metrics/kl/n", -1), NAME, "metrics.kl.n", "greater than or equal to 0"),
    "endless sound": (
        claim(f"outputs/{CLIP}/seconds", 1e6),
        NAME,
        f"outputs.{CLIP}.seconds",
        "less than or equal to 600",
    ),
    "extra file": (file("run.sh", b"rm", False), "run.sh", "file", "belongs to no submission"),
    "archive by content": (
        file("notes.txt", b"PK\x03\x04....", False),
        "notes.txt",
        "file",
        "is a ZIP archive within the archive",
    ),
    "file not named": (without("files", JOURNAL), NAME, f"files.{JOURNAL}", "is missing"),
    "file of elsewhere": (
        claim("files", lambda old: old | {"/etc/passwd": "0" * 64}),
        NAME,
        "files./etc/passwd",
        "is no file of a package",
    ),
    "journal edited": (
        lambda f: f.rows(halve_times, seal=False),
        JOURNAL,
        "sha256",
        "is not the file that submission.json names",
    ),
    "no journal": (lambda f: f.files.pop(JOURNAL), JOURNAL, "file", "is not in the archive"),
    "no sound": (
        lambda f: f.files.pop(f"audio/{CLIP}.wav"),
        f"audio/{CLIP}.wav",
        "file",
        "is not in the archive",
    ),
    "task that is a program": (
        file(RUN, b'{"suite": {"task": "/tmp/mine.py:TASK"}}'),
        RUN,
        "json",
        "suite.task: unknown task '/tmp/mine.py:TASK'",
    ),
    "journal of texts": (
        tear(lambda row: row["phase_ns"].update(represent="5")),
        JOURNAL,
        "line 1.phase_ns.represent",
        "valid integer",
    ),
    "journal of lists": (file(JOURNAL, b"[1]\n"), JOURNAL, "line 1", "should be an object"),
    "row twice": (double_row, JOURNAL, "clip", "stands 2 times"),
    "row with a secret": (
        tear(lambda row: row.update(x=1)),
        JOURNAL,
        "line 1",
        "'x' is missing or no field",
    ),
    "negative time": (
        lines(lambda row: row["phase_ns"].update(represent=-5)),
        JOURNAL,
        "line 1",
        "a time of -5 ns",
    ),
    "ok with error": (
        lines(lambda row: row.update(error={"kind": "a", "message": "b"})),
        JOURNAL,
        "line 1",
        "status 'ok' with an error",
    ),
    "two systems": (
        run_json("run.json", "suite", "system", value=[]),
        "run.json",
        "suite.system",
        "at least 1 item",
    ),
    "systems of another": (
        file("systems.json", b'{"other": {}}'),
        "systems.json",
        "keys",
        "is of other systems than run.json",
    ),
    "other sound": (
        lambda f: f.sound(CLIP, np.ones(8000) / 3),
        f"audio/{CLIP}.wav",
        "sha256",
        "is not the output claimed",
    ),
    "other rate": (
        lambda f: f.sound(
            CLIP, np.frombuffer(f.files[f"audio/{CLIP}.wav"], "<f4", offset=58), 8_000
        ),
        f"audio/{CLIP}.wav",
        "samples",
        "8000 samples at 8000 Hz, claimed are 8000 at 16000 Hz",
    ),
    "16 bit": (pcm16, f"audio/{CLIP}.wav", "content", "is not a mono float32 WAV"),
    "stereo": (stereo, f"audio/{CLIP}.wav", "content", "is not a mono float32 WAV"),
    "empty sound": (
        lambda f: f.sound(CLIP, np.zeros(0)),
        f"audio/{CLIP}.wav",
        "content",
        "holds no samples",
    ),
    "nan sound": (
        lambda f: f.sound(CLIP, np.full(8000, np.nan)),
        f"audio/{CLIP}.wav",
        "content",
        "holds NaN",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_broken_submission_is_refused_with_the_true_reason(submitted: Toy, name: str):
    assert_refused(submitted, SHAPES[name])
