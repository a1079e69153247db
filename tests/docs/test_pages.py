"""Pages that are made from the code say what it says; the navigation knows every page."""

from pathlib import Path

import pytest
import yaml

from stabench import frames
from stabench.harness.cli import condition_reference
from stabench.harness.errors import StabenchError
from stabench.harness.gate import reference as policy_reference
from stabench.harness.suites import reference
from stabench.harness.suites.reference import Key, list_keys, renew
from stabench.harness.suites.suite import RunSettings, Suite
from stabench.metrics.registry import METRICS
from tests.docs.blocks import ROOT, read_blocks

DOCS = ROOT / "docs"
FRAMES = {
    "run.cells": frames.CELLS,
    "run.clips": frames.CLIPS,
    "run.stages": frames.STAGES,
    "run.differences": frames.DIFFERENCES,
    "run.reproduce()": frames.FIGURES,
    "comparison.lines": frames.LINES,
}
GENERATED = {
    "suites.md": (reference.PARTS, reference.COMMAND),
    "gate-policy.md": (policy_reference.PARTS, policy_reference.COMMAND),
}


@pytest.mark.parametrize("name", GENERATED)
def test_a_page_of_keys_is_what_the_generator_writes(name: str) -> None:
    parts, command = GENERATED[name]
    page = (DOCS / name).read_text("utf-8")
    assert page == renew(page, parts, command), f"{command} docs/{name}"


def test_the_list_of_conditions_is_what_the_generator_writes() -> None:
    page = (DOCS / "conditions.md").read_text("utf-8")
    assert page == condition_reference.renew_list(page), condition_reference.COMMAND


def test_a_key_is_described_with_its_type_default_and_bounds() -> None:
    keys = {key.name: key for key in list_keys(RunSettings)}
    assert keys["`repeats`"] == Key(
        "`repeats`",
        "whole number",
        "`1`",
        "1 or more",
        "How often each clip is run and timed; the first sound is scored.",
    )
    assert keys["`scenario`"].allowed == '`"single-stream"`, `"offline"`'
    assert keys["`max_failed_share`"].allowed == "0 to 1"
    # Parts of the file that are tables have tables of their own.
    assert [key.name for key in list_keys(Suite)] == ["`name`", "`title`", "`task`", "`notes`"]


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(StabenchError, match="has no lines"):
        renew("# Keys\n", reference.PARTS)


@pytest.mark.parametrize("frame", FRAMES)
def test_the_columns_of_a_frame_are_those_on_the_page(frame: str) -> None:
    text = (DOCS / "python.md").read_text("utf-8")
    section = text.split(f"### `{frame}`\n")[1].split("\n### ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    shown = {row[0].strip("|` "): row[1].strip() for row in rows}
    assert shown == FRAMES[frame]


def test_every_metric_is_on_its_page_with_its_direction() -> None:
    rows = [
        line.split(" | ")
        for line in (DOCS / "metrics.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    better = {row[0].strip("|` "): row[2].split(",")[0].strip() for row in rows if len(row) == 5}
    shown = {name: word for name, word in better.items() if name in METRICS}
    assert shown == {name: metric.better for name, metric in METRICS.items()}


def test_files_on_pages_are_valid(tmp_path: Path) -> None:
    for page in DOCS.rglob("*.md"):
        for block in read_blocks(page):
            if block.language == "python":
                compile(block.text, block.name, "exec")
            elif block.language == "yaml":
                yaml.safe_load(block.text)
