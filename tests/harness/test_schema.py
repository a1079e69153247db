"""Strict reading: one line names the key, its value, and what is known there."""

from typing import Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from stabench.harness.schema import Strict, first_key, first_wrong


class Inner(Strict):
    size: int = Field(1, ge=1)
    kind: Literal["a", "b"] = "a"


class Pair(Strict):
    first: int
    second: int


class Outer(Strict):
    shown_as: int = Field(0, alias="schema")
    one: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field({})
    name: str

    @model_validator(mode="after")
    def _named(self) -> "Outer":
        if self.name == "nobody":
            raise ValueError("nobody is no name; choose another")
        return self


def error_of(value: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(value)
    return caught.value


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"name": "x", "shema": 1}, "unknown key 'shema'; did you mean 'schema'? Known: many,"),
        ({"name": "x", "one": {"sise": 1}}, "one: unknown key 'sise'; did you mean 'size'?"),
        ({"name": "x", "many": [{}, {"knd": 1}]}, "many.1: unknown key 'knd'; did you mean 'kind'"),
        ({"name": "x", "named": {"y": {"q": 1}}}, "named.y: unknown key 'q'. Known: kind, size"),
        ({}, "key 'name' is missing; add it"),
        ({"nme": "x"}, "unknown key 'nme'; did you mean 'name'?"),
        ({"name": "nobody"}, "nobody is no name; choose another"),
        ({"name": "x", "one": {"size": 0}}, "one.size is 0; input should be greater than or equal"),
        ({"name": "x", "one": {"kind": "c" * 999}}, f"one.kind is '{'c' * 59}; input should be"),
    ],
)
def test_what_a_person_wrote(value: object, line: str) -> None:
    assert first_wrong(error_of(value), Outer).startswith(line)


def test_all_keys_that_are_missing_are_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Pair.model_validate({})
    assert first_wrong(caught.value, Pair) == "keys 'first', 'second' are missing; add them"


def test_what_a_program_wrote() -> None:
    assert first_key(error_of({"name": "x", "many": [{"size": "?"}]})).startswith(
        "key 'many.0.size': Input should be a valid integer"
    )
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json("{")
    assert first_key(caught.value).startswith("Invalid JSON")
