"""A run, opened for reading: frames, table, report, published figures beside it, sounds."""

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from stabench.harness.datasets.conditions.condition import CLEAN
from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.report.report import page_of
from stabench.harness.report.report import report as write_report
from stabench.harness.report.table import Table, tabulate
from stabench.harness.reproduce import paper
from stabench.harness.reproduce.reproduce import judge_all
from stabench.harness.runs.results import Results
from stabench.views import PageView, Player, Sound

if TYPE_CHECKING:
    from pandas import DataFrame

# Sections that `Run.table` shows.
RESULTS = ("results", "differences", "notes")


class Run:
    """A run folder, or a folder of scores. Frames are made when they are first asked for.

    It is what lay on the disk when it was opened; open it again to see what has changed.
    """

    def __init__(self, folder: Path | str) -> None:
        """Read the folder ("latest": the last run). Raises MissingError, StabenchError."""
        self.results = Results.read(Path(folder))

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.results.folder

    @cached_property
    def _table(self) -> Table:
        return tabulate(self.results)

    @property
    def systems(self) -> list[str]:
        """Names of the systems, in the table's order."""
        return [row.system for row in self._table.systems]

    @cached_property
    def cells(self) -> "DataFrame":
        """The table: a row for each system or sanity row and column (see `stabench.frames.CELLS`).

        `value`, `low` and `high` (95 % interval over `n` clips) are in `unit`; without a value
        `reason` says why.
        """
        from stabench import frames

        return frames.cells(self._table)

    @cached_property
    def clips(self) -> "DataFrame":
        """A row for each system and clip: transcript, values of each clip, times in ns."""
        from stabench import frames

        return frames.clips(self.results)

    @cached_property
    def stages(self) -> "DataFrame":
        """A row for each stage of each measured call, ns; with "remainder" they add up."""
        from stabench import frames

        return frames.stages(self.results.trials)

    @cached_property
    def differences(self) -> "DataFrame":
        """A row for each pair of systems and column: `a` minus `b` on the same clips."""
        from stabench import frames

        return frames.differences(self.results, self._table)

    def table(self) -> PageView:
        """Return the table with its intervals, marks and notes: text, or HTML in a notebook."""
        page = page_of(self.results, self._table)
        shown = tuple(section for section in page.sections if section.key in RESULTS)
        return PageView(type(page)(page.title, page.lead, shown))

    def report(self, *, html: bool = False, sound_mb: float = 24.0) -> Path:
        """Write report.md, .tex, .csv and .json, with `html` also report.html; return report.md."""
        return write_report(self.folder, io.StringIO(), sound_mb=sound_mb if html else None)

    def reproduce(self, papers: Path | str | None = None) -> "DataFrame":
        """Return each figure of the published tables beside the run's, with a verdict.

        `papers` is a folder of tables, by default those of stabench.
        """
        from stabench import frames

        folder = paper.FOLDER if papers is None else Path(papers)
        return frames.figures(judge_all(self.results, paper.read_all(folder)))

    def play(self, clip: str, systems: Sequence[str] = ()) -> Player:
        """Return the sounds of a clip: speech, recording, outputs (of `systems`, or of all).

        Raises StabenchError for an unknown clip or system, MissingError for scored folders, whose
        sounds are not in them.
        """
        run = self.results.run
        if run is None:
            raise MissingError(f"'{self.folder}' holds scores, no sounds; play them where they lie")
        clips = {entry.id: entry for entry in run.clips}
        if clip not in clips:
            raise StabenchError(unknown("clip", clip, clips))
        labels = {row.system: row.label for row in self._table.systems}
        for name in systems:
            if name not in labels:
                raise StabenchError(unknown("system", name, labels))
        texts = {row.system: row.text for row in self.results.trials if row.clip == clip}
        entry, heard = clips[clip], self.results.condition or CLEAN
        speech = entry.speech if heard == CLEAN else run.speech_path(clip, heard)
        sounds = [
            *([Sound("speech", speech)] if speech and (heard == CLEAN or speech.exists()) else []),
            *([Sound("recording", entry.reference)] if entry.reference else []),
            *(
                Sound(labels[name], path, texts.get(name))
                for name in systems or labels
                if (path := run.audio_path(name, clip, heard)).exists()
            ),
        ]
        return Player(clip, entry.caption, sounds)

    def __repr__(self) -> str:
        return f"<stabench.Run '{self.folder}': {', '.join(self.systems)}>"

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
