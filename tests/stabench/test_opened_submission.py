"""A submission opened from Python: the same numbers as of the run that was packed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stabench as sb
from tests.harness.submission.toy_board import SYSTEM, Toy, toy


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    made = toy(tmp_path_factory.mktemp("board"))
    return made, made.submit()


def test_its_cells_are_those_of_the_run(packed: tuple[Toy, Path]) -> None:
    made, package = packed
    submitted, run = sb.open_submission(package), sb.open_run(made.run.path)
    assert submitted.systems == [SYSTEM]
    mine = submitted.cells.set_index("column")
    theirs = run.cells[run.cells["system"] == SYSTEM].set_index("column").loc[mine.index]
    for column in ("value", "low", "high"):
        assert np.allclose(mine[column], theirs[column], rtol=1e-12, equal_nan=True)
    for column in ("n", "unit", "better", "block"):
        assert list(mine[column]) == list(theirs[column])


def test_its_clips_and_stages_are_those_of_the_run(packed: tuple[Toy, Path]) -> None:
    made, package = packed
    submitted, run = sb.open_submission(package), sb.open_run(made.run.path)
    mine, theirs = (frame.set_index("clip").sort_index() for frame in (submitted.clips, run.clips))
    shared = [name for name in mine.columns if name in theirs.columns]
    assert {"transcript", "kl", "clap", "represent_ns", "generate_ns"} <= set(shared)
    pd.testing.assert_frame_equal(mine[shared], theirs[shared])
    pd.testing.assert_frame_equal(submitted.stages, run.stages)


def test_what_is_no_submission_is_one_line(packed: tuple[Toy, Path], tmp_path: Path) -> None:
    with pytest.raises(sb.MissingError, match="no such file"):
        sb.open_submission(tmp_path / "none.zip")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(packed[1].read_bytes()[:1000])
    with pytest.raises(sb.StabenchError, match=r"check-submission .* says all that is wrong"):
        sb.open_submission(broken)
