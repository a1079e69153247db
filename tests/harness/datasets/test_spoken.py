"""Voices: what they render, when, and that a file is known by what it was made of."""

from pathlib import Path

import numpy as np
import pytest

from stabench.harness.datasets.audiocaps import audiocaps
from stabench.harness.datasets.dataset import Clip
from stabench.harness.datasets.spoken import Voice
from stabench.harness.errors import MissingError, StabenchError
from stabench.metrics.audio import decode, encode
from tests.systems.tts.tiny_vits import RATE_HZ, tiny_vits

CSV = """audiocap_id,youtube_id,start_time,caption
1,aaaaaaaaaaa,10,A dog barks
2,bbbbbbbbbbb,20,"Rain, and thunder"
3,ccccccccccc,30,2 cats
"""


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_vits(tmp_path_factory.mktemp("voice")))


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The table above; the cache folder is the test's own."""
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "test.csv").write_text(CSV)
    return str(tmp_path / "test.csv")


def test_speech_is_rendered_for_the_clips_of_a_run_alone(csv: str, voice: str) -> None:
    dataset = audiocaps(csv, voice=voice)
    assert [clip.id for clip in dataset.clips] == ["Yaaaaaaaaaaa", "Ybbbbbbbbbbb"]
    [absent] = dataset.missing
    assert absent.id == "Yccccccccccc"
    assert "has no '2'" in absent.reason
    assert not any(clip.speech.exists() for clip in dataset.clips)
    dataset.prepare(dataset.limited(1).clips)
    assert [clip.speech.exists() for clip in dataset.clips] == [True, False]
    assert decode(dataset.clips[0].speech).rate_hz == RATE_HZ


def test_the_same_voice_text_and_seed_give_the_same_bytes(
    csv: str, voice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = audiocaps(csv, voice=voice)
    dataset.prepare(dataset.clips)
    first = [clip.speech.read_bytes() for clip in dataset.clips]
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "other"))
    again = audiocaps(csv, voice=voice)
    again.prepare(reversed(again.clips))
    assert [clip.speech.read_bytes() for clip in again.clips] == first
    assert again.version == dataset.version
    assert first[0] != first[1]


def test_the_file_is_named_by_voice_text_seed_and_clip(
    csv: str, voice: str, tmp_path: Path
) -> None:
    other = tiny_vits(tmp_path / "other")
    config = other / "config.json"
    config.write_text(config.read_text().replace('"noise_scale": 0.667', '"noise_scale": 0.5'))
    one = Voice(voice)
    paths = [
        one.path("a", "rain"),
        one.path("b", "rain"),
        one.path("a", "wind"),
        Voice(voice, seed=1).path("a", "rain"),
        Voice(str(other)).path("a", "rain"),
    ]
    assert len(set(paths)) == len(paths)
    assert Voice(voice).path("a", "rain") == paths[0]


def test_what_is_rendered_is_not_rendered_again(csv: str, voice: str) -> None:
    dataset = audiocaps(csv, voice=voice)
    dataset.prepare(dataset.clips)
    kept = dataset.clips[0].speech
    kept.write_bytes(encode(decode(kept).samples * 0, RATE_HZ))
    dataset.prepare(dataset.clips)
    assert not decode(kept).samples.any()


def test_given_files_come_first_and_stay_untouched(csv: str, voice: str, tmp_path: Path) -> None:
    given = tmp_path / "speech"
    given.mkdir()
    for name in ("aaaaaaaaaaa", "Yccccccccccc"):
        (given / f"{name}.wav").write_bytes(encode(np.zeros(80, np.float32), 8_000))
    dataset = audiocaps(csv, speech=str(given), voice=voice)
    assert [clip.speech.parent == given for clip in dataset.clips] == [True, False, True]
    before = (given / "aaaaaaaaaaa.wav").read_bytes()
    dataset.prepare(dataset.clips)
    assert (given / "aaaaaaaaaaa.wav").read_bytes() == before
    assert dataset.clips[1].speech.exists()
    assert audiocaps(csv, voice=voice).version != dataset.version


def test_a_given_file_that_cannot_be_used_is_not_replaced_in_silence(
    csv: str, voice: str, tmp_path: Path
) -> None:
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/aaaaaaaaaaa.wav").write_text("no sound")
    dataset = audiocaps(csv, speech=str(tmp_path / "speech"), voice=voice)
    assert [clip.id for clip in dataset.clips] == ["Ybbbbbbbbbbb"]
    assert "is no WAV file" in dataset.missing[0].reason


def test_seeds_make_another_dataset(csv: str, voice: str) -> None:
    assert audiocaps(csv, voice=voice).version != audiocaps(csv, voice=voice, seed=1).version


def test_clips_without_text_are_left_alone(voice: str, tmp_path: Path) -> None:
    Voice(voice).render([Clip("a", None, None, None), Clip("b", "rain", tmp_path / "x", None)])
    assert not (tmp_path / "x").exists()


def test_a_voice_that_is_not_there(csv: str, voice: str, tmp_path: Path) -> None:
    with pytest.raises(StabenchError, match="voice 'no-such-voice' is no folder, and: unknown"):
        audiocaps(csv, voice="no-such-voice")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match=r"has no config\.json"):
        audiocaps(csv, voice=str(tmp_path / "empty"))
    damaged = tiny_vits(tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    dataset = audiocaps(csv, voice=str(damaged))
    with pytest.raises(StabenchError, match="damaged or truncated") as caught:
        dataset.prepare(dataset.clips)
    assert "\n" not in str(caught.value)
    assert not dataset.clips[0].speech.exists()
