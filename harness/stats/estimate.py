"""One number with its 95 % interval, or the reason why there is none."""

from typing import Any, NamedTuple

import numpy as np

from stabench.harness.errors import StabenchError
from stabench.harness.stats.bootstrap import tails


class Estimate(NamedTuple):
    """`value` with its 95 % interval over `n` clips; without a value, `reason` says why.

    An interval may be missing where a value is not (one clip, a single number for a whole set).
    `p_value` is of a test, for the columns that have one, that there is no difference.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None
    p_value: float | None = None

    @classmethod
    def missing(cls, reason: str, n: int = 0) -> "Estimate":
        """What could not be measured, and why."""
        return cls(None, n=n, reason=reason)

    def scaled(self, factor: float) -> "Estimate":
        """The same in another unit (nanoseconds to milliseconds: 1e-6).

        >>> Estimate(4.0, 3.0, 6.0, n=9).scaled(0.5)[:4]
        (2.0, 1.5, 3.0, 9)
        """
        value, low, high = (None if end is None else end * factor for end in self[:3])
        return self._replace(value=value, low=low, high=high)

    def to_json(self) -> dict[str, Any]:
        """The cell of metrics.json: value, low, high, n; or value null, n, reason."""
        if self.value is None:
            return {"value": None, "n": self.n, "reason": self.reason}
        cell: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
        }
        cell |= {"reason": self.reason} if self.reason else {}
        return cell | ({} if self.p_value is None else {"p_value": self.p_value})

    @classmethod
    def from_json(cls, cell: dict[str, Any]) -> "Estimate":
        """The inverse of `to_json`. Raises StabenchError for a cell of another shape."""
        strange = set(cell) - set(cls._fields)
        if strange or "value" not in cell:
            raise StabenchError(f"metrics.json: cell {cell} is not value, low, high, n, reason")
        return cls(**cell)


def ratio(
    numerators: np.ndarray, denominators: np.ndarray, counts: np.ndarray, units: int | None = None
) -> Estimate:
    """Sum over sum of per-clip values [N], resampled by clip: `counts` [B, N] of each replicate.

    `units` are the things drawn, where they are not the clips. Word error rate is errors over
    words; a share of a ceiling is recall over recall. Without anything in the denominator there is
    no ratio; its interval skips such replicates.

    One error in 4 words and none in 2, and what two clips drawn from these two can be:

    >>> counts = np.array([[1, 1], [1, 1], [2, 0], [0, 2]])
    >>> rate = ratio(np.array([1, 0]), np.array([4, 2]), counts)
    >>> round(rate.value, 4), rate.n
    (0.1667, 2)
    """
    n, whole = len(denominators), float(np.sum(denominators))
    if not whole:
        return Estimate.missing("nothing to divide by: the denominator is 0", n)
    below = counts @ denominators
    samples = (counts @ numerators)[below > 0] / below[below > 0]
    low, high = np.quantile(samples, tails(units or n))
    return Estimate(float(np.sum(numerators)) / whole, float(low), float(high), n)
