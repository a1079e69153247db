"""Submissions made up for the tests of the site: valid, small, and written without a run."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness.submission.schema import Submission
from stabench.metrics.audio import content_sha256, encode

CLIPS = tuple(f"clip{index:02}" for index in range(12))
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' =cmd()"
RATE_HZ = 8000


def sound(clip: str) -> np.ndarray:
    """A tenth of a second of noise, the clip's own, float32."""
    rng = np.random.default_rng(CLIPS.index(clip))
    return rng.uniform(-0.5, 0.5, RATE_HZ // 10).astype(np.float32)


def metric(value: float, spread: float, **changes: Any) -> dict[str, Any]:
    """The card of KL, or of what `changes` makes of it."""
    return {
        "label": "KL", "better": "lower", "unit": "nats", "digits": 2, "version": 1,
        "embedder": "3" * 64, "protocol": "2" * 64, "value": value, "low": value - spread,
        "high": value + spread, "n": len(CLIPS), **changes,
    }  # fmt: skip


def phase(ms: float) -> dict[str, Any]:
    """Wall times about a median of so many milliseconds."""
    number = {"value": ms * 1e6, "low": ms * 0.9e6, "high": ms * 1.1e6}
    return {
        "n": len(CLIPS), "clips": len(CLIPS), "mean_ns": number, "sd_ns": 1e5,
        "percentiles_ns": {"p50": number},
    }  # fmt: skip


def network(role: str) -> dict[str, Any]:
    """A judge as metrics.json describes it."""
    return {
        "name": f"toy-{role}", "origin": "test", "licence": "Apache-2.0", "sha256": "4" * 64,
        "identity": "3" * 64, "width": 8, "rate_hz": RATE_HZ, "resampler": "sinc",
        "channels": "mean", "mean_removed": True, "int16": False, "long": "whole",
        "device": "cpu", "precision": "float32",
    }  # fmt: skip


def system() -> dict[str, Any]:
    """What a submitter says of a system."""
    return {
        "version": "1.0", "description": "A system.", "authors": ["A. Author"],
        "contact": "a@example.org", "licence": "Apache-2.0", "training_data": "None.",
        "parameters": 1000, "links": {"code": "https://example.org/code?a=1&b=2"},
        "name": "star", "label": "STAR", "paradigm": "end-to-end", "note": "",
        "weights": {"weights.udit": "5" * 64},
    }  # fmt: skip


def outputs() -> dict[str, Any]:
    """What the system made of each clip."""
    return {
        clip: {
            "sha256": content_sha256(sound(clip)), "samples": RATE_HZ // 10, "rate_hz": RATE_HZ,
            "seconds": 0.1, "values": {"kl": 1.5},
        }
        for clip in CLIPS
    }  # fmt: skip


def claim(kl: float = 2.0, spread: float = 0.1) -> dict[str, Any]:
    """submission.json as plain values."""
    recall = {"label": "Event recall", "better": "higher", "unit": ""}
    return {
        "schema": 2,
        "system": system(),
        "suite": {"name": "toys", "digest": "0" * 64},
        "dataset": {"name": "toys", "version": "v1", "clips": len(CLIPS), "digest": "1" * 64},
        "run": {
            "id": "toys-run", "started_at": "2026-01-01T10:00:00+00:00",
            "finished_at": "2026-01-01T10:05:00.123+00:00", "resumed": 0, "stabench": "0.1.0",
            "commit": "a" * 40, "dirty": False,
        },
        "hardware": {
            "device": "cpu", "cpu": "Processor A", "cpu_cores": 2, "threads": 1,
            "memory_bytes": 2**33, "gpus": [], "precision": "float32", "torch": "2.13.0",
            "python": "3.11", "platform": "Linux",
        },
        "scoring": {
            "protocol": {
                "name": "toys", "version": 1, "digest": "2" * 64, "about": "", "replaced": [],
                "kl_epsilon": None, "is_splits": 10, "is_seed": 0, "subset_seed": 0,
            },
            "embedders": {"tagger": network("tagger")}, "seed": 0, "bootstrap": 1000,
        },
        "metrics": {"kl": metric(kl, spread), "recall": metric(0.8, 0.05, **recall)},
        "latency": {
            "phases": {"represent": phase(20.0), "generate": phase(200.0)},
            "stages": [
                {"phase": "represent", "name": "speech_encoder", "mean_ns": 2e7, "share": 0.1,
                 "device_ns": None},
            ],
        },
        "outputs": outputs(),
        "failed": {},
        "files": {},
    }  # fmt: skip


class Leaderboard:
    """A folder of entries; `add` writes one and returns its folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        name: str,
        kl: float = 2.0,
        change: Callable[[dict[str, Any]], object] | None = None,
        *,
        spread: float = 0.1,
        verdict: dict[str, Any] | None = None,
        audited: bool = True,
        audio: bool = False,
    ) -> Path:
        """An entry; `change` edits its claims, `verdict` the fields of its verdict."""
        value = claim(kl, spread)
        value["system"]["label"] = name.upper()
        if change:
            change(value)
        folder = self.root / name
        folder.mkdir()
        content = json.dumps(value).encode()
        Submission.read_json(content)
        (folder / "submission.json").write_bytes(content)
        if audited:
            check = {
                "schema": 2, "submission_sha256": hashlib.sha256(content).hexdigest(),
                "checked_at": "2026-01-02T00:00:00Z", "stabench": "0.1.0",
                "recomputed": list(value["metrics"]), "latency": True, "errors": 0,
                **(verdict or {}),
            }  # fmt: skip
            (folder / "verdict.json").write_text(json.dumps(check))
        for clip in CLIPS[:3] if audio else ():
            path = folder / "audio" / f"{clip}.wav"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode(sound(clip), RATE_HZ))
        return folder
