"""A metric over some clips: its function called, and what one from outside returns checked."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import StabenchError, one_line
from stabench.metrics.registry import Metric
from stabench.metrics.sets import NotMeasurable, Ratio, Sets, Tested, TwoSample

Result = np.ndarray | TwoSample | Ratio | Tested
HARNESS = Path(__file__).resolve().parents[1]
ALLOWED = "an array [N] of floats, one for each clip, or a TwoSample, Ratio or Tested"


def measure(metric: Metric, sets: Sets) -> Result:
    """Return what the metric's function makes of the clips. Raises NotMeasurable with the reason.

    Whatever else a built-in metric raises is a fault of ours.
    """
    function = metric.measure
    result: Result = (registry.attribute(function) if isinstance(function, str) else function)(
        metric, sets
    )
    return result


def measure_outside(
    metric: Metric, sets: Sets, source: str, clips: Sequence[str], recordings: int
) -> Result:
    """Return what a metric from outside makes of `clips`, in the shapes that the engine expects.

    Raises NotMeasurable with the metric's own reason; StabenchError, with the metric and its
    source, for anything else that it raises and for a result of another type, shape or not finite.
    """
    what = f"metric '{metric.name}' ({source.partition(',')[0]})"
    try:
        result = measure(metric, sets)
    except (NotMeasurable, StabenchError):
        raise
    except Exception as error:
        raise StabenchError(
            f"{what} raised {one_line(error)} ({place_of(error)}); mend it, then score again"
        ) from error
    if isinstance(result, Tested) and not 0 < result.p_value <= 1:
        raise StabenchError(f"{what} returned p = {result.p_value}; give 0 < p <= 1")
    sample = result.sample if isinstance(result, Tested) else result
    if isinstance(sample, TwoSample):
        _check_rows(what, "gen", sample.gen, len(clips))
        if len(sample.ref):
            _check_rows(what, "ref", sample.ref, recordings)
        if not np.isfinite(sample.value):
            raise StabenchError(f"{what} returned the value {sample.value}; raise NotMeasurable")
    elif isinstance(sample, Ratio):
        _check_rows(what, "numerators", sample.numerators, len(clips))
        _check_rows(what, "denominators", sample.denominators, len(clips))
    else:
        _check_rows(what, "values", sample, len(clips), clips)
    return result


def place_of(error: BaseException) -> str:
    """Return "file.py:12": the innermost line of the code from outside that an exception passed.

    That code is the folder of the first frame that is none of the harness.
    """
    frames = list(traceback.extract_tb(error.__traceback__))
    # Neither frames of the harness nor those of Python's own machinery of imports.
    outside = []
    for frame in frames:
        path = Path(frame.filename)
        if HARNESS not in path.parents and path.name[:1] != "<" and path.parent.name != "importlib":
            outside.append(frame)
    # What they call, such as NumPy, or the clock of ours, is not where the fault is to be mended.
    folder = Path(outside[0].filename).parent if outside else None
    frames = [frame for frame in outside if Path(frame.filename).parent == folder] or frames
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no line"


def _check_rows(
    what: str, name: str, rows: Any, count: int, clips: Sequence[str] | None = None
) -> None:
    """Raise StabenchError unless `rows` are `count` finite floats in an array."""
    if not isinstance(rows, np.ndarray):
        raise StabenchError(f"{what} returned {type(rows).__name__} as {name}; return {ALLOWED}")
    if rows.shape != (count,) or rows.dtype.kind != "f":
        raise StabenchError(
            f"{what} returned {name} {rows.dtype} {list(rows.shape)}, expected float [{count}]; "
            f"return {ALLOWED}"
        )
    wrong = np.flatnonzero(~np.isfinite(rows))
    if len(wrong):
        where = f"clip '{clips[wrong[0]]}'" if clips else f"place {wrong[0]}"
        raise StabenchError(
            f"{what} returned {rows[wrong[0]]} for {where}, one of {len(wrong)} values that are "
            "not finite; give a number, or raise NotMeasurable with the reason"
        )
