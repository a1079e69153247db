"""Where one run of the crosscheck lives: a temporary folder with two sets of sounds."""

from pathlib import Path
from typing import NamedTuple

from crosscheck import sounds


class Workspace(NamedTuple):
    """`folder` for weights; files of the two sets, in the order of their names."""

    folder: Path
    reference: list[Path]
    generated: list[Path]

    @classmethod
    def make(cls, folder: Path, files: int) -> "Workspace":
        """Make a workspace with `files` new sounds in each set."""
        return cls(
            folder,
            sounds.write(folder / "reference", files, first_seed=0),
            sounds.write(folder / "generated", files, first_seed=1000),
        )
