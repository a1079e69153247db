"""The code on the page of the Python face runs, from top to bottom, on a run."""

from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, read_blocks

PAGE = ROOT / "docs" / "python.md"
PYTHON = [block for block in read_blocks(PAGE) if block.language == "python"]


def run_blocks(blocks: list[Block]) -> None:
    """Run blocks one after the other, in one namespace."""
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block.text, block.name, "exec"), names)


def test_the_blocks_that_need_nothing_run(
    clone_with_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_blocks([block for block in PYTHON if not block.is_limited])
    printed = capsys.readouterr().out
    for text in ("<stabench.Run", "['cascade', 'star', 'oracle']", "p_adjusted", "no run.json"):
        assert text in printed


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_blocks_run(clone_with_run: Path) -> None:
    run_blocks(PYTHON)
