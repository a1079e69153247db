"""Examples in docstrings print what they say, and every metric has one."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from stabench.metrics.registry import METRICS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("stabench", "checkpoints", "harness", "metrics", "pocket", "systems")


def name_module(path: Path) -> str:
    """Return the name by which a file is imported.

    >>> name_module(ROOT / "metrics" / "kl.py"), name_module(ROOT / "stabench" / "start.py")
    ('stabench.metrics.kl', 'stabench.start')
    """
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "stabench" else parts
    return ".".join(("stabench", *(part for part in parts if part != "__init__")))


# Found by their text: only a module that has an example is worth importing.
EXEMPLARY = sorted(
    name_module(path)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


def count_examples(module: object) -> int:
    return sum(len(test.examples) for test in doctest.DocTestFinder().find(module))


@pytest.mark.parametrize("name", EXEMPLARY)
def test_examples_print_what_they_say(name: str) -> None:
    module = import_module(name)
    results = doctest.testmod(module)
    assert results.attempted == count_examples(module) > 0
    assert results.failed == 0


def test_a_wrong_example_is_noticed() -> None:
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(example, out=lambda text: None).failed == 1


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_an_example(metric: str) -> None:
    module = METRICS[metric].measure.split(":")[0]
    assert count_examples(import_module(module)) > 0
