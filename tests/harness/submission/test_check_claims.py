"""Submissions whose claims are untrue: other clips, impossible times, numbers edited by 1 %."""

from typing import Any

import pytest

from stabench.harness.submission.schema import NAME
from tests.harness.submission.forgeries import (
    CLIP,
    JOURNAL,
    Case,
    assert_refused,
    claim,
    drop_row,
    extra_clip,
    halve_times,
    lines,
    percent,
    round_times,
    run_json,
    without,
)
from tests.harness.submission.toy_board import SYSTEM, Toy


def double_generation(row: dict[str, Any]) -> None:
    row["phase_ns"]["generate"] *= 2


def hear_in_no_time(row: dict[str, Any]) -> None:
    row["phase_ns"]["represent"], row["spans"] = 0, []


CLAIMS: dict[str, Case] = {
    "other suite": (claim("suite/digest", "0" * 64), NAME, "suite.digest", "the package shows"),
    "other dataset": (claim("dataset/version", "2"), NAME, "dataset.version", "says '2'"),
    "clip missing": (
        lambda forgery: without("outputs", CLIP)(forgery).seal(),
        NAME,
        f"outputs.{CLIP}",
        "is in the dataset and nowhere here",
    ),
    "clip extra": (
        extra_clip,
        NAME,
        "outputs.clip999",
        "is no clip of the dataset",
    ),
    "clip failed and done": (
        claim("failed", {CLIP: "timeout"}),
        NAME,
        f"failed.{CLIP}",
        "has an output too",
    ),
    "clip not run": (drop_row, JOURNAL, ", repeat 0", "was not run"),
    "more than the dataset": (claim("metrics/kl/n", 25), NAME, "metrics.kl.n", "says 25"),
    "other network": (
        claim("scoring/embedders/fad/identity", "better"),
        NAME,
        "scoring.embedders.fad.identity",
        "says 'better'",
    ),
    "other rules": (
        claim("metrics/fad/protocol", "0" * 64),
        NAME,
        "metrics.fad.protocol",
        "the package shows",
    ),
    "direction turned": (
        claim("metrics/fad/better", "higher"),
        NAME,
        "metrics.fad.better",
        "says 'higher'",
    ),
    "column left out": (without("metrics", "kl"), NAME, "metrics.kl", "is missing"),
    "column of its own": (
        claim("metrics", lambda old: old | {"mos": old["kl"]}),
        NAME,
        "metrics.mos",
        "follows from no file",
    ),
    "other hardware": (claim("hardware/cpu", "Fast"), NAME, "hardware.cpu", "says 'Fast'"),
    "other commit": (claim("run/commit", "0" * 40), NAME, "run.commit", "shows nothing"),
    "mark taken off": (claim("marks", []), NAME, "marks", "says []"),
    "weights invented": (
        claim("system/weights", {"a": "1" * 64}),
        NAME,
        "system.weights.a",
        "follows from no file",
    ),
    "random weights": (
        run_json("systems.json", SYSTEM, "provenance", "weights", value="random"),
        "systems.json",
        "provenance.weights",
        "random weights have no quality",
    ),
    "caption read": (
        run_json("systems.json", SYSTEM, "reads_caption", value=True),
        "systems.json",
        "reads_caption",
        "reads the true captions, and calls itself cascade",
    ),
    "limited": (
        run_json("run.json", "request", "limit", value=5),
        "run.json",
        "request",
        "is not a run of the whole suite",
    ),
    "rate of another": (
        run_json("systems.json", SYSTEM, "sample_rate_hz", value=44_100),
        NAME,
        "rate_hz",
        "16000 Hz, the system states 44100 Hz",
    ),
    "other speech": (
        lines(lambda row: row.update(speech_s=0.2)),
        JOURNAL,
        f"{CLIP}.speech_s",
        "0.2 s, the suite's speech lasts 1.000 s",
    ),
    "times halved": (lines(halve_times), JOURNAL, "finished_at", "ms apart, the phases claim only"),
    "times doubled": (
        lines(double_generation),
        JOURNAL,
        "finished_at",
        "after the result before",
    ),
    "no time": (
        lines(hear_in_no_time),
        JOURNAL,
        "phase_ns.represent",
        "0 ns: no sound is made in no time",
    ),
    "one time": (lines(round_times), JOURNAL, "phase_ns.represent", "stands 24 times in 24 rows"),
    "stages too long": (
        lines(lambda row: row["spans"][0].update(wall_ns=10**9)),
        JOURNAL,
        "phase_ns.represent",
        "stages of 1000000000 ns in a phase of",
    ),
    "chosen seed": (
        lines(lambda row: row.update(seed=1)),
        JOURNAL,
        f"{CLIP}, repeat 0.seed",
        "1 is not the suite's seed",
    ),
    "hash that is none": (
        lines(lambda row: row.update(audio_sha256="zz")),
        JOURNAL,
        "outputs.sha256",
        "match pattern",
    ),
    "stage with an escape": (
        lambda f: f.rows(lambda row: row["spans"][0].update(name="\x1b[2J"), seal=False).seal(),
        JOURNAL,
        "latency.name",
        "match pattern",
    ),
    "moment that is none": (
        run_json("run.json", "started_at", value="yesterday"),
        "run.json",
        "run.started_at",
        "match pattern",
    ),
    "before the run": (
        lines(lambda row: row.update(finished_at="2020" + row["finished_at"][4:])),
        JOURNAL,
        "finished_at",
        "before the run began",
    ),
    "after the run": (
        lines(lambda row: row.update(finished_at="2099" + row["finished_at"][4:])),
        JOURNAL,
        "finished_at",
        "or after its end",
    ),
}
EDITED: dict[str, Case] = {
    field: (percent(field), NAME, field.replace("/", "."), "recomputed")
    for field in (
        *(f"metrics/{column}/value" for column in ("fad", "fd", "kl", "clap", "recall")),
        *(f"metrics/{column}/{end}" for column in ("fd", "clap", "wer") for end in ("low", "high")),
        "metrics/wer/value",
        f"outputs/{CLIP}/seconds",
        *(f"latency/phases/{phase}/mean_ns/value" for phase in ("represent", "generate")),
        "latency/phases/generate/mean_ns/low",
        "latency/phases/generate/sd_ns",
        "latency/phases/represent/percentiles_ns/p50/value",
        "latency/phases/represent/percentiles_ns/p50/high",
    )
}
EDITED["a clip's KL"] = (
    percent(f"outputs/{CLIP}/values/kl"),
    NAME,
    f"outputs.{CLIP}.values.kl",
    "recomputed",
)
EDITED["a stage"] = (
    claim("latency/stages", lambda old: [old[0] | {"mean_ns": old[0]["mean_ns"] * 1.01}, *old[1:]]),
    NAME,
    "latency.stages.0.mean_ns",
    "recomputed",
)


@pytest.mark.parametrize("name", CLAIMS)
def test_an_untrue_submission_is_refused_with_the_true_reason(submitted: Toy, name: str):
    assert_refused(submitted, CLAIMS[name])


@pytest.mark.parametrize("name", EDITED)
def test_a_number_edited_by_one_percent_is_found(submitted: Toy, name: str):
    assert_refused(submitted, EDITED[name])
