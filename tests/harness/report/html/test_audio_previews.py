"""Previews: the run's own sounds as MP3, whole clips within a budget, or the reason why not."""

import base64
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.report.html.audio_previews import (
    OUTSIDE,
    Source,
    Sources,
    encode_preview,
    encode_within,
    find_sources,
    spread_evenly,
)
from stabench.harness.report.html.clips import list_entrants
from stabench.harness.runs import journal
from stabench.harness.runs.results import Results
from stabench.metrics.audio import content_sha256
from tests.harness.fake_run import write_wav
from tests.harness.report.html.pages import made


def sine(rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)


@pytest.mark.parametrize(
    ("rate_hz", "mp3_hz"), [(16_000, 16_000), (44_100, 44_100), (20_000, 22_050), (96_000, 48_000)]
)
def test_a_preview_sounds_like_its_file(tmp_path, rate_hz, mp3_hz):
    path = write_wav(tmp_path / "a.wav", sine(rate_hz), rate_hz)
    found = encode_preview(Source(path, content_sha256(sine(rate_hz))))
    assert (found.rate_hz, found.duration_s, found.reason) == (rate_hz, 0.5, "")
    samples, heard_hz = soundfile.read(io.BytesIO(base64.b64decode(found.data)))
    assert heard_hz == mp3_hz
    assert len(samples) / heard_hz == pytest.approx(0.5, abs=0.15)
    loudest = np.argmax(np.abs(np.fft.rfft(samples))) * heard_hz / len(samples)
    assert loudest == pytest.approx(1000, abs=10)
    assert encode_preview(Source(path)).data == found.data


def test_a_preview_has_all_channels(tmp_path):
    both = np.stack([np.zeros(8_000, np.float32), sine(16_000)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 16_000)
    data = base64.b64decode(encode_preview(Source(tmp_path / "a.wav")).data)
    assert np.abs(soundfile.read(io.BytesIO(data))[0]).max() > 0.1


def test_what_cannot_be_heard_has_its_reason_and_no_path(tmp_path):
    path = write_wav(tmp_path / "a.wav", sine(16_000))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(path.read_bytes()[:200])
    found = {
        "sha256 differs": encode_preview(Source(path, "0" * 64)),
        "not on this machine": encode_preview(Source(tmp_path / "none.wav")),
        "truncated": encode_preview(Source(broken)),
        "no file": encode_preview(Source(None)),
    }
    for words, one in found.items():
        assert words in one.reason
        assert not one.data
        assert str(tmp_path) not in one.reason


def test_whole_clips_are_taken_in_the_given_order_until_the_budget_is_spent(tmp_path):
    source = Source(write_wav(tmp_path / "a.wav", sine(16_000)))
    size_mb = len(encode_preview(source).data) / 1e6
    wanted = [(index, Sources(source, source, (source,))) for index in (5, 3, 9, 0)]
    assert list(encode_within(wanted, 3 * size_mb * 2.5)) == [5, 3]
    assert list(encode_within(wanted, 100)) == [5, 3, 9, 0]
    assert encode_within(wanted, 0) == {}


def test_sources_are_the_first_repeats_of_the_journal(tmp_path):
    folder = made(tmp_path, scored=False, n=3, failed={"star": ["clip002"]})
    with folder.journal_path.open("a") as file:
        for row in folder.rows():
            again = {**journal.to_json(row), "repeat": 1, "audio_sha256": "again"}
            file.write(json.dumps(again) + "\n")
    results = Results.read(folder.path)
    found = find_sources(results, list_entrants(results), [tmp_path])
    clip = next(i for i, clip in enumerate(folder.clips) if clip.id == "clip002")
    assert found[clip].outputs[1] == Source(None, reason="no output")
    assert found[clip].outputs[0].path == folder.audio_path("cascade", "clip002")
    assert all(len(one.outputs[0].sha256) == 64 for one in found)
    assert found[0].speech.path == folder.clips[0].speech


def speech_at(folder: Path, speech: str) -> Results:
    """The run as a stranger may hand it over: its one clip's speech lies anywhere."""
    record = json.loads((folder / "run.json").read_text())
    record["dataset"]["clips"][0]["speech"] = speech
    (folder / "run.json").write_text(json.dumps(record))
    return Results.read(folder)


def test_speech_is_taken_from_the_run_folder_the_cache_and_allowed_folders_only(
    tmp_path, monkeypatch
):
    run = made(tmp_path, scored=False, n=1).path
    secret = write_wav(tmp_path / "home" / "secret.wav", sine(16_000))
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    (run / "link.wav").symlink_to(secret)
    (run / "loop.wav").symlink_to(run / "loop.wav")
    refused = [
        secret,
        run / "link.wav",
        run / ".." / ".." / "home" / "secret.wav",
        run / "loop.wav",
    ]
    refused += [f"{run}-not/a.wav", "a\0.wav", "home/secret.wav", "/dev/zero"]
    monkeypatch.chdir(tmp_path)
    for path in map(str, refused):
        results = speech_at(run, path)
        (found,) = find_sources(results, list_entrants(results))
        assert (found.speech, found.reference) == (Source(None, reason=OUTSIDE),) * 2, path
        assert not encode_preview(found.speech).data
    for path in (run / "a.wav", tmp_path / "cache" / "pocket" / "a.wav"):
        write_wav(path, sine(16_000))
        results = speech_at(run, str(path))
        (found,) = find_sources(results, list_entrants(results))
        assert encode_preview(found.speech).data
    results = speech_at(run, str(secret))
    (found,) = find_sources(results, list_entrants(results), [tmp_path / "runs", secret.parent])
    assert encode_preview(found.speech).data
    assert found.reference.reason == OUTSIDE


def test_an_output_without_the_journal_s_sha256_is_not_heard_wherever_its_clip_points(tmp_path):
    path = write_wav(tmp_path / "a.wav", sine(16_000))
    assert "sha256 differs" in encode_preview(Source(path, "")).reason


def test_what_is_no_file_and_what_would_fill_the_memory_is_not_read(tmp_path):
    assert "not on this machine" in encode_preview(Source(Path(os.devnull))).reason
    slow = write_wav(tmp_path / "slow.wav", np.zeros(601_000, np.float32), 1_000)
    assert "lasts 601 s at 1000 Hz, allowed are 600 s" in encode_preview(Source(slow)).reason
    odd = encode_preview(Source(write_wav(tmp_path / "odd.wav", sine(7_919), 7_919)))
    assert (odd.data, "7919 Hz" in odd.reason) == ("", True)


@pytest.mark.parametrize("count", [0, 1, 2, 6, 144, 957])
def test_evenly_is_a_permutation_spread_over_all(count):
    order = spread_evenly(count)
    assert sorted(order) == list(range(count))
    if count >= 144:
        gaps = np.diff(sorted([*order[:16], count]))
        assert gaps.max() <= 2 * count / 16
