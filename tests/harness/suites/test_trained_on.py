"""Systems that were trained on a metric: known by what they are, or declared by their suite."""

import pytest

from stabench.harness import registry
from stabench.harness.errors import StabenchError
from stabench.harness.suites.suite import SystemUse, load, parse
from stabench.harness.suites.trained_on import CLAP, FRECHET, MODELS, list_trained_columns
from stabench.metrics.registry import METRICS
from stabench.systems.cascade.compose import PARTS

SUITE = {"name": "mine", "dataset": {"use": "folder"}}


@pytest.mark.parametrize(
    ("use", "suite", "columns"),
    [
        ({"use": "whisper-tango2"}, "table2", CLAP),
        ({"use": "oracle-tango2"}, "mine", CLAP),
        ({"use": "cascade", "options": {"asr": "whisper", "tta": "tango2"}}, "mine", CLAP),
        ({"use": "cascade", "options": {"tta": {"use": "tango2", "steps": 20}}}, "mine", CLAP),
        ({"use": "whisper-tangoflux"}, "table2", CLAP),
        ({"use": "oracle-tangoflux"}, "table2", CLAP),
        ({"use": "cascade", "options": {"asr": "whisper", "tta": "tangoflux"}}, "mine", CLAP),
        ({"use": "whisper-stable-audio-open"}, "table2", ()),
        ({"use": "cascade", "options": {"tta": "audit"}}, "mine", ()),
        ({"use": "whisper-audit"}, "table2", ()),
        ({"use": "star"}, "table2", ()),
        ({"use": "recorded", "name": "tango2"}, "demo", CLAP),
        ({"use": "recorded", "name": "tango2"}, "mine", ()),
        ({"use": "mine.py:FdAudio", "trained_on": FRECHET}, "mine", FRECHET),
        ({"use": "whisper-tango2", "trained_on": ["clap", "kl"]}, "mine", (*CLAP, "kl")),
    ],
)
def test_the_columns_that_a_system_was_trained_on(use, suite, columns):
    assert list_trained_columns(SystemUse(**{"name": "x", **use}), suite) == columns


def test_what_is_known_names_columns_systems_and_parts_that_exist():
    for model in MODELS.values():
        assert {*model.columns} <= METRICS.keys()
        assert {*model.systems} <= registry.BUILT_IN["systems"].keys()
        assert {*model.generators} <= PARTS["tta"].keys()
        for suite, name in model.recorded:
            assert name in {use.name for use in load(suite).systems}


def test_a_suite_without_the_key_has_the_digest_that_it_had():
    system = {"name": "a", "use": "recorded"}
    assert all(
        "trained_on" not in use
        for use in parse("s", SUITE | {"system": [system]}).resolved()["system"]
    )
    declared = parse("s", SUITE | {"system": [system | {"trained_on": ["fad"]}]}).resolved()
    assert list(declared["system"][0]["trained_on"]) == ["fad"]
    assert parse("s", declared).systems[0].trained_on == ("fad",)


def test_a_column_that_nothing_measures_is_refused_with_the_nearest():
    system = {"name": "a", "use": "recorded", "trained_on": ["clapp"]}
    with pytest.raises(StabenchError, match="system 'a', trained_on: unknown column 'clapp'; did"):
        parse("s", SUITE | {"system": [system]})
