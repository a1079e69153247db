"""Configurations survive JSON and refuse what they do not know."""

import dataclasses
import json

import pytest

from stabench.systems.networks.config import from_dict, to_dict
from stabench.systems.star.config import StarConfig, read_config


def test_round_trip_through_json(small_config):
    for config in (small_config, StarConfig(), dataclasses.replace(small_config, bridge=None)):
        assert from_dict(StarConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_missing_keys_take_the_paper_values():
    config = from_dict(StarConfig, {"sampler": {"steps": 5, "guidance": 3}})
    assert (config.sampler.steps, config.sampler.guidance, config.udit.depth) == (5, 3.0, 24)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"udit": {"widht": 3}}, r"config\.udit: unknown key 'widht'; did you mean 'width'"),
        ({"udit": {"width": "wide"}}, r"config\.udit\.width: 'wide' is a str, not a int"),
        ({"udit": 7}, r"config\.udit: 7 is not a table"),
        ({"encoder": {"kind": "mfcc"}}, "encoder.kind is 'mfcc', allowed are hubert"),
        ({"udit": {"heads": 7}}, "udit.width is 1024, which udit.heads = 7 does not divide"),
        ({"udit": {"context_width": 8}}, "udit.context_width is 8, but"),
        ({"sampler": {"steps": 0}}, "sampler.steps is 0"),
        ({"latent_frames": 7, "udit": {"patch_size": 2}}, "latent_frames is 7"),
        ({"vae": {"ratios": [2]}}, "differ in length"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(StarConfig, values)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        read_config(tmp_path / "config.json")
