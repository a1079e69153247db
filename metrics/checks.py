"""Rows [N, D]: the checks that every metric makes of its embeddings or logits."""

from collections.abc import Sequence

import numpy as np

# Embeddings of each clip, [F, D]; F may differ from clip to clip.
Clips = Sequence[np.ndarray] | np.ndarray


def check_rows(name: str, array: np.ndarray, *, least: int = 1) -> np.ndarray:
    """Return `array` as float64 [N, D].

    Raises ValueError unless it is 2-d, finite, `least` rows long.
    """
    table = np.asarray(array, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"{name}: shape is {table.shape}, expected [N, D]; give a row per item")
    if len(table) < least:
        raise ValueError(
            f"{name}: {len(table)} rows, expected at least {least}; score more clips together"
        )
    if not np.isfinite(table).all():
        broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
        raise ValueError(
            f"{name}: {len(broken)} of {len(table)} rows hold NaN or infinity (first: row "
            f"{broken[0]}), expected finite values; count those clips as failed"
        )
    return table


def require_same_width(name: str, table: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Raise ValueError unless both have as many columns."""
    if table.shape[1] != other.shape[1]:
        raise ValueError(
            f"{name} has {table.shape[1]} columns and {other_name} {other.shape[1]}, expected the "
            "same; embed both with the same network"
        )


def require_same_rows(name: str, table: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Raise ValueError unless both have as many rows, as rows that are paired by clip must."""
    if len(table) != len(other):
        raise ValueError(
            f"{name} has {len(table)} rows and {other_name} {len(other)}, expected one a clip in "
            "both; pair them by clip id first"
        )
