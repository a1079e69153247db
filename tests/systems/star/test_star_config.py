"""Configurations survive JSON and refuse what they do not know."""

import dataclasses
import json

import pytest

from stabench.systems.networks.config import to_dict
from stabench.systems.star.config import StarConfig, parse_config, read_config


def test_round_trip_through_json(small_config):
    for config in (small_config, StarConfig(), dataclasses.replace(small_config, bridge=None)):
        assert parse_config(json.loads(json.dumps(to_dict(config)))) == config


def test_missing_keys_take_the_paper_values():
    config = parse_config({"sampler": {"steps": 5, "guidance": 3}})
    assert (config.sampler.steps, config.sampler.guidance, config.udit.depth) == (5, 3.0, 24)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"udit": {"widht": 3}}, r"config\.udit: unknown key 'widht'; did you mean 'width'"),
        (
            {"udit": {"width": "wide"}},
            r"config\.udit\.width: Input should be a valid integer \(got 'wide'\)",
        ),
        ({"udit": 7}, r"config\.udit: Input should be an object \(got 7\)"),
        ({"encoder": {"kind": "mfcc"}}, r"config\.encoder\.kind: .*'hubert', .* \(got 'mfcc'\)"),
        ({"sampler": {"steps": True}}, r"config\.sampler\.steps: .*integer \(got True\)"),
        ({"vae": {"ratios": [2, "4"]}}, r"config\.vae\.ratios\.1: .*integer \(got '4'\)"),
        ({"bridges": None}, r"config: unknown key 'bridges'; did you mean 'bridge'"),
        ({"q": 1}, "config: unknown key 'q'; allowed are encoder, bridge, udit, vae, sampler"),
        ({"udit": {"heads": 7}}, "udit.width is 1024, which udit.heads = 7 does not divide"),
        ({"udit": {"context_width": 8}}, "udit.context_width is 8, but"),
        ({"sampler": {"steps": 0}}, "sampler.steps is 0"),
        ({"latent_frames": 7, "udit": {"patch_size": 2}}, "latent_frames is 7"),
        ({"vae": {"ratios": [2]}}, "differ in length"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        parse_config(values)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        read_config(tmp_path / "config.json")
