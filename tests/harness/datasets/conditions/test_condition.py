"""Names of conditions, what a draw depends on, which frames are speech, how parts are composed."""

import numpy as np
import pytest

from stabench.harness.cli.list import listing
from stabench.harness.datasets.conditions.condition import (
    ConditionError,
    Family,
    Heard,
    Speech,
    apply,
    find_active,
    find_end_s,
    parse_condition,
)
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.registry import BUILT_IN
from tests.harness.datasets.conditions.speech_like import NAMES, RATE_HZ, crowd, hear, talk


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nois10", "did you mean 'noise'?"),
        ("telephon", "did you mean 'telephone'?"),
        ("noise", "'noise' needs a number: noise-20 to noise60 (dB)"),
        ("noise61", "'noise61': allowed are noise-20 to noise60 (dB)"),
        ("telephone8", "'telephone' takes no number, and has 8; leave it out"),
        ("loss10-burst", "unknown option 'burst'; did you mean 'bursty'?"),
        ("noise10-loud", "'noise', option '-loud': it has none"),
        ("noise10+clean", "'clean' is the speech as it is"),
        ("noise10+", "unknown condition ''"),
        ("noise1.5", "unknown condition 'noise1.5'; did you mean 'noise'?"),
    ],
)
def test_a_wrong_name_is_answered_with_what_is_allowed(name: str, says: str) -> None:
    with pytest.raises(StabenchError) as caught:
        parse_condition(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_built_in_family_loads_and_is_among_those_that_are_tried() -> None:
    tried = {part.family.name for name in NAMES for part in parse_condition(name).parts}
    assert tried == BUILT_IN["conditions"].keys()


def test_a_negative_number_is_a_number_and_not_an_option() -> None:
    (part,) = parse_condition("noise-5").parts
    assert part.setting == (-5, frozenset())


OUTSIDE = """
import numpy as np
from stabench.harness.datasets.conditions.condition import Family, Heard, Number

def quieter(speech, setting, near):
    return Heard(speech.samples * 10 ** (-setting.number / 20), {"dropped_db": setting.number})

QUIET = Family("quiet", "softer by N dB", quieter, number=Number(1, 40, "dB"),
               measures={"dropped_db": "decibels"})
"""


def test_a_condition_of_a_file_is_composed_like_ours(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OUTSIDE)
    condition = parse_condition(f"telephone+{path}:QUIET6")
    assert condition.name == "telephone+QUIET6"
    first = condition.identity
    outcome = apply(condition, talk(), seed=0, clip="c", voices=crowd())
    assert outcome.measured == ({}, {"dropped_db": 6.0})
    plain = hear("telephone")
    assert np.abs(outcome.samples).max() == pytest.approx(
        np.abs(plain.samples).max() * 10**-0.3, rel=1e-6
    )
    # Another file under the same name is another condition.
    path.write_text(OUTSIDE + "\n# changed\n")
    assert parse_condition(f"telephone+{path}:QUIET6").identity != first
    with pytest.raises(MissingError, match="no such file"):
        parse_condition(f"{tmp_path}/other.py:QUIET6")


def test_a_package_brings_conditions_by_an_entry_point(tmp_path, monkeypatch) -> None:
    about = tmp_path / "zoo-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1.5\n")
    (about / "entry_points.txt").write_text("[stabench.conditions]\nquiet = zoo_quiet:QUIET\n")
    (tmp_path / "zoo_quiet.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    condition = parse_condition("noise20+quiet6")
    assert condition.identity == "noise20 1+quiet6 1 zoo 1.5"
    outcome = apply(condition, talk(), seed=0, clip="c", voices=crowd())
    assert outcome.measured[1] == {"dropped_db": 6.0}
    (entry,) = [entry for entry in listing("conditions")["conditions"] if entry.name == "quiet"]
    assert entry.target == "zoo_quiet:QUIET"


def test_the_list_says_how_a_name_is_written_and_what_it_means() -> None:
    entries = {entry.name: entry.target for entry in listing("conditions")["conditions"]}
    assert entries["noiseN"] == "white noise, the speech N dB above it; N is -20 to 60 dB"
    assert entries["lossN[-bursty][-repeat]"].startswith("packets of 20 ms, N % of them lost")


def test_a_draw_depends_on_seed_clip_and_family_and_on_nothing_else() -> None:
    speech = talk()
    noise = hear("noise20").samples - speech.samples
    louder = hear("noise0").samples - speech.samples
    # One noise at two levels, a hundred times the power apart.
    assert louder == pytest.approx(10 * noise, abs=1e-6)
    for seed, clip in ((1, "clip"), (0, "other")):
        other = hear("noise20", seed=seed, clip=clip).samples - speech.samples
        assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05
    # Twice the same family are two noises: their powers add up.
    twice = hear("noise20+noise20").samples - speech.samples
    assert np.mean(twice**2) == pytest.approx(2 * np.mean(noise**2), rel=0.05)


def test_packets_that_are_lost_at_a_low_rate_are_lost_at_a_high_one() -> None:
    speech = Speech(np.ones(RATE_HZ * 4), RATE_HZ)
    few, many = (hear(f"loss{rate}", speech).samples == 0 for rate in (5, 30))
    assert 0 < few.sum() < many.sum()
    assert not (few & ~many).any()


def test_a_mixture_beyond_full_scale_is_scaled_as_a_whole_and_keeps_its_ratio() -> None:
    speech = talk(level=0.95)
    outcome = hear("noise0", speech)
    assert np.abs(outcome.samples).max() == 1
    assert outcome.gain < 1
    active = find_active(speech)
    noise = outcome.samples - outcome.gain * speech.samples
    ratio = outcome.gain**2 * np.mean(speech.samples[active] ** 2) / np.mean(noise[active] ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(0, abs=0.001)
    assert hear("noise0", talk(level=0.1)).gain == 1


def test_the_order_of_parts_matters() -> None:
    before, after = (hear(name).samples for name in ("noise10+telephone", "telephone+noise10"))
    spectra = [np.abs(np.fft.rfft(samples)) ** 2 for samples in (before, after)]
    # A second and a half at 16 kHz: bin 6,600 is 4.4 kHz.
    above = [spectrum[6_600:].sum() / spectrum.sum() for spectrum in spectra]
    # Noise that went through the line has nothing above 4 kHz; noise after it has.
    assert above[0] < 1e-4 < 1e-2 < above[1]


def test_frames_within_40_db_of_the_loudest_are_speech() -> None:
    rate_hz, frame = 1_000, 20
    levels = [0.0, 1.0, 0.011, 0.009, 0.5]
    samples = np.repeat(levels, frame)
    active = find_active(Speech(samples, rate_hz))
    assert active.reshape(-1, frame).all(axis=1).tolist() == [False, True, True, False, True]
    assert find_end_s(Speech(samples, rate_hz)) == pytest.approx(0.1)
    # The last frame is what is left, and counts by its own mean.
    assert find_active(Speech(samples[:-5], rate_hz)).sum() == 3 * frame - 5
    assert not find_active(Speech(np.zeros(50), rate_hz)).any()
    assert find_end_s(Speech(np.zeros(50), rate_hz)) is None


@pytest.mark.parametrize(
    ("heard", "says"),
    [
        (Heard(np.full(5, np.nan)), "expected finite ones"),
        (Heard(np.zeros((2, 5))), r"\[2, 5\] samples"),
        (Heard(np.zeros(0)), r"\[0\] samples"),
        (Heard(np.zeros(5), {"lvel": 1.0}), "unknown measure 'lvel'; did you mean 'level'"),
    ],
)
def test_what_an_outside_family_returns_is_checked(monkeypatch, heard: Heard, says: str) -> None:
    family = Family("odd", "odd", lambda *_: heard, measures={"level": "dB"})
    condition = parse_condition("mulaw")
    broken = condition.parts[0]._replace(family=family)
    monkeypatch.setattr(type(condition), "parts", (broken,), raising=False)
    with pytest.raises(ConditionError, match=says):
        apply(type(condition)("odd", (broken,)), talk(), seed=0, clip="c", voices=crowd())
