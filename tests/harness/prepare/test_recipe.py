"""Recipes: read strictly, found by name, their trainings' tables left as they are."""

from pathlib import Path

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.prepare import recipe

LEAST = """[data]
csv = { test = "test.csv" }
speech_encoder = { use = "hubert" }
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_shipped_recipe_is_stars() -> None:
    data = recipe.load("star").data
    assert (data.voice, data.header_rate_hz, data.captions) == ("vits-ljs", None, "first")
    assert data.csv.train == "audiocaps/train.csv"
    assert data.csv.of("validation") == "audiocaps/val.csv"
    assert [part.use for _, part in data.list_parts()] == ["hubert", "ezaudio-vae"]
    assert data.speech_encoder.options["normalize_waveform"] is False


def test_every_key_of_data_is_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs/prepare.md").read_text("utf-8")
    for model in (recipe.Data, recipe.Labels, recipe.Part):
        assert [key for key in model.model_fields if f"`{key}`" not in page] == []


def test_what_is_optional_may_be_left_out(tmp_path: Path) -> None:
    text = LEAST + "[stage1]\nrate = 3.2e-3\n[stage2]\nframes = [1, 2]\n"
    value = recipe.load(write(tmp_path, text))
    assert value.data.recordings_of("test") is None
    assert (value.stage1, value.stage2) == ({"rate": 3.2e-3}, {"frames": [1, 2]})
    assert recipe.default_folder("some/mine.toml") == Path("data/mine")


def test_recordings_may_be_in_a_folder_for_each_split(tmp_path: Path) -> None:
    text = LEAST.replace("[data]\n", '[data]\nrecordings = { test = "sounds/test" }\n')
    data = recipe.load(write(tmp_path, text)).data
    assert data.recordings_of("test") == "sounds/test"
    assert data.recordings_of("train") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("csv = ", "cvs = ", "data: unknown key 'cvs'; did you mean 'csv'"),
        ("test =", "tset =", "data.csv: unknown key 'tset'; did you mean 'test'"),
        ("use =", "uses =", "speech_encoder: unknown key 'uses'; did you mean 'use'"),
        ("[data]", "[data]\ncaptions = 'some'", "captions is 'some'; input should be 'first', 'an"),
        ("[data]", "[data]\nheader_rate_hz = 0", "header_rate_hz is 0; input should be greater"),
        ('test = "test.csv"', "", "csv names no file; give one for train, validation or test"),
        ("[data]", "[data]\nvae = { use = 'ezaudio-vae' }", "vae is given without recordings"),
        ("[data]", "[dat]", "unknown key 'dat'; did you mean 'data'"),
        ("[data]", "[data", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, LEAST.replace(old, new))
    with pytest.raises(StabenchError, match=r"recipe '.*mine\.toml': ") as caught:
        recipe.load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(StabenchError, match="unknown recipe 'sttar'; did you mean 'star'"):
        recipe.load("sttar")
    with pytest.raises(MissingError, match=r"recipe 'none\.toml': no file"):
        recipe.load("none.toml")
