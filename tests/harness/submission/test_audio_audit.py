"""Audits: what cannot be an honest system's output, even where every number is consistent."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stabench.harness import registry
from stabench.harness.datasets.dataset import clip_seed
from stabench.harness.runner import plan
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import Request
from stabench.harness.submission import audio_audit, system_audit
from stabench.harness.submission.findings import Finding
from stabench.harness.submission.package import open_package
from stabench.harness.submission.schema import OutputCard
from stabench.harness.submission.timeline import check_timeline
from stabench.harness.suites.select import select_systems
from stabench.harness.suites.suite import RunSettings, load
from stabench.metrics.audio import Audio
from tests.harness.submission.toy_board import SYSTEM, Toy, recording, toy

SYSTEMS = Path(__file__).with_name("toy_systems.py")


def silent(_reference: Path, index: int) -> np.ndarray:
    """Dither of another seed for each clip: no two hashes are alike."""
    return np.random.default_rng(index).normal(0, 1e-6, 8_000).astype(np.float32)


def noise(_reference: Path, index: int) -> np.ndarray:
    return np.random.default_rng([7, index]).normal(0, 0.1, 8_000).astype(np.float32)


def same(_reference: Path, _index: int) -> np.ndarray:
    return noise(_reference, 0)


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (silent, "silence or a constant (24 of 24 sounds)"),
        (same, "the same sound as clip"),
        (noise, "fit their clips no better than those of others: -KL matched"),
        (recording, "is the reference recording (likeness 1.00, 24 sounds are)"),
    ],
)
def test_an_honestly_packed_cheat_is_refused_by_what_it_sounds_like(tmp_path, sound, words):
    board = toy(tmp_path, sound)
    findings = board.check()
    errors = [finding.message for finding in findings if finding.severity == "error"]
    assert any(words in error for error in errors), findings


def sounds(**samples: np.ndarray) -> dict[str, Audio]:
    return {clip: Audio(data.astype(np.float32), 16_000) for clip, data in samples.items()}


def test_constants_are_as_silent_as_zeros_and_a_few_are_a_warning():
    rng = np.random.default_rng(0)
    some = {f"c{index}": rng.normal(0, 0.1, 100) for index in range(30)}
    [finding] = audio_audit.check_levels(sounds(**some, dc=np.full(100, 0.5)))
    assert (finding.file, finding.severity) == ("audio/dc.wav", "warning")
    severe = list(
        audio_audit.check_levels(sounds(**some, dc=np.full(100, 0.5), zero=np.zeros(100)))
    )
    assert [finding.severity for finding in severe] == ["error", "error"]


def test_clipping_is_told_once_with_the_worst_sound():
    rng = np.random.default_rng(0)
    loud = sounds(a=rng.normal(0, 1, 1_000), b=rng.normal(0, 9, 1_000), c=rng.normal(0, 0.1, 99))
    [finding] = audio_audit.check_levels(loud)
    assert (finding.file, finding.severity) == ("audio/b.wav", "warning")
    assert "(2 of 3 sounds over 1 %, this most)" in finding.message


def test_a_copy_is_found_at_another_rate_and_level_and_a_likeness_is_none():
    rng = np.random.default_rng(1)
    time_s = np.arange(16_000) / 16_000
    slow = np.sin(2 * np.pi * 200 * time_s) + np.sin(2 * np.pi * 313 * time_s)
    output = {"a": Audio(slow.astype(np.float32), 16_000)}
    quiet = {"a": Audio((-0.1 * slow[::2]).astype(np.float32), 8_000)}
    [copy] = audio_audit.check_copies(output, quiet)
    assert copy.file == "audio/a.wav"
    other = {"a": Audio((slow + rng.normal(0, 0.5, 16_000)).astype(np.float32), 16_000)}
    assert list(audio_audit.check_copies(output, other)) == []


def test_a_rate_that_keeps_a_sound_from_its_recording_is_an_error():
    """Who chose such a rate would escape the search for copies."""
    noise = np.random.default_rng(1).normal(0, 0.1, 4_000).astype(np.float32)
    [finding] = audio_audit.check_copies({"a": Audio(noise, 19_232)}, {"a": Audio(noise, 44_100)})
    assert (finding.field, finding.severity) == ("rate_hz", "error")
    assert "cannot be compared with the recording: cannot resample 44100 Hz" in finding.message


def test_one_sure_copy_is_an_error_and_one_doubtful_copy_for_a_person():
    rng = np.random.default_rng(5)
    outputs = {f"c{index}": rng.normal(0, 0.1, 4_000) for index in range(30)}
    recordings = sounds(**{name: rng.normal(0, 0.1, 4_000) for name in outputs})
    assert list(audio_audit.check_copies(sounds(**outputs), recordings)) == []
    copy = recordings["c3"].samples
    late = sounds(**{**outputs, "c3": -0.5 * np.roll(copy, 9)})
    [sure] = audio_audit.check_copies(late, recordings)
    assert (sure.file, sure.severity) == ("audio/c3.wav", "error")
    mixed = sounds(**{**outputs, "c3": copy + outputs["c3"]})
    [doubtful] = audio_audit.check_copies(mixed, recordings)
    assert doubtful.severity == "warning"


def test_near_twins_are_right_for_clips_that_ask_for_the_same():
    rng = np.random.default_rng(6)
    some = {f"c{index}": rng.normal(0, 0.1, 4_000) for index in range(50)}
    some["c1"] = some["c0"] + rng.normal(0, 0.001, 4_000)
    captions = {name: name for name in some}
    [finding] = audio_audit.check_near_twins(sounds(**some), captions)
    assert (finding.file, finding.severity) == ("audio/c0.wav", "warning")
    assert "is audio/c1.wav, all but a little noise (2 of 50 sounds)" in finding.message
    assert list(audio_audit.check_near_twins(sounds(**some), captions | {"c1": "c0"})) == []
    brief = sounds(**some, short=some["c0"][:10])
    assert len(list(audio_audit.check_near_twins(brief, captions))) == 1


def card(sha256: str, seconds: float = 4.0) -> OutputCard:
    return OutputCard(sha256=sha256 * 64, samples=1, rate_hz=16_000, seconds=seconds, values={})


def test_one_sound_is_right_for_clips_that_ask_for_the_same():
    outputs = {"a": card("1"), "b": card("1"), "c": card("2")}
    assert list(audio_audit.check_twins(outputs, {"a": "rain", "b": "rain", "c": "dog"})) == []
    [finding] = audio_audit.check_twins(outputs, {"a": "rain", "b": "wind", "c": "dog"})
    assert (finding.field, finding.severity) == ("outputs.a.sha256", "error")


def test_durations_far_from_the_recording_s_are_told():
    outputs = {"a": card("1", 0.5), "b": card("2", 4.0), "c": card("3", 40.0)}
    findings = audio_audit.check_durations(outputs, dict.fromkeys(outputs, 4.0))
    assert [finding.field for finding in findings] == ["outputs.a.seconds", "outputs.c.seconds"]


@pytest.mark.slow
def test_systems_that_ignore_their_input_are_refused_as_often_as_stated():
    """Under the null the p-value is uniform: 95 % refused, 1 % taken, the rest for a person."""
    rng = np.random.default_rng(2)
    tables = [{"CLAP": rng.normal(size=(20, 20))} for _ in range(200)]
    verdicts = [next(audio_audit.check_input_dependence(table)).severity for table in tables]
    assert verdicts.count("error") / 200 == pytest.approx(0.95, abs=0.04)
    assert verdicts.count("note") / 200 <= 0.04


def test_weak_dependence_is_seen_and_few_clips_are_no_evidence():
    rng = np.random.default_rng(3)
    table = rng.normal(size=(144, 144)) + 0.5 * np.eye(144)
    assert next(audio_audit.check_input_dependence({"CLAP": table})).severity == "note"
    assert next(audio_audit.check_input_dependence({"CLAP": table[:9, :9]})).severity == "warning"


def rows(again: float, clips: int = 12) -> list[Row]:
    """Two repeats of clips; a repeat takes `again` of the first time."""
    repeated, at_ms = [], 0
    rng = np.random.default_rng(4)
    for repeat in range(2):
        for index in range(clips):
            wall_ns = int(rng.normal(5e8, 1e7) * (again if repeat else 1))
            at_ms += wall_ns // 1_000_000 + 5
            moment = f"2026-11-20T10:00:{at_ms // 1000:02}.{at_ms % 1000:03}+00:00"
            seed = clip_seed(0, f"c{index}", repeat)
            row = Row("s", f"c{index}", repeat, False, "ok", seed)
            times = {"represent": wall_ns // 5, "generate": wall_ns - wall_ns // 5}
            repeated.append(replace(row, finished_at=moment, phase_ns=times))
    return repeated


RECORD = SimpleNamespace(
    suite=SimpleNamespace(task="speech_to_audio"),
    started_at="2026-11-20T10:00:00.000+00:00",
    finished_at="2026-11-20T10:05:00.000+00:00",
)


def complaints(journal: list[Row]) -> list[Finding]:
    findings = check_timeline(journal, RECORD, RunSettings(repeats=2))
    return [finding for finding in findings if finding.severity != "note"]


def test_repeats_that_a_cache_answers_are_found():
    assert complaints(rows(again=0.97)) == []
    [finding] = complaints(rows(again=0.1))
    assert finding.severity == "error"
    assert "clips done again take 10 % of their first time: a cache answers" in finding.message


def test_rows_without_moments_are_no_run_s():
    [finding] = complaints([replace(row, finished_at=None) for row in rows(again=1)])
    assert (finding.severity, finding.field) == ("error", "finished_at")


def bench(submitted: Toy, name: str) -> tuple[system_audit.Bench, list, dict[str, int]]:
    """One of the toy systems on the toy suite, timed by its own clock."""
    wanted = plan.resolve(load(str(submitted.suite)), Request())
    [use] = select_systems(wanted.suite, (f"{SYSTEMS}:{name}",)).systems
    seeds = {clip.id: clip_seed(0, clip.id, 0) for clip in wanted.dataset.clips}
    loaded = system_audit.Bench(use, wanted, "cpu", registry.attribute(use.use).now)
    return loaded, list(wanted.dataset.clips), seeds


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Listening", []),
        ("Deaf", ["it ignores what is said"]),
        ("Drifting", ["it ignores what is said"]),
        ("Knowing", ["it knows the clips by name"]),
        ("Caching", []),
    ],
)
def test_swapped_speech_and_other_names_tell_who_listens(submitted: Toy, name, words):
    findings = list(system_audit.check_listening(*bench(submitted, name)))
    assert [finding.message.split(": ")[-1] for finding in findings] == words


@pytest.mark.parametrize(
    ("name", "severity", "words"),
    [("Listening", "note", "takes 100 %"), ("Caching", "error", "takes 0 % of clips heard first")],
)
def test_one_clip_again_and_again_tells_who_computes(submitted: Toy, name, severity, words):
    [finding] = system_audit.check_computing(*bench(submitted, name))
    assert finding.severity == severity
    assert words in finding.message


def test_a_system_of_another_interpreter_is_not_run_in_this_one(submitted: Toy):
    wanted = plan.resolve(load(str(submitted.suite)), Request())
    systems = tuple(
        use.model_copy(update={"python": "/other/python"}) for use in wanted.suite.systems
    )
    suite = wanted.suite.model_copy(update={"systems": systems})
    package = open_package(submitted.submit())
    [finding] = system_audit.exercise(SYSTEM, wanted._replace(suite=suite), package)
    assert (finding.severity, finding.field) == ("error", "run")
    assert "an interpreter of its own, '/other/python'" in finding.message


def test_answers_kept_for_the_suite_s_speech_are_found(submitted: Toy):
    slow, *_ = system_audit.check_computing(*bench(submitted, "Keeping"))
    assert slow.message.startswith("the suite's speech takes 0 % of the same at another level")
    same = "speech at another level makes one sound of all clips"
    shrugging = system_audit.check_computing(*bench(submitted, "Shrugging"))
    assert same in {finding.message for finding in shrugging}
    breaking = f"{SYSTEMS}:Breaking"
    findings = submitted.check(system=breaking)
    [failure] = [finding for finding in findings if finding.field == "run"]
    assert failure.severity == "error"
    assert "played at 0.98 of its level: KeyError: 'no answer'" in failure.message


def test_a_change_that_noise_explains_is_no_listening():
    """Swapped speech must move the output by more than twice what a second run does."""
    clips = [SimpleNamespace(id=name, caption=name) for name in "ab"]

    def listen(swapped: float) -> list[Finding]:
        moved = iter((0.0, 0.1, swapped, 0.0))

        def output(*_: object) -> system_audit.Sound:
            return system_audit.Sound(np.array([1.0, next(moved)]), 1)

        return list(
            system_audit.check_listening(SimpleNamespace(output=output), clips, {"a": 1, "b": 1})
        )

    assert [finding.field for finding in listen(0.19)] == ["input"]
    assert listen(0.21) == []


def test_one_caption_for_all_leaves_listening_unchecked(submitted: Toy):
    loaded, clips, seeds = bench(submitted, "Listening")
    [finding] = system_audit.check_listening(loaded, clips[:1], seeds)
    assert (finding.severity, finding.field) == ("warning", "input")


def test_a_system_is_run_where_it_is_given(submitted: Toy):
    deaf = f"{SYSTEMS}:Deaf"
    findings = [finding for finding in submitted.check(system=deaf) if finding.file == "system"]
    reasons = {(finding.field, finding.severity) for finding in findings}
    assert {("input", "error"), ("outputs", "warning")} <= reasons
