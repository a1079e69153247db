"""Word error rate clip by clip: a ratio of sums, taken apart into jackknife pseudo-values."""

from pathlib import Path

from harness.clip_table import NAME
from harness.errors import StabenchError

COLUMN = "wer"
LOWEST = 0.0
UNKEPT = "clips.parquet does not hold the words of these scores; stabench score RUN"

Counts = dict[str, tuple[int, int]]
"""Errors and words of each clip."""


def read(folder: Path, system: str) -> Counts:
    """What clips.parquet says of a system; nothing without the file."""
    path = folder / NAME
    if not path.exists():
        return {}
    import pyarrow as pa
    from pyarrow import parquet

    wanted = ["system", "clip", "word_errors", "words"]
    try:
        # By its path: a thread of Arrow that holds Python's bytes may abort Python as it ends.
        with parquet.ParquetFile(path) as file:
            rows = file.read(columns=wanted).to_pylist()
        return {
            row["clip"]: (row["word_errors"], row["words"])
            for row in rows
            if row["system"] == system and row["words"] is not None
        }
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StabenchError(f"{path}: not a table of clips ({error}); score again") from None


def pseudo_values(
    counts: Counts, value: float | None
) -> tuple[dict[str, float], dict[str, float], str | None]:
    """r + (errors - r words) / mean(words) of each clip, the words, or why there are none.

    Their mean is r = errors / words over all clips; they are its infinitesimal jackknife. `value`
    is what metrics.json says of r.
    """
    words = sum(count for _, count in counts.values())
    errors = sum(wrong for wrong, _ in counts.values())
    if value is None or not words or abs(errors / words - value) > 1e-12:
        return {}, {}, UNKEPT
    ratio, mean = errors / words, words / len(counts)
    found = {
        clip: ratio + (wrong - ratio * count) / mean for clip, (wrong, count) in counts.items()
    }
    return found, {clip: float(count) for clip, (_, count) in counts.items()}, None
