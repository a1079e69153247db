"""One number with its 95 % interval, or the reason why there is none.

Made by the statistics, stored in metrics.json, shown in tables: one type all the way.
"""

from functools import cache
from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """`value` with its 95 % interval over `n` clips; without a value, `reason` says why.

    An interval may be missing where a value is not (one clip, a single number for a whole set).
    `p_value` is of a test, for the columns that have one, that there is no difference; `sd` the
    standard deviation of single clips, where one is shown.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None
    p_value: float | None = None
    sd: float | None = None

    @classmethod
    def missing(cls, reason: str, n: int = 0) -> "Estimate":
        """Return what could not be measured, and why."""
        return cls(None, n=n, reason=reason)

    def scaled(self, factor: float) -> "Estimate":
        """Return the same in another unit (nanoseconds to milliseconds: 1e-6).

        >>> Estimate(4.0, 3.0, 6.0, n=9).scaled(0.5)[:4]
        (2.0, 1.5, 3.0, 9)
        """
        ends = (self.value, self.low, self.high, self.sd)
        value, low, high, sd = (None if end is None else end * factor for end in ends)
        return self._replace(value=value, low=low, high=high, sd=sd)

    def negated(self) -> "Estimate":
        """Return B minus A of A minus B.

        >>> Estimate(4.0, 3.0, 6.0, n=9).negated()[:4]
        (-4.0, -6.0, -3.0, 9)
        """
        value, low, high = (None if end is None else -end for end in self[:3])
        return self._replace(value=value, low=high, high=low)

    def to_json(self) -> dict[str, Any]:
        """Return the cell of a JSON file: value, low, high, n; or value null, n, reason."""
        if self.value is None:
            return {"value": None, "n": self.n, "reason": self.reason}
        cell: dict[str, Any] = {name: getattr(self, name) for name in ("value", "low", "high", "n")}
        rest = {name: getattr(self, name) for name in ("reason", "p_value", "sd")}
        return cell | {name: part for name, part in rest.items() if part is not None}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
        """Let models hold it: a strict object in JSON, as `to_json` writes it."""
        from pydantic_core import core_schema

        stored = core_schema.no_info_after_validator_function(
            lambda cell: cls(**dict(cell)), handler.generate_schema(_cell_record())
        )
        return core_schema.json_or_python_schema(
            json_schema=stored,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), stored]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda estimate: estimate.to_json()
            ),
        )


@cache
def _cell_record() -> type:
    """Return the model of a stored cell; made late, since workers go without pydantic."""
    from pydantic import Field, FiniteFloat

    from stabench.harness.schema import Strict

    class CellRecord(Strict):
        """One number; `value` is null where there is none, and `reason` says why.

        `p_value` is by permutation, that both sets come from one distribution; `sd` the standard
        deviation of single clips.
        """

        value: FiniteFloat | None
        low: FiniteFloat | None = None
        high: FiniteFloat | None = None
        n: int = 0
        reason: str | None = None
        p_value: float | None = Field(None, gt=0, le=1)
        sd: FiniteFloat | None = None

    return CellRecord
