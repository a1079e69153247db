"""What this program writes can be read again, whatever texts it was given."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stabench.harness.files import write_json

# The reader of metrics.json and the like; unlike Python's it refuses half a character.
STRICT = TypeAdapter(dict[str, list[str]])
# With lone surrogates, which come from file names and from broken transcripts.
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))


@pytest.mark.parametrize("examples", [60, pytest.param(1_000, marks=pytest.mark.slow)])
def test_every_text_can_be_written_and_read_strictly(tmp_path: Path, examples: int) -> None:
    health = [HealthCheck.function_scoped_fixture]

    @settings(max_examples=examples, deadline=None, suppress_health_check=health)
    @given(st.dictionaries(st.just("a") | ANY_TEXT, st.lists(ANY_TEXT, max_size=3), max_size=4))
    def check(value: dict[str, list[str]]) -> None:
        path = tmp_path / "value.json"
        write_json(path, value)
        read = STRICT.validate_json(path.read_bytes())
        assert read == json.loads(path.read_text("utf-8"))
        assert [len(texts) for texts in read.values()] == [len(texts) for texts in value.values()]

    check()


@pytest.mark.parametrize("text", ["caf\udce9", "\ud83d", "a\udfffb\ud800"])
def test_half_a_character_becomes_the_sign_for_one(tmp_path: Path, text: str) -> None:
    write_json(tmp_path / "value.json", {text: text})
    [(key, value)] = json.loads((tmp_path / "value.json").read_text("utf-8")).items()
    assert key == value
    assert "\ufffd" in value
