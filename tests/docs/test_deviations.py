"""The table of deviations: every setting in it exists, with the default that the table names."""

import dataclasses
import json
import re
from typing import Any

import pytest

from stabench.harness.prepare.recipe import Data
from stabench.systems.networks.config import SamplerConfig
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.probe import MlpConfig
from stabench.systems.training.stage1 import MLP, Stage1Config
from stabench.systems.training.stage2 import Stage2Config
from tests.docs.blocks import ROOT

CONFIGS = (Data, MlpConfig, SamplerConfig, SpeechEncoderConfig, Stage1Config, Stage2Config)
SETTING = re.compile(r"`(\w+)\.(\w+) = ([^`]+)`(?: \(((?:`[^`]+`(?:, )?)+)\))?")
ROWS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "docs" / "deviations.md").read_text("utf-8").splitlines()
    if line.startswith("| ")
][1:]
SETTINGS = [match.groups() for row in ROWS for match in [SETTING.match(row[3])] if match]


def read_default(config: Any, name: str) -> Any:
    """Return the default of a field of a dataclass or a model, as JSON holds it."""
    if dataclasses.is_dataclass(config):
        value = getattr(config(), name)
    else:
        value = config.model_fields[name].default
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("config", "field", "default", "other"), SETTINGS)
def test_every_setting_is_there_with_its_default(config, field, default, other):
    classes = {each.__name__: each for each in CONFIGS}
    assert read_default(classes[config], field) == json.loads(default)


def test_every_row_has_a_setting_or_says_that_there_is_none():
    assert len(SETTINGS) >= 15
    for row in ROWS:
        assert len(row) == 5, row
        assert SETTING.match(row[3]) or row[3].startswith("always"), row


def test_the_other_readings_can_be_set():
    for config, field, _, other in SETTINGS:
        for text in re.findall(r"`([^`]+)`", other or ""):
            value, make = json.loads(text), {each.__name__: each for each in CONFIGS}[config]
            if make is not Data:
                assert getattr(make(**{field: value}), field) == value
    Data.model_validate(
        {
            "csv": {"test": "test.csv"},
            "speech_encoder": {"use": "hubert"},
            "header_rate_hz": 22000,
            "captions": "all",
        }
    )


def test_the_mlps_batch_is_what_the_table_says():
    assert MLP.batch == 1024
