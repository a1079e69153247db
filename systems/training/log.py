"""The curves of a training: JSON lines, and scalars for TensorBoard where that is asked for."""

import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any


class TrainingLog:
    """Appends {"step": steps done, name: value, ...} to `path`, one line a call.

    `tensorboard` is the folder of TensorBoard's scalars, None for none. `writes` is False in all
    processes but the first, which alone writes.
    """

    def __init__(self, path: Path, tensorboard: Path | None = None, writes: bool = True) -> None:
        self.path, self.tensorboard, self.writes = path, tensorboard, writes
        self.purged: int | None = None

    def append(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write the values after `step` steps; what is not finite is written as null."""
        if not self.writes:
            return
        kept = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in values.items()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **kept}) + "\n")
        if self._scalars:
            for name, value in kept.items():
                if value is not None:
                    self._scalars.add_scalar(name, value, step)
            self._scalars.flush()

    def cut(self, step: int) -> None:
        """Drop what was logged after `step`: a resumed training logs it again."""
        if self.writes and self.path.exists():
            lines = [
                json.dumps(line) + "\n" for line in read_log(self.path) if line["step"] <= step
            ]
            part = self.path.with_suffix(".part")
            part.write_text("".join(lines), encoding="utf-8")
            part.replace(self.path)
        self.purged = step + 1

    @cached_property
    def _scalars(self) -> Any:
        """TensorBoard's writer, made at the first line; None without."""
        if self.tensorboard is None:
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print(f"no TensorBoard here (extra 'train'): curves are in {self.path} alone")
            return None
        # TensorBoard hides what an interrupted run logged from this step on.
        return SummaryWriter(str(self.tensorboard), purge_step=self.purged)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, in order; a torn last line (a kill) is left out.

    Raises ValueError that names file and line for any other line that is no JSON object.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append({"step": 0, **json.loads(line)})
        except (json.JSONDecodeError, TypeError) as error:
            if number < len(lines):
                raise ValueError(
                    f"{path}, line {number}: {line[:60]!r} is no line of a training log; delete it"
                ) from error
    return entries
