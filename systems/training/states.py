"""Saved states of a training: written whole, kept few, and refused where they do not belong."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stabench.checkpoints.tensors import read_torch, write_atomically
from stabench.systems.training.device import to_cpu


class States:
    """The last `keep` states in `folder`, one file each, named by the number of steps done.

    `recipe` is what a state must have been trained by, name by name.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, str], keep: int = 1) -> None:
        self.folder, self.recipe, self.keep = folder, dict(recipe), keep

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Write the state after `step` steps, then delete those that are no longer kept.

        Raises OSError in one line when the disk is full; older states are then as they were.
        """
        write({**content, "step": step, "recipe": self.recipe}, self._path(step))
        for path in self._paths()[: -self.keep]:
            path.unlink()

    def load(self) -> dict[str, Any] | None:
        """Return the newest state, on the CPU; None where there is none.

        Raises ValueError that names the file, if it is torn, no state, or of another recipe.
        """
        paths = self._paths()
        if not paths:
            return None
        path = paths[-1]
        state = read(path)
        if "step" not in state or not isinstance(state.get("recipe"), dict):
            raise ValueError(f"{path}: no state of a training; delete it")
        theirs = state["recipe"]
        differing = [
            f"{name} is {theirs.get(name)}, here {self.recipe.get(name)}"
            for name in sorted({*theirs, *self.recipe})
            if theirs.get(name) != self.recipe.get(name)
        ]
        if differing:
            raise ValueError(
                f"{path}: of another recipe ({'; '.join(differing)}); train in another folder, "
                f"or delete {self.folder} to begin anew"
            )
        return state

    def clear(self) -> None:
        """Delete all states: the training is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.pt"

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))


def read(path: Path) -> dict[str, Any]:
    """Return what `write` wrote; ValueError that names the file for a torn or a foreign one."""
    try:
        return read_torch(path)
    except ValueError as error:
        raise ValueError(
            f"{path}: torn, or none of ours ({error}); delete it and start again: training goes on "
            "from what is left"
        ) from error


def write(state: Mapping[str, Any], path: Path) -> None:
    """Save tensors atomically, as CPU tensors; OSError in one line that names the file."""
    try:
        write_atomically(path, lambda temporary: torch.save(to_cpu(dict(state)), temporary))
    except (OSError, RuntimeError) as error:
        # torch's writer reports a full disk as RuntimeError.
        raise OSError(
            f"{path} could not be written ({next(iter(str(error).splitlines()), error)}); what was "
            "saved before is as it was: make room and start again"
        ) from error
