"""Random weights: which systems of a run had them, so that nobody measures their quality."""

from collections.abc import Iterator
from typing import Any

from harness.run_folder import RunFolder
from harness.suite import SystemUse

REFUSED = "random weights: latency only"


def on_random_weights(run: RunFolder, use: SystemUse) -> bool:
    """Whether a system ran on random weights, by the suite's options or by its own word."""
    about = run.about_systems().get(use.name, {})
    return "random" in {*weights_of(use.options), *weights_of(about.get("provenance"))}


def weights_of(value: Any) -> Iterator[str]:
    """Every text under a key `weights`, however deep: "random" is one of them, or none is."""
    if isinstance(value, list):
        for item in value:
            yield from weights_of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "weights" and isinstance(item, str):
                yield item
            yield from weights_of(item)
