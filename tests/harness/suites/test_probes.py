"""Suites of probes: read as strictly as others, known by their table, set by the same keys."""

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.suites import probes, suite
from stabench.harness.suites.suite import Suite

TEXT = """
name = "mine"

[probes]
corpus = "prepared"

[[encoder]]
name = "hubert"
reads = "speech"
use = "hubert"

[recipe.mlp]
rate = 0.001
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(TEXT)
    return file


def test_the_table_probes_makes_a_suite_one_of_probes(path):
    loaded = probes.load_any(str(path))
    assert isinstance(loaded, probes.ProbeSuite)
    assert loaded.probes.bridges == ("mlp", "qformer")
    assert isinstance(probes.load_any("table2"), Suite)
    assert probes.is_probe_suite("table1")
    with pytest.raises(StabenchError, match="is one of probes, not of systems"):
        suite.load(str(path))


def test_table_1_has_five_encoders_by_two_bridges_and_the_authors_settings():
    loaded = probes.load("table1")
    loaded.check_names()
    assert [use.name for use in loaded.encoders] == ["clap", "flan-t5", "hubert", "wavlm", "dac"]
    assert [use.reads for use in loaded.encoders] == ["caption"] * 2 + ["speech"] * 3
    assert loaded.probes.bridges == ("mlp", "qformer")
    assert loaded.recipe == {}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'corpus = "prepared"',
            'corpsu = "prepared"',
            "unknown key 'corpsu'; did you mean 'corpus'",
        ),
        ('reads = "speech"', 'read = "speech"', "encoder.0: unknown key 'read'"),
        ('reads = "speech"', 'reads = "sound"', "encoder.0.reads is 'sound'"),
        ("[recipe.mlp]", "[recipe.mpl]", "recipe.mpl"),
        ('name = "mine"', 'name = "mine"\n[metrics]\n', "unknown key 'metrics'"),
    ],
)
def test_a_wrong_key_is_one_line_with_the_nearest(path, old, new, line):
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(StabenchError) as error:
        probes.load(str(path))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_two_encoders_of_one_name_are_refused(path):
    path.write_text(TEXT + '\n[[encoder]]\nname = "hubert"\nreads = "speech"\nuse = "wavlm"\n')
    with pytest.raises(StabenchError, match="encoder name 'hubert' is used 2 times"):
        probes.load(str(path))


def test_keys_are_set_as_in_other_suites(path):
    loaded = probes.load(str(path))
    changed = probes.set_keys(
        loaded, ["probes.seed=3", "encoder.hubert.options.weights=random", "recipe.mlp.batch=8"]
    )
    assert changed.probes.seed == 3
    assert changed.encoders[0].options == {"weights": "random"}
    assert changed.recipe == {"mlp": {"rate": 0.001, "batch": 8}}
    for text, line in (
        ("probes.sead=1", "did you mean 'seed'"),
        ("encoder.hubet.reads=speech", "did you mean 'hubert'"),
        ("probes.seed", "expected KEY=VALUE"),
        ("name.first=1", "'name' is a value"),
    ):
        with pytest.raises(StabenchError, match=line):
            probes.set_keys(loaded, [text])


def test_encoders_are_chosen_by_name(path):
    table = probes.load("table1")
    assert [u.name for u in probes.select_encoders(table, ["dac", "clap"]).encoders] == [
        "dac",
        "clap",
    ]
    with pytest.raises(StabenchError, match="unknown encoder 'hubret'; did you mean 'hubert'"):
        probes.select_encoders(table, ["hubret"])


def test_unknown_names_have_the_nearest_match(path):
    path.write_text(TEXT.replace('use = "hubert"', 'use = "hubrt"'))
    with pytest.raises(StabenchError, match="unknown encoder 'hubrt'; did you mean 'hubert'"):
        probes.load(str(path)).check_names()
    path.write_text(TEXT.replace('"prepared"', '"preparde"'))
    with pytest.raises(StabenchError, match="unknown corpus 'preparde'; did you mean 'prepared'"):
        probes.load(str(path)).check_names()
    with pytest.raises(MissingError, match="no file"):
        probes.load(str(path.with_name("other.toml")))
