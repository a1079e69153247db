"""The table of metrics, and that numbers need no network library."""

import importlib
import subprocess
import sys

import pytest

from stabench.metrics.protocol import ROLES, Protocol
from stabench.metrics.registry import METRICS

PARTS = {"reference", "pair", "caption", "labels", "sequence", "together", "transcript"}
HEAVY = ("torch", "transformers", "scipy")


def test_columns_of_the_paper_come_first_and_in_its_order():
    assert list(METRICS)[:5] == ["fad", "fd", "kl", "is", "clap"]
    assert {"is", "clap", "clap_music", "recall", "order", "overlap"} == {
        metric.name for metric in METRICS.values() if metric.better == "higher"
    }


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_says_what_there_is_to_say(metric):
    """A network it is about comes first; its function exists; its rules are the protocol's."""
    assert metric.needs[0] in (*ROLES, "transcript")
    assert {*metric.needs} <= {*ROLES, *PARTS}
    assert {*metric.rules} <= Protocol.model_fields.keys()
    module, function = metric.measure.split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_metrics_are_imported_without_torch():
    modules = {metric.measure.split(":")[0] for metric in METRICS.values()}
    imports = ", ".join(
        sorted({*modules, "stabench.metrics.audio", "stabench.harness.stats.bootstrap"})
    )
    code = f"import sys, {imports}; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
