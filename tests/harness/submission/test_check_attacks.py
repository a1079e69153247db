"""Attacks of somebody who knows the code: refused with the true reason, or said to be on trust."""

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from stabench.harness.datasets.dataset import clip_seed
from stabench.harness.submission.schema import NAME
from stabench.metrics.audio import decode
from tests.harness.submission.forgeries import (
    CLIP,
    JOURNAL,
    Case,
    assert_refused,
    claim,
    lines,
    run_json,
)
from tests.harness.submission.toy_board import SYSTEM, Forgery, Toy, toy

RUN = "run.json"


def fewer(forgery: Forgery) -> None:
    """Twelve clips, declared to be the whole set in every file."""
    record = json.loads(forgery.files[RUN])
    kept = {clip["id"] for clip in record["dataset"]["clips"][:12]}
    record["dataset"]["clips"] = record["dataset"]["clips"][:12]
    record["dataset"]["n"] = 12
    forgery.files[RUN] = json.dumps(record).encode()
    rows = forgery.files[JOURNAL].splitlines(keepends=True)
    forgery.files[JOURNAL] = b"".join(row for row in rows if json.loads(row)["clip"] in kept)
    forgery.claim("outputs", lambda old: {k: v for k, v in old.items() if k in kept})
    forgery.claim("dataset/clips", 12).time().seal()


def rename_clip(forgery: Forgery) -> None:
    """A clip under a name that looks the same."""
    twin = CLIP.replace("c", "\N{CYRILLIC SMALL LETTER ES}")
    forgery.rows(lambda row: row.update(clip=twin) if row["clip"] == CLIP else None, seal=False)
    forgery.files[f"audio/{twin}.wav"] = forgery.files.pop(f"audio/{CLIP}.wav")
    forgery.claim("outputs", lambda old: {twin if k == CLIP else k: v for k, v in old.items()})
    forgery.seal()


def spare_clip(forgery: Forgery) -> None:
    """A hard clip, declared to have failed in every file."""
    failure = {"kind": "timeout", "message": "late"}
    lost = {"status": "failed", "error": failure, "audio_sha256": None, "samples": None}
    forgery.rows(lambda row: row.update(lost) if row["clip"] == CLIP else None, seal=False)
    forgery.claim("outputs", lambda old: {k: v for k, v in old.items() if k != CLIP})
    forgery.claim("failed", {CLIP: "timeout: late"}).time().seal()


def repeat_clip(forgery: Forgery) -> None:
    """One clip more often than the suite says: a quick time to choose from."""
    row = json.loads(forgery.files[JOURNAL].splitlines()[0])
    row |= {"repeat": 1, "seed": clip_seed(0, row["clip"], 1)}
    forgery.files[JOURNAL] += json.dumps(row).encode() + b"\n"
    forgery.time().seal()


def beyond(forgery: Forgery) -> None:
    """A sound near the end of float32, its hash true."""
    from stabench.metrics.audio import content_sha256

    loud = np.full(8_000, 3e38, np.float32)
    forgery.sound(CLIP, loud)
    sha256 = content_sha256(loud)
    forgery.claim(f"outputs/{CLIP}/sha256", sha256)
    forgery.rows(
        lambda row: row.update(audio_sha256=sha256) if row["clip"] == CLIP else None
    ).seal()


def odd_rate(forgery: Forgery) -> None:
    """A rate that no network's resampler reaches, its every trace renewed."""
    name = f"audio/{CLIP}.wav"
    samples = np.frombuffer(forgery.files[name], "<f4", offset=58)
    forgery.sound(CLIP, samples, 383_987).claim(f"outputs/{CLIP}/rate_hz", 383_987)
    forgery.claim(f"outputs/{CLIP}/seconds", len(samples) / 383_987)
    forgery.rows(lambda row: row.update(rate_hz=383_987) if row["clip"] == CLIP else None)


def batch_times(row: dict[str, Any]) -> None:
    """Half the time, in a batch: the moments of batches are nobody's."""
    row["phase_ns"]["represent"] //= 2
    row.update(batch=2, spans=[])


ATTACKS: dict[str, Case] = {
    "a run over fewer clips": (fewer, NAME, "dataset.clips", "says 12, the package shows 24"),
    "a set that is larger in the marks": (
        run_json(RUN, "dataset", "n", value=10**6),
        RUN,
        "dataset.n",
        "1000000 clips, 24 are listed",
    ),
    "a hard clip that failed": (spare_clip, NAME, "failed", "1 clips, the suite allows 0"),
    "a clip again": (repeat_clip, JOURNAL, ", repeat 1", "the suite has 1 repeats"),
    "a clip that looks alike": (rename_clip, NAME, "outputs.", "is no clip of the dataset"),
    "times in a batch": (
        lines(batch_times),
        JOURNAL,
        f"{CLIP}, repeat 0.batch",
        "at most 1 at a time",
    ),
    "another unit": (claim("metrics/kl/unit", "bits"), NAME, "metrics.kl.unit", "says 'bits'"),
    "another label": (claim("metrics/kl/label", "FAD"), NAME, "metrics.kl.label", "says 'FAD'"),
    "fewer digits": (claim("metrics/kl/digits", 0), NAME, "metrics.kl.digits", "says 0"),
    "beyond all": (claim("metrics/clap/value", 1e16), NAME, "metrics.clap.value", "less than"),
    "seconds for nanoseconds": (
        claim("latency/phases/generate/mean_ns/value", lambda old: old / 1e9),
        NAME,
        "latency.phases.generate.mean_ns.value",
        "recomputed",
    ),
    "a name that is not seen": (
        claim("system/label", "\N{HANGUL FILLER}"),
        NAME,
        "system.label",
        "match pattern",
    ),
    "a name of blanks": (claim("system/label", "   "), NAME, "system.label", "match pattern"),
    "a name with a tag": (
        claim("system/label", "STAR\U000e0041"),
        NAME,
        "system.label",
        "match pattern",
    ),
    "half a character": (
        run_json("systems.json", SYSTEM, "provenance", value={"\ud800": "0" * 64}),
        RUN,
        "system.weights",
        "unable to parse raw data as a unicode string",
    ),
    "a rate beyond measure": (
        odd_rate,
        f"audio/{CLIP}.wav",
        "content",
        "cannot resample 383987 Hz",
    ),
    "a sound beyond measure": (beyond, NAME, "metrics.fad.value", "recomputed"),
    "one caption for another": (
        run_json(RUN, "dataset", "clips", "0", "caption", value="A low tone."),
        NAME,
        "dataset.digest",
        "the package shows",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_with_the_true_reason(submitted: Toy, name: str):
    assert_refused(submitted, ATTACKS[name])


def shift_recording(reference: Any, index: int) -> np.ndarray:
    """The recording itself, later, softer, filtered and under noise."""
    samples = decode(reference).samples
    later = np.concatenate([np.zeros(200, np.float32), samples[:-200]])
    filtered = np.convolve(later, [0.5, 0.3], "same")
    noise = np.random.default_rng(index).normal(0, 0.003, len(samples))
    return (0.4 * filtered + noise).astype(np.float32)


def retouch_sound(_reference: Any, index: int) -> np.ndarray:
    """One sound for all clips, each under noise of its own."""
    noise = np.random.default_rng(index).normal(0, 1e-4, 8_000)
    return (np.random.default_rng(0).normal(0, 0.1, 8_000) + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (shift_recording, "is the reference recording (likeness 0."),
        (retouch_sound, "all but a little noise"),
    ],
)
def test_sounds_that_were_retouched_are_known_again(tmp_path, sound, words):
    board = toy(tmp_path, sound)
    findings = board.check()
    errors = [finding.message for finding in findings if finding.severity == "error"]
    assert any(words in error for error in errors), findings


def test_times_halved_together_with_their_moments_are_said_to_be_on_trust(submitted: Toy):
    """Nothing in a package shows it: the finding says what was believed."""
    moved = iter(range(24))

    def faster(row: dict[str, Any]) -> None:
        for span in row["spans"]:
            span["wall_ns"] //= 2
        lost_ns = sum(row["phase_ns"].values()) // 2 * (next(moved) + 1)
        row["phase_ns"] = {phase: ns // 2 for phase, ns in row["phase_ns"].items()}
        moment = datetime.fromisoformat(row["finished_at"])
        earlier = moment - timedelta(microseconds=lost_ns / 1e3)
        row["finished_at"] = max(earlier, moment - timedelta(seconds=60)).isoformat()

    forgery = submitted.forgery().rows(faster)
    [note] = [finding for finding in submitted.check(forgery.write()) if finding.field == "rows"]
    assert note.severity == "note"
    assert "whether they are true is taken on trust" in note.message
