"""The keys of a TOML file as tables of a Markdown page, from the models that read the file.

    python -m stabench.harness.suites.reference docs/suites.md

writes the tables anew between two marks of the page; what a person wrote around them stays.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stabench.harness.errors import StabenchError
from stabench.harness.suites.probes import EncoderUse, Probes, ProbeSuite
from stabench.harness.suites.suite import (
    ConditionUse,
    DatasetUse,
    Metrics,
    RunSettings,
    Suite,
    SystemUse,
)

BEGIN, END = "<!-- generated: {command} -->", "<!-- end of what is generated -->"
COMMAND = "python -m stabench.harness.suites.reference"
# Heading of a table in the page -> the model that reads that part of a suite.
PARTS: dict[str, type[BaseModel]] = {
    "Top of the file": Suite,
    "`[dataset]`": DatasetUse,
    "`[run]`": RunSettings,
    "`[metrics]`": Metrics,
    "`[[system]]`": SystemUse,
    "`[[condition]]`": ConditionUse,
    "Suites of probes: top of the file": ProbeSuite,
    "`[probes]`": Probes,
    "`[[encoder]]`": EncoderUse,
}
TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "table"}
HEAD = "| key | type | default | allowed | what it is |\n|---|---|---|---|---|\n"
MISSING = "\N{EN DASH}"


class Key(NamedTuple):
    """One key of a file, as a row of a table says it."""

    name: str
    type: str
    default: str
    allowed: str
    meaning: str


def list_keys(model: type[BaseModel]) -> Iterator[Key]:
    """Yield the keys that a model reads, in its order; those that are tables of their own not.

    Raises ValueError for a key without a description.
    """
    for name, field in model.model_fields.items():
        if _find_model(field.annotation):
            continue
        if not field.description:
            raise ValueError(f"{model.__name__}.{name} has no description; give its Field one")
        stated = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        yield Key(
            f"`{field.alias or name}`",
            str(stated.get("written") or _describe_type(field.annotation)),
            str(stated.get("default") or _describe_default(field)),
            str(stated.get("allowed") or _describe_allowed(field)),
            field.description,
        )


def write_tables(parts: Mapping[str, type[BaseModel]]) -> str:
    """Return a Markdown table under a heading for each part of a file."""
    tables = []
    for heading, model in parts.items():
        keys = [
            [" ".join(cell.split()).replace("|", r"\|") for cell in key] for key in list_keys(model)
        ]
        rows = (f"| {' | '.join(key)} |\n" for key in keys)
        tables.append(f"### {heading}\n\n{HEAD}{''.join(rows)}")
    return "\n".join(tables)


def renew(page: str, parts: Mapping[str, type[BaseModel]], command: str = COMMAND) -> str:
    """Return the text of a page with its tables written anew.

    Raises StabenchError for a page that lacks the two marks.
    """
    return replace_generated(page, write_tables(parts), command)


def replace_generated(page: str, text: str, command: str) -> str:
    """Return a page with `text` between its two marks, which name the command that writes it.

    Raises StabenchError for a page that lacks them.
    """
    begin = BEGIN.format(command=command)
    head, mark, rest = page.partition(begin)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise StabenchError(f"the page has no lines '{begin}' and '{END}'; add both")
    return f"{head}{begin}\n\n{text}\n{END}{tail}"


def _find_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as Model or tuple[Model, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_find_model, get_args(annotation))), None)


def _describe_type(annotation: Any) -> str:
    """Return the type of a key in the words of TOML.

    >>> _describe_type(tuple[str, ...]), _describe_type(float | None), _describe_type(Literal[0, 1])
    ('list of texts', 'number', 'whole number')
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        [annotation] = [part for part in inner if part is not NoneType]
        return _describe_type(annotation)
    if origin is Annotated:
        return _describe_type(inner[0])
    if origin is Literal:
        return TYPES[type(inner[0])]
    if origin is tuple:
        return f"list of {_describe_type(inner[0])}s"
    return TYPES[origin or annotation]


def _describe_default(field: FieldInfo) -> str:
    """Return the default as TOML writes it, or that the key is needed."""
    if field.is_required():
        return "needed"
    value = field.default
    return _quote(value) if isinstance(value, str | int | float) and value != "" else MISSING


def _describe_allowed(field: FieldInfo) -> str:
    """Return the values of a literal, or the bounds of a number: "1 or more", "0 to 1"."""
    if literal := _find_literal(field.annotation):
        return ", ".join(map(_quote, literal))
    bounds = {
        name: value
        for limit in field.metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(limit, name, None)) is not None
    }
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    if "ge" in bounds:
        return f"{bounds['ge']} or more"
    return f"above {bounds['gt']}" if "gt" in bounds else MISSING


def _find_literal(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a Literal, also of one that may be left out."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(_find_literal, get_args(annotation))), ())


def _quote(value: str | float) -> str:
    """Return a value as TOML writes it, between back quotes."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value:g}`"


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        place.write_text(renew(place.read_text("utf-8"), PARTS), "utf-8")
