"""A number changes only with its version: the code behind each metric is pinned.

After a change of a metric's code: raise `version` in metrics/registry.py if the same inputs
can give another number, then write the new pins with `python -m tests.metrics.pins`.
"""

import json

import pytest

from stabench.metrics.registry import METRICS
from tests.metrics.pins import FILE, fingerprint, pins

PINNED = json.loads(FILE.read_text())["metrics"]


@pytest.mark.parametrize("name", METRICS)
def test_code_of_a_metric_is_pinned_with_its_version(name):
    assert pins()[name] == PINNED[name], (
        f"the code behind '{name}' changed: raise its version in metrics/registry.py if a "
        "number can change, then run: python -m tests.metrics.pins"
    )


def test_pins_are_of_metrics_that_exist():
    assert PINNED.keys() == METRICS.keys()


def test_a_changed_constant_changes_the_fingerprint_and_a_comment_does_not():
    code = '"""Doc."""\nX = 1\ndef f(a):\n    """Doc."""\n    return a + X\n'
    same = code.replace("X = 1", "X = 1  # a comment").replace("Doc.", "Other words.")
    assert fingerprint([code]) == fingerprint([same])
    assert fingerprint([code]) != fingerprint([code.replace("X = 1", "X = 2")])
    assert fingerprint([code]) != fingerprint([code.replace("a + X", "a - X")])
