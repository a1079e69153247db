"""Protocols: data with a name, a version and a digest; and what they do to a sound."""

import json
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.suites import protocols
from stabench.metrics.audio import Audio, int16_round_trip
from stabench.metrics.preprocess import Ear, parts
from stabench.metrics.protocol import Listening
from stabench.metrics.resample import resample

ROOT = Path(__file__).resolve().parents[2]
PINNED = json.loads((Path(__file__).parent / "versions.json").read_text())["protocols"]


@pytest.mark.parametrize("name", ["paper", "stabench", "pocket"])
def test_what_a_protocol_says_changes_only_with_its_version(name):
    """Change a rule: raise `version` in the TOML, then its line in tests/metrics/versions.json."""
    protocol = protocols.load(name)
    assert {"version": protocol.version, "digest": protocol.digest} == PINNED[name]


def test_the_paper_s_protocol_is_audioldm_eval_s_and_laion_clap_s():
    paper = protocols.load("paper")
    assert (paper.kl_epsilon, paper.is_splits, paper.is_seed) == (1e-6, 10, 2020)
    assert paper.networks["fad"] == Listening(network="vggish", channels="first", remove_dc=True)
    assert paper.networks["tagger"].network == "cnn14-16k"
    clap = paper.networks["clap"]
    assert (clap.network, clap.channels, clap.int16, clap.long) == (
        "clap-630k",
        "mean",
        True,
        "first",
    )


def test_another_network_changes_digest_and_title():
    own, other = protocols.load("paper"), protocols.load("paper", {"fad": "pocket-vggish"})
    assert own.digest != other.digest
    assert own.title == f"paper 1 ({own.digest[:8]})"
    assert other.title == f"paper 1 ({other.digest[:8]}, fad replaced)"
    assert protocols.load("paper", {"fad": "vggish"}) == own


def write(path, text):
    path.write_text(text)
    return str(path)


def test_a_protocol_of_one_s_own_and_what_may_be_wrong_in_it(tmp_path):
    text = (ROOT / "metrics/protocols/paper.toml").read_text()
    mine = write(tmp_path / "mine.toml", text.replace('name = "paper"', 'name = "mine"'))
    assert protocols.load(mine).name == "mine"
    broken = {
        'chanels = "mean"': ('channels = "mean"', r"networks.clap: unknown key 'chanels'; did you"),
        '"fads"': ('"fad",', "unknown column 'fads'"),
        "is_splits = 0": ("is_splits = 10", "is_splits is 0; input should be greater"),
        'channels = "left"': ('channels = "first"', "networks.fad.channels is 'left'"),
    }
    for new, (old, message) in broken.items():
        path = write(tmp_path / "b.toml", text.replace(old, new + ("," if old[-1] == "," else "")))
        with pytest.raises(StabenchError, match=message):
            protocols.load(path)
    with pytest.raises(StabenchError, match="unknown protocol 'papr'; did you mean 'paper'"):
        protocols.load("papr")
    with pytest.raises(MissingError, match="no file"):
        protocols.load(str(tmp_path / "none.toml"))
    with pytest.raises(StabenchError, match="says nothing of a clap_music network"):
        protocols.load("pocket", {"clap_music": "clap-630k"})


def test_a_sound_is_mixed_centred_resampled_and_cut_to_steps_in_this_order(signal):
    stereo = np.stack([signal(44100, 22050), 0.3 * signal(44100, 22050, seed=2)], axis=1)
    ear = Ear(Audio(stereo, 44100))
    rule = Listening(network="x", channels="mean", remove_dc=True, int16=True)
    mixed = stereo.mean(axis=1)
    centred = mixed - mixed.mean(dtype=np.float64).astype(np.float32)
    [heard] = ear.waveforms(rule, 16000)
    assert (heard == int16_round_trip(resample(centred, 44100, 16000))).all()
    [first] = ear.waveforms(Listening(network="x", channels="first"), 48000)
    assert (first == resample(stereo[:, 0], 44100, 48000)).all()


def test_long_clips_are_cut_or_covered():
    clip = np.arange(25.0)
    assert [part.tolist() for part in parts(clip, 10, "first")] == [list(range(10))]
    assert [part[0] for part in parts(clip, 10, "windows")] == [0, 8, 15]
    assert [part[0] for part in parts(np.arange(35.0), 10, "windows")] == [0, 8, 17, 25]
    assert [part[0] for part in parts(clip[:20], 10, "windows")] == [0, 10]
    assert [part.tolist() for part in parts(clip[:10], 10, "windows")] == [list(range(10))]
    assert parts(clip[:4], 10, "windows")[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("seconds", [10.0, 10.24, 14.9, 20.0, 24.9, 25.0, 31.7])
def test_every_sample_of_a_long_clip_is_in_a_window(seconds):
    """As it was with round(T / length) windows, 33 % of 14.9 s and 20 % of 24.9 s were in none."""
    clip = np.arange(round(100 * seconds))
    windows = parts(clip, 1000, "windows")
    assert set(np.concatenate(windows).tolist()) == set(clip.tolist())
    assert {len(window) for window in windows} == {1000}


def test_a_rule_may_have_another_resampler_and_a_rate_on_the_way(tmp_path, signal):
    text = (ROOT / "metrics/protocols/paper.toml").read_text()
    changed = text.replace("int16 = true", 'via_hz = 16000\nresampler = "polyphase-kaiser-5"', 1)
    own, other = protocols.load("paper"), protocols.load(write(tmp_path / "mine.toml", changed))
    assert own.digest != other.digest
    rule = other.networks["clap"]
    # Keys that change nothing are in no digest and in no name of kept features.
    assert {*rule.model_dump()} - {*own.networks["clap"].model_dump()} == {"via_hz", "resampler"}
    samples = signal(44100, 4410)
    (heard,) = Ear(Audio(samples, 44100)).waveforms(rule, 48000)
    via = resample(samples, 44100, 16000, "polyphase-kaiser-5")
    assert (heard == resample(via, 16000, 48000, "polyphase-kaiser-5")).all()
    for wrong, message in {
        "via_hz = 16000": ("via_hz = 16", "networks.clap.via_hz"),
        '"polyphase-kaiser-5"': ('"polyfase"', "networks.clap.resampler"),
    }.items():
        with pytest.raises(StabenchError, match=message[1]):
            protocols.load(write(tmp_path / "mine.toml", changed.replace(wrong, message[0])))


@pytest.mark.parametrize("seconds", [10.1, 14.9, 60.0])
def test_a_network_of_fixed_length_never_loses_the_end_unsaid(seconds):
    """A protocol that forgets `long` is told so; a network of any length hears all."""
    ear = Ear(Audio(np.zeros(round(1000 * seconds), np.float32), 1000))
    rule = Listening(network="some-clap")
    message = f"{seconds} s of sound, network 'some-clap' hears 10 s at once; set its long"
    with pytest.raises(ValueError, match=message):
        ear.waveforms(rule, 1000, 10.0)
    assert [len(part) for part in ear.waveforms(rule, 1000)] == [round(1000 * seconds)]
    windows = ear.waveforms(rule.model_copy(update={"long": "windows"}), 1000, 10.0)
    assert sum(map(len, windows)) >= 1000 * seconds


def test_a_network_of_fixed_length_hears_what_fits_whole():
    ear = Ear(Audio(np.zeros(10_000, np.float32), 1000))
    assert [len(part) for part in ear.waveforms(Listening(network="x"), 1000, 10.0)] == [10_000]
