"""The table of metrics, and that numbers need no network library."""

import subprocess
import sys

from metrics.declarations import METRICS

NUMBERS = "audio bootstrap clap contract declarations frechet frechet_bootstrap inception kl recall"
HEAVY = ("torch", "transformers", "scipy")


def test_columns_of_the_paper_in_its_order():
    assert list(METRICS) == ["fad", "fd", "kl", "is", "clap", "recall"]
    assert [m.name for m in METRICS.values() if m.better == "lower"] == ["fad", "fd", "kl"]
    inputs = {"fad", "tagger", "clap", "reference", "caption", "labels"}
    assert {need for metric in METRICS.values() for need in metric.needs} == inputs


def test_metrics_are_imported_without_torch():
    imports = ", ".join(f"metrics.{name}" for name in NUMBERS.split())
    code = f"import sys, {imports}; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
