"""What goes to and fro: speech bit for bit, sounds checked, answers read strictly."""

import struct
from contextlib import nullcontext

import numpy as np
import pytest

from stabench.harness.device import Cpu
from stabench.harness.runner.clock import Clock
from stabench.metrics.audio import encode
from stabench.systems.remote import (
    RemoteError,
    Stage,
    ask,
    check_keys,
    decode_sound,
    encode_speech,
    quote,
    read_provenance,
    read_stages,
    read_text,
)

RATE_HZ = 16_000


def test_speech_of_16_bits_arrives_bit_for_bit() -> None:
    steps = np.arange(-32_768, 32_768, dtype=np.int16)
    content = encode_speech((steps / 32_768).astype(np.float32), RATE_HZ)
    assert len(content) == 44 + 2 * len(steps)
    np.testing.assert_array_equal(np.frombuffer(content[44:], "<i2"), steps)
    sound = decode_sound(content, "it")
    assert sound.rate_hz == RATE_HZ
    np.testing.assert_array_equal(sound.samples, steps / np.float32(32_768))


def test_full_scale_is_not_wrapped_around() -> None:
    content = encode_speech(np.array([1.0, -1.0], np.float32), RATE_HZ)
    assert np.frombuffer(content[44:], "<i2").tolist() == [32_767, -32_768]


def test_sounds_are_floats_too_and_channels_are_averaged() -> None:
    samples = np.random.default_rng(0).standard_normal(300).astype(np.float32)
    np.testing.assert_array_equal(decode_sound(encode(samples, 8_000), "it").samples, samples)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", *(b"RIFF", 44, b"WAVE"), *(b"fmt ", 16, 1, 2),
                       *(8_000, 32_000, 4, 16), *(b"data", 8))  # fmt: skip
    stereo = decode_sound(head + np.array([100, 300, -200, 0], "<i2").tobytes(), "it")
    np.testing.assert_allclose(stereo.samples * 32_768, [200, -100])


WHOLE = encode_speech(np.zeros(100, np.float32), RATE_HZ)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "it is empty, expected a WAV file"),
        (b"ID3\x03 an mp3 file", "it: is not a RIFF WAVE file but MP3"),
        (b"\x1b[31m red", r"it begins with '\x1b[31m red', expected a RIFF WAVE file"),
        (WHOLE[:100], "it: truncated, its header promises 200 bytes of samples and 56 are there"),
        (WHOLE[:30], "it: truncated before its samples"),
        (encode_speech(np.zeros(0, np.float32), RATE_HZ), "it: holds no samples"),
        (WHOLE[:20] + b"\x77\x77" + WHOLE[22:], "it: cannot be decoded"),
        (b"RF64" + WHOLE[4:], "it: is not a RIFF WAVE file but RF64"),
    ],
)
def test_a_broken_sound_is_named(content: bytes, line: str) -> None:
    with pytest.raises(RemoteError) as caught:
        decode_sound(content, "it")
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ([1], "wrote '[1]', expected a JSON object on one line"),
        ({"error": "no\nmemory"}, r"answered with an error: 'no\nmemory'"),
        ({"txt": "a"}, "answered with the key 'txt'; allowed are text, tokens and error"),
    ],
)
def test_answers_are_read_strictly(answer: object, line: str) -> None:
    with pytest.raises(RemoteError) as caught:
        check_keys(answer, ("text", "tokens"), "[1]")
    assert str(caught.value) == line


def test_text_and_tokens_have_their_types() -> None:
    assert read_text({}) == (None, None)
    assert read_text({"text": "", "tokens": 0}) == ("", 0)
    for wrong in ({"text": 3}, {"tokens": -1}, {"tokens": True}, {"tokens": 1.5}):
        with pytest.raises(RemoteError, match="answered with"):
            read_text(wrong)


def test_stages_are_names_and_seconds() -> None:
    assert read_stages([["asr.encode", 0.25], ["llm", 1]]) == [
        Stage("asr.encode", 250_000_000),
        Stage("llm", 1_000_000_000),
    ]
    times = ("1", -1, True, float("nan"), None)
    names = ("", "write_speech", "(remainder)", 3)
    wrong_ones = [[["asr", time]] for time in times] + [[[name, 1]] for name in names]
    for wrong in ("asr", [["asr"]], [3], *wrong_ones):
        with pytest.raises(RemoteError, match="answered with"):
            read_stages(wrong)


def _names(stages: list[Stage]) -> list[str]:
    clock = Clock(Cpu())
    with clock.phase("represent"):
        assert ask(clock, "command", lambda: ("answer", stages)) == "answer"
    claimed = sum(span.wall_ns for span in clock.spans)
    assert claimed <= clock.phase_ns["represent"]
    return [span.name for span in clock.spans]


def test_stages_become_spans_where_they_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert _names([Stage("asr", 1), Stage("bridge", 1), Stage("asr", 1)]) == ["asr", "bridge"]
    assert _names([]) == ["command"]
    assert capsys.readouterr().err == ""
    assert _names([Stage("asr", 10**12)]) == ["command"]
    assert "are not shown; name stages that follow one another" in capsys.readouterr().err
    assert ask(nullcontext, "command", lambda: (3, [])) == 3


def test_quotes_are_one_short_line() -> None:
    assert quote("a\nb\x1b") == r"'a\nb\x1b'"
    assert len(quote("x" * 10_000)) < 200


def test_provenance_is_an_object_or_nothing() -> None:
    assert read_provenance({}, "it") == {}
    assert read_provenance({"provenance": {"weights": "a"}}, "it") == {"weights": "a"}
    for stated in ("v2", ["v2"], None):
        with pytest.raises(RemoteError, match=r"the command stated provenance .*, not an object"):
            read_provenance({"provenance": stated}, "the command")
