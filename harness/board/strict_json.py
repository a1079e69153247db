"""JSON of strangers: sizes, depth, numbers and keys are bounded before anything is believed."""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

DEEPEST = 32
MOST_DIGITS = 19
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A string, closed or not, is one token: no text makes the search quadratic."""


class Malformed(ValueError):
    """Text that is no JSON as this project writes it, in one line."""


def parse(data: bytes) -> Any:
    """The value. Raises Malformed for a text that is not UTF-8, too deep, or no strict JSON.

    Refused as well: a key twice in one object, NaN and infinity, integers beyond 64 bits.
    """
    _check_depth(data)
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Malformed(
            f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    return value


def _check_depth(data: bytes) -> None:
    depth = 0
    for token in TOKEN.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token.group(), 0)
        if depth > DEEPEST:
            raise Malformed(f"nested deeper than {DEEPEST} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise Malformed(f"key {twice[:100]!r} stands twice in one object")
    return found


def _constant(text: str) -> NoReturn:
    raise Malformed(f"{text} is no JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed(f"number {text[:30]} is beyond double precision")
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS or not -(2**63) <= (value := int(text)) < 2**63:
        raise Malformed(f"an integer of {len(text.lstrip('-'))} digits, at most 64 bits are read")
    return value
