"""Strict reading: models without unknown keys, and the one line that says what is wrong."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stabench.harness.errors import unknown

# Characters of a value in a line.
LONGEST = 60


class Strict(BaseModel):
    """Frozen, without keys beyond those named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_wrong(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong in a file that a person writes: the key, its value, what is allowed."""
    errors = error.errors(include_url=False)
    # A misspelt key is also a missing one: the misspelling is the cause.
    first = next((fault for fault in errors if fault["type"] == "extra_forbidden"), errors[0])
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        *place, name = first["loc"]
        where = f"{'.'.join(map(str, place))}: " if place else ""
        return f"{where}{unknown('key', str(name), _list_keys(model, place))}"
    if first["type"] == "missing":
        # All at once: whoever adds one should not be sent back for the next.
        keys = [".".join(map(str, fault["loc"])) for fault in errors if fault["type"] == "missing"]
        if len(keys) > 1:
            return f"keys {', '.join(map(repr, keys))} are missing; add them"
        return f"key '{key}' is missing; add it"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    return f"{key} is {repr(first['input'])[:LONGEST]}; {first['msg'].lower()}"


def first_key(error: ValidationError) -> str:
    """Return what is wrong in a file that this program writes: the key, and why."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    return f"key '{key}': {first['msg']}" if key else first["msg"]


def json_schema(model: type[BaseModel], name: str) -> str:
    """Return the published schema of a file, as `name` in docs/ holds it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name}
    return json.dumps({**head, **model.model_json_schema()}, indent=1) + "\n"


def _list_keys(model: type[BaseModel], place: Sequence[Any]) -> list[str]:
    """Return the keys that are known at `place`, a path of keys and indices."""
    for key in place:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if key in fields:
            model = next(_list_models(fields[key].annotation), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _list_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation such as dict[str, Model] or tuple[Model, ...] | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _list_models(inner)
