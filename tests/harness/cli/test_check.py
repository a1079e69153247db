"""`stabench check`: each breach of a system's contract is named, and the others beside it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.cli import check as checking
from stabench.harness.cli import check_system
from stabench.harness.cli.check import check, parse_options
from stabench.harness.cli.check_system import Outcome, Trial, make_tone
from stabench.harness.errors import MissingError, StabenchError
from stabench.metrics.audio import encode

SYSTEM = """
import numpy as np
import torch
from stabench.systems.contract import Representation, Waveform

class Mine:
    sample_rate = 16_000
    def __init__(self, loud=0.1): self.loud = loud
    def load(self, device, dtype): pass
    def represent(self, speech, spans):
        with spans("ear"):
            return Representation(len(speech.samples), "a tone", 2)
    def generate(self, representations, seeds, spans):
        with spans("voice"):
            x = [self.make(seed) for seed in seeds]
        return [Waveform(one, 16_000) for one in x]
    def make(self, seed):
        noise = np.random.default_rng(seed).standard_normal(16_000)
        return (self.loud * noise).clip(-1, 1).astype(np.float32)
    def provenance(self): return {"weights": "none"}
"""
GENERATE = "return [Waveform(one, 16_000) for one in x]"
REPRESENT = 'return Representation(len(speech.samples), "a tone", 2)'
LISTED = "expected a list of one Waveform(samples, rate_hz); return [Waveform(samples, rate_hz)]"

WRONG = {
    "array": (
        GENERATE,
        "return x[0]",
        f"generate returned numpy.ndarray float32 [16000], {LISTED}",
    ),
    "list of arrays": (
        GENERATE,
        "return x",
        "the output is numpy.ndarray float32 [16000], expected a Waveform; return Waveform(",
    ),
    "tuple": (
        GENERATE,
        "return x[0], 16_000",
        "generate returned 2 outputs (a tuple (numpy.ndarray float32 [16000], int)), expected a l",
    ),
    "bare waveform": (
        GENERATE,
        "return Waveform(x[0], 16_000)",
        f"generate returned Waveform, {LISTED}",
    ),
    "tensor": (
        GENERATE,
        "return torch.from_numpy(x[0])",
        f"generate returned torch.Tensor float32 [16000], {LISTED}",
    ),
    "samples of torch": (
        GENERATE,
        "return [Waveform(torch.from_numpy(x[0]), 16_000)]",
        "samples are torch.Tensor float32 [16000], expected numpy.ndarray float32 [T]; give "
        "samples.float().cpu().numpy()",
    ),
    "int16": (
        GENERATE,
        "return [Waveform((x[0] * 32767).astype(np.int16), 16_000)]",
        "samples are numpy.ndarray int16 [16000], expected numpy.ndarray float32 [T]; give them as",
    ),
    "channels": (
        GENERATE,
        "return [Waveform(x[0][None], 16_000)]",
        "samples have shape [1, 16000], expected [T], one channel; give samples[0]",
    ),
    "nan": (
        GENERATE,
        "return [Waveform(x[0] * np.nan, 16_000)]",
        "16000 of 16000 samples are NaN or infinite",
    ),
    "too many": (
        GENERATE,
        "return [Waveform(x[0], 16_000)] * 2",
        "generate returned 2 outputs (a list of 2 Waveform), expected a list of one Waveform",
    ),
    "empty list": (GENERATE, "return []", "generate returned 0 outputs (an empty list), expected"),
    "none": (GENERATE, "pass", f"generate returned None, {LISTED}"),
    "no samples": (GENERATE, "return [Waveform(x[0][:0], 16_000)]", "the output is empty"),
    "rate": (
        GENERATE,
        "return [Waveform(x[0], 24_000)]",
        "output is 24000 Hz, expected 16000 Hz, the system's sample_rate",
    ),
    "raises": (GENERATE, "return x[7]", "raised IndexError: list index out of range (mine.py:16)"),
    "represent str": (
        REPRESENT,
        'return "a tone"',
        "represent returned str, expected a Representation; return Representation(payload, text)",
    ),
    "text": (REPRESENT, "return Representation(1, 5)", "text is int, expected str or None"),
    "tokens": (
        REPRESENT,
        'return Representation(1, "a", "two")',
        "tokens is str, expected int or None",
    ),
    "nested stages": (
        REPRESENT,
        'with spans("inner"): return Representation(1)',
        "raised RuntimeError: stage 'inner' is inside stage 'ear'; close the outer one first "
        "(mine.py:12)",
    ),
    "sample rate": ("sample_rate = 16_000", "sample_rate = 16e3", "'sample_rate' is 16000.0; give"),
    "no rate": ("    sample_rate = 16_000\n", "", "it has no 'sample_rate'; give a whole number"),
    "no method": ("def generate", "def generated", "it has no method 'generate'; see systems/con"),
    "load": ("dtype): pass", "dtype): open('gone')", "raised FileNotFoundError: [Errno 2] No such"),
    "made": ("self.loud = loud", "loud + ''", "raised TypeError: unsupported operand type(s)"),
    "seeds": (
        "default_rng(seed)",
        "default_rng()",
        "the same seed gave another sound; draw all noise for clip i from seeds[i] alone",
    ),
    "provenance": ('"none"}', "np}", "provenance returned what is no JSON"),
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[Outcome]]:
    """Checks the system above with one text put in the place of another."""
    trial = Trial("tone", "a tone", "one second of a tone", make_tone)
    monkeypatch.setattr(checking, "first_clip", lambda: trial)

    def run(old: str, new: str, **options: object) -> list[Outcome]:
        assert old in SYSTEM
        # A file is imported once: another text is another file.
        path = tmp_path / str(len(list(tmp_path.iterdir()))) / "mine.py"
        path.parent.mkdir()
        path.write_text(SYSTEM.replace(old, new))
        return list(check(f"{path}:Mine", options, "cpu", "speech_to_audio"))

    return run


def list_faults(outcomes: list[Outcome]) -> list[str]:
    return [outcome.text for outcome in outcomes if outcome.ok is False]


def test_a_system_that_keeps_the_contract_has_no_fault(mine) -> None:
    outcomes = mine("", "")
    assert list_faults(outcomes) == []
    said = {outcome.what: outcome.text for outcome in outcomes}
    assert said["represent"] == "text 'a tone', 2 tokens"
    assert said["generate"] == "1.00 s of sound at 16000 Hz"
    assert said["seeds"] == "the same sound for the same seed, another for another"
    assert said["batch"] == "two at once sound as they do alone"


@pytest.mark.parametrize("name", WRONG)
def test_each_breach_is_named_in_one_line(name: str, mine) -> None:
    old, new, line = WRONG[name]
    faults = list_faults(mine(old, new))
    assert len(faults) == 1
    assert faults[0].startswith(line)
    assert "\n" not in faults[0]


def test_the_check_goes_on_where_it_can(mine) -> None:
    outcomes = mine("    sample_rate = 16_000\n", "")
    assert len(list_faults(outcomes)) == 1
    assert [outcome.what for outcome in outcomes if outcome.ok][-2:] == ["seeds", "batch"]


def test_what_only_batches_need_is_no_fault(mine) -> None:
    outcomes = mine("for seed in seeds]", "for seed in seeds[:1]]")
    assert list_faults(outcomes) == []
    line = next(outcome for outcome in outcomes if outcome.what == "batch")
    assert line.ok is None
    assert "two at once: generate returned 1 outputs" in line.text
    assert "only suites with batch_size above 1 need it" in line.text


def test_silence_and_a_sound_over_full_scale_are_said(mine) -> None:
    levels = [
        outcome.text
        for loud in ("0 * noise)", "9 * noise)")
        for outcome in mine("self.loud * noise).clip(-1, 1)", loud)
        if outcome.what == "level"
    ]
    assert levels[0] == "the sound is silent"
    assert levels[1].endswith("full scale is 1")


def test_without_the_pocket_a_system_hears_a_tone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str, name: str) -> None:
        raise MissingError("pocket test set: rendering failed")

    monkeypatch.setattr(check_system.registry, "load", refuse)
    trial = check_system.first_clip()
    assert trial.about.startswith("one second of a tone, for the pocket's clips are not here")
    assert "rendering failed" in trial.about
    sound = trial.speech(8_000)
    assert (len(sound), sound.dtype) == (8_000, np.float32)
    assert 0.4 < np.abs(sound).max() <= 0.5


def test_options_are_those_of_the_class(mine) -> None:
    assert list_faults(mine("", "", loud=0.2)) == []
    assert list_faults(mine("", "", lout=0.2)) == [
        "options: unknown option 'lout'; did you mean 'loud'? Known: loud"
    ]
    with pytest.raises(StabenchError, match="--option 'loud': expected KEY=VALUE"):
        parse_options(["loud"])


def test_what_is_not_there_or_is_none_of_them_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("NUMBER = 5\n")
    with pytest.raises(MissingError, match="no such file"):
        list(check("gone.py:Mine", {}, "cpu", "speech_to_audio"))
    with pytest.raises(StabenchError, match="unknown attribute 'NUMBR'; did you mean 'NUMBER'"):
        list(check(f"{path}:NUMBR", {}, "cpu", "speech_to_audio"))
    assert list_faults(list(check(f"{path}:NUMBER", {}, "cpu", "speech_to_audio"))) == [
        "it is int; name a class or a function"
    ]
    path.with_name("broken.py").write_text("import gone_for_ever\n")
    with pytest.raises(
        StabenchError, match=r"cannot be imported: raised ModuleNotFoundError.*:1\)"
    ):
        list(check(f"{tmp_path / 'broken.py'}:Mine", {}, "cpu", "speech_to_audio"))


def test_a_dataset_has_every_clip_read(tmp_path: Path) -> None:
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    for index in range(3):
        (wavs / f"c{index}.wav").write_bytes(encode(np.full(800, 0.1, np.float32), 16_000))
    (wavs / "c1.wav").write_bytes(b"")
    name = "stabench.harness.datasets.dataset"
    path = tmp_path / "data.py"
    path.write_text(f"from {name} import folder\ndef mine(place): return folder(place)\n")
    outcomes = list(check(f"{path}:mine", {"place": str(wavs)}, "cpu", "speech_to_audio"))
    faults = list_faults(outcomes)
    assert len(faults) == 1
    assert faults[0].startswith("'c1': speech ")
    assert "the file is empty" in faults[0]
    assert ("captions", "0 of 3 clips have some") in [(o.what, o.text) for o in outcomes]
