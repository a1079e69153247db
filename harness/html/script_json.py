"""JSON that lies within a script element: nothing in it can end the element or begin markup."""

import json
from typing import Any

from harness.figures import plain

ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""Within JSON these characters occur in strings only, where the escape means the same."""


def script_json(value: Any) -> str:
    """`value` as JSON without <, >, & and line separators; its texts without control characters."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
