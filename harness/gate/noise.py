"""The noise of a machine: one system against itself, its false alarms and what it can see. Pure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError

from stabench.harness import files
from stabench.harness.compare import paired_latency
from stabench.harness.compare.evidence import Hardware, Samples
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.verdict import Bounds, call
from stabench.harness.errors import StabenchError
from stabench.harness.schema import Strict, first_key
from stabench.harness.stats.bootstrap import block_length, wilson

SCHEMA = 1
NAME = "noise.json"


class PhaseNoise(Strict):
    """One phase. `threshold`: the least slowdown that a gate should count, as a share.

    Of `splits` of the unchanged system into old and new, `alarms` were called regressed at the
    threshold. `least_slowdown` is the smallest found in 90 % of splits, None where none up to the
    largest tried is. `spread`: standard deviation of the logs of paired ratios.
    """

    threshold: FiniteFloat = Field(gt=0)
    alarms: int
    splits: int
    low: float
    high: float
    least_slowdown: float | None
    spread: float


class Noise(Strict):
    """noise.json: one system against itself, `clips` of it, by the columns of phases."""

    schema_version: int = Field(SCHEMA, alias="schema")
    made_at: str
    system: str
    clips: int
    hardware: Hardware
    load_average: tuple[float, float, float] | None
    phases: dict[str, PhaseNoise]


def write(path: Path, noise: Noise) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, noise.model_dump(mode="json", by_alias=True))


def read(path: Path) -> Noise | None:
    """Return what the file says; None without one. Raises StabenchError for another file."""
    if not path.is_file():
        return None
    try:
        return Noise.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StabenchError(
            f"{path}: {first_key(error)}; run stabench doctor --noise again"
        ) from None


SPLITS = 400
# The interval plays no part in an alarm, so that few resamples will do.
QUICK = Sampling(resamples=20, draws=999)
FALSE_ALARMS = 0.01
LEAST = 0.01
STEP = 0.005
POWER = 0.9
SLOWDOWNS = tuple(np.round(np.geomspace(0.01, 2.0, 45), 4))


def measure_phase(
    old: Samples, new: Samples, *, tests: int, splits: int = SPLITS, seed: int = 0
) -> PhaseNoise:
    """Return the noise of a phase that ran twice, interleaved.

    `tests` is how many checks share the gate's 5 %, of which Holm's worst case is taken.

    The threshold is the smallest, in steps of half a percent, that at most 1 % of splits exceed.
    """
    logs = pair_logs(old, new)
    rng = np.random.default_rng(seed)
    sizes = np.expm1([np.median(split) for split in draw_splits(logs, splits, rng)])
    # "higher": of the two slowdowns around the quantile the one that fewer splits exceed.
    worst = float(np.quantile(sizes, 1 - FALSE_ALARMS, method="higher"))
    threshold = round(max(LEAST, float(np.ceil(worst / STEP)) * STEP), 4)
    # Other splits than those that chose the threshold, which would flatter it.
    resplits = list(draw_splits(logs, splits, rng))
    alarms = _count_alarms(resplits, 0.0, threshold, tests)
    low, high = wilson(alarms / splits, splits)
    return PhaseNoise(
        threshold=threshold,
        alarms=alarms,
        splits=splits,
        low=low,
        high=high,
        least_slowdown=_find_least_slowdown(resplits, threshold, tests),
        spread=float(np.std(logs, ddof=1)),
    )


def pair_logs(old: Samples, new: Samples) -> np.ndarray:
    """Return the log of new over old, medians of repeats [clips], in the order of the run."""
    clips = [clip for clip in new if clip in old]
    before, after = (
        np.array([np.median(samples[clip]) for clip in clips]) for samples in (old, new)
    )
    return np.log(after / before)


def draw_splits(logs: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield `count` ways in which the same run could have come out, each as logs [clips].

    Blocks of clips are drawn again, and old and new are exchanged in half of them by chance.
    """
    n = len(logs)
    length = block_length(logs)
    blocks = -(-n // length)
    for _ in range(count):
        starts = rng.integers(n, size=blocks)
        index = (starts[:, None] + np.arange(length)) % n
        # The system is the same on both sides: which is old and which is new means nothing.
        signs = rng.choice((-1.0, 1.0), size=(blocks, 1))
        yield (signs * logs[index]).ravel()[:n]


def _count_alarms(splits: list[np.ndarray], slowdown: float, threshold: float, tests: int) -> int:
    return sum(raises_alarm(logs + np.log1p(slowdown), threshold, tests) for logs in splits)


def raises_alarm(logs: np.ndarray, threshold: float, tests: int) -> bool:
    """Return whether the gate's rule calls these logs of ratios [clips] regressed."""
    clips = [str(index) for index in range(len(logs))]
    old: Samples = dict.fromkeys(clips, (10**9,))
    new: Samples = {
        clip: (round(1e9 * ratio),) for clip, ratio in zip(clips, np.exp(logs), strict=True)
    }
    change = paired_latency.measure_change(old, new, QUICK)
    if isinstance(change, str):
        return False
    bounds = Bounds(threshold, threshold)
    # The smallest of all p-values is multiplied by their number (Holm): no check has it worse.
    p = min(1.0, tests * change.p_value)
    return call(change, p, "lower", bounds, relative=True).word == "regressed"


def _find_least_slowdown(splits: list[np.ndarray], threshold: float, tests: int) -> float | None:
    """Return the smallest slowdown tried that is called in 90 % of splits, by halving."""
    low, high = -1, len(SLOWDOWNS)
    while high - low > 1:
        middle = (low + high) // 2
        seen = _count_alarms(splits, SLOWDOWNS[middle], threshold, tests)
        low, high = (low, middle) if seen >= POWER * len(splits) else (middle, high)
    return float(SLOWDOWNS[high]) if high < len(SLOWDOWNS) else None
