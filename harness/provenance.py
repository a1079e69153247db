"""Provenance: what each column of metrics.json is, and how its numbers were made."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from harness.exam import Exam
from harness.features import Network
from harness.transcripts import NORMALISER
from metrics.bootstrap import LEVEL
from metrics.declarations import METRICS
from metrics.inception import SEED as INCEPTION_SEED
from metrics.inception import SPLITS
from metrics.resample import NAME as RESAMPLER

WER, SHARE = "wer", "ceiling_share"
VERSIONS = ("stabench", "numpy", "scipy", "soundfile", "torch", "transformers", "jiwer")
OWN: dict[str, dict[str, Any]] = {
    SHARE: {"label": "Recall / ceiling", "better": "higher", "unit": "", "digits": 2, "version": 1},
    WER: {
        "label": "WER",
        "better": "lower",
        "unit": "",
        "digits": 3,
        "version": 1,
        "normaliser": NORMALISER,
    },
}
"""Columns that are no metric of an embedding."""
RULES: dict[str, dict[str, Any]] = {
    "is": {"splits": SPLITS, "seed": INCEPTION_SEED, "rows": "sorted by clip id"},
    "kl": {"direction": "KL(reference || output) of softmaxed logits, no epsilon"},
    "clap": {"caption": "the true caption"},
}


def columns_about(exam: Exam, columns: Sequence[str], channels: str) -> dict[str, dict[str, Any]]:
    """Of each column: label, direction, unit, digits, version, and the network behind it."""
    return {
        name: dict(OWN[name]) if name in OWN else _metric(exam, name, channels) for name in columns
    }


def _metric(exam: Exam, name: str, channels: str) -> dict[str, Any]:
    metric = METRICS[name]
    about: dict[str, Any] = {
        "label": metric.label,
        "better": metric.better,
        "unit": metric.unit,
        "digits": metric.digits,
        "version": metric.version,
    }
    for network in (exam.networks[role] for role in metric.needs if role in exam.networks):
        about["embedder"] = embedder(network, channels)
    return about | RULES.get(name, {})


def embedder(network: Network, channels: str) -> dict[str, Any]:
    """Which network heard the sounds, and how they were brought to it."""
    return {
        "name": network.name,
        "sha256": network.sha256,
        "rate_hz": network.rate_hz,
        "resampler": RESAMPLER,
        "channels": channels,
        "mean_removed": True,
    }


def provenance(exam: Exam, channels: str) -> dict[str, Any]:
    """What all columns share. It holds no date: scoring again writes the same bytes."""
    return {
        "clips": len(exam.ids),
        "seed": exam.seed,
        "bootstrap": exam.bootstrap,
        "level": LEVEL,
        "pairing": "by clip id",
        "embedders": {role: embedder(net, channels) for role, net in exam.networks.items()},
        "versions": {name: found for name in VERSIONS if (found := _version(name))},
    }


def comparability(networks: Mapping[str, Network]) -> list[str]:
    """A note for each package that brings networks of its own: nobody else's yardstick."""
    packages = sorted({network.package for network in networks.values() if network.package})
    return [
        f"{package} embedders: numbers comparable only with each other, not with any paper's"
        for package in packages
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
