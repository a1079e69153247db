"""`stabench prepare` typed in this process, what it leaves, and what it computes."""

import sys
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.cli import main
from stabench.systems.training import extract


def type_command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run `stabench prepare` in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["stabench", "prepare", *map(str, words)])
    return main.main()


def list_files(folder: Path) -> dict[str, bytes]:
    """What a split holds, less the notes on files, whose times differ."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "sounds.jsonl"
    }


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the clips that encoders and VAE are given from now on."""
    calls: list[int] = []
    for network in (extract.SpeechFrames, extract.VaeLatents):
        encode = network.encode

        def counted(self: Any, batch: Any, encode: Any = encode) -> Any:
            calls.append(len(batch))
            return encode(self, batch)

        monkeypatch.setattr(network, "encode", counted)
    return calls
