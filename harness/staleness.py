"""Staleness: a run that went on after it was scored keeps no number of the older sounds."""

from collections.abc import Sequence

from harness import audio_identity
from harness.journal import Row
from harness.metrics_file import CellRecord, MetricsFile, SystemRecord
from harness.run_folder import RunFolder

STALE = "the run went on after it was scored; stabench score RUN"


def current(run: RunFolder, metrics: MetricsFile | None) -> MetricsFile | None:
    """The scores, without those of systems whose sounds are other ones now."""
    if metrics is None:
        return None
    rows = run.rows()
    stale = {name for name, one in metrics.systems.items() if _stale(name, one, rows)}
    if not stale:
        return metrics
    systems = {
        name: _emptied(one) if name in stale else one for name, one in metrics.systems.items()
    }
    paired = tuple(one for one in metrics.paired if not {one.a, one.b} & stale)
    return metrics.model_copy(update={"systems": systems, "paired": paired})


def _stale(name: str, scored: SystemRecord, rows: Sequence[Row]) -> bool:
    """Whether the journal names other sounds; of a system that was not heard, other clips."""
    own = [row for row in rows if row.system == name and row.ok and not row.repeat]
    if scored.audio_sha256 is None:
        return scored.n != len(own)
    return scored.audio_sha256 != audio_identity.of_outputs(own, scored.failures)


def _emptied(scored: SystemRecord) -> SystemRecord:
    cells = {
        column: CellRecord(value=None, n=cell.n, reason=STALE)
        for column, cell in scored.cells.items()
    }
    return scored.model_copy(update={"cells": cells, "per_clip": {}, "input_dependence": {}})
