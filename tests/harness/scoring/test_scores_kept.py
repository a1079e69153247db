"""Scores that are there are not replaced by poorer ones, and what is odd about sounds is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.errors import StabenchError
from stabench.harness.report.method import notes
from stabench.harness.runs import metrics_file
from stabench.harness.runs.results import Results
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.features import Heard
from stabench.harness.scoring.provenance import comparability
from stabench.harness.scoring.score import ON_CPU, network_of, score_run
from stabench.harness.suites import protocols
from stabench.metrics.audio import content_sha256, decode
from tests.harness.fake_run import FakeRun, write_wav


def test_poorer_scores_do_not_replace_fuller_ones(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, n=12).make()
    before = score_run(run.path).read_bytes()
    shutil.move(tmp_path / "reference", tmp_path / "moved")
    with pytest.raises(
        StabenchError, match=r"numbers that these scores lack .*--replace"
    ) as caught:
        score_run(run.path)
    assert "no reference recordings" in str(caught.value)
    assert run.metrics_path.read_bytes() == before
    assert json.loads(score_run(run.path, replace=True).read_text())["references"]["n"] == 0
    # Of what was not measured no note warns.
    assert not any("FAD and FD" in note for note in notes(Results.read(run.path)))
    # Richer ones always may.
    shutil.move(tmp_path / "moved", tmp_path / "reference")
    assert score_run(run.path).read_bytes() == before


def test_scores_that_lack_a_system_do_not_replace_those_that_have_it(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, n=12).make()
    score_run(run.path)
    [system, *_] = run.suite.systems
    for clip in run.clips:
        run.audio_path(system.name, clip.id).unlink()
    with pytest.raises(StabenchError, match=rf"fad of {system.name}: needs at least"):
        score_run(run.path)


@pytest.mark.parametrize("damage", ["{", '{"schema": 99}', ""])
def test_scores_that_nobody_can_read_may_be_replaced(tmp_path: Path, damage: str) -> None:
    run = FakeRun(tmp_path, n=12).make()
    run.metrics_path.write_text(damage)
    score_run(run.path)
    assert metrics_file.read(run.path) is not None


def test_loud_and_saturated_sounds_are_noted_with_their_share(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, n=12).make()
    rows = [json.loads(line) for line in run.journal_path.read_text().splitlines()]
    for row in rows:
        path = run.audio_path(row["system"], row["clip"])
        if row["system"] == "star" and row["clip"] < "clip004":
            samples = np.sign(decode(path).samples) * np.float32(2)
            write_wav(path, samples)
            row["audio_sha256"] = content_sha256(samples)
    run.journal_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = json.loads(score_run(run.path).read_text())["notes"]
    loud = [note for note in notes if "STAR: 3 of 12 clips" in note]
    assert len(loud) == 2
    assert not any("Whisper + tones" in note or "recordings:" in note for note in notes)


def test_outputs_that_are_played_back_have_no_latency(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, n=12).make()
    about = run.about_systems()["star"]
    run.add_system("star", {**about, "replays": True})
    results = Results.read(run.path)
    assert results.timed("star") == []
    assert results.latency("star", "represent") == "played back from files, not timed"
    assert results.stages("star") == []
    assert "star is played back" in (
        results.latency_ratio("cascade", "star", "represent").reason or ""
    )
    assert {record.a for record in results.paired_latencies} == {"cascade"}
    assert results.timed("cascade")


def test_words_that_a_judge_does_not_know_are_counted() -> None:
    protocol = protocols.load("pocket")
    networks = {"clap": network_of("clap", protocol.networks["clap"], ON_CPU, kept=False)}

    def describe(*captions: str) -> list[str]:
        items = {str(number): Item((text,)) for number, text in enumerate(captions)}
        return [
            note
            for note in comparability(Exam(items, protocol, networks, Heard({})))
            if "know" in note
        ]

    assert describe("A dog barks.", "a Dog BARKS") == []
    [note] = describe("a dog barks", "a zebra barks", "Zebras, and an ocarina!", "a dog")
    assert "does not know 3 words of the captions (ocarina, zebra, zebras)" in note
    assert "in 2 of 4 captions" in note
