"""What can be asked of a window: the functions, their needs and the types of their answers.

Functions finish from partial states that merge (see partial.py); a new function is a name here,
its needs, and its last step in ``finish``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

from feldspar.errors import EngineError, nearest

Function = Literal["count", "sum", "avg", "min", "max", "stddev", "var"]
Need = Literal["total", "low", "high", "spread"]
AsOf = Literal["known", "event"]
RequestEvent = Literal["include", "exclude"]

FUNCTIONS: tuple[Function, ...] = get_args(Function)
_NEEDS: dict[Function, frozenset[Need]] = {
    "count": frozenset(),
    "sum": frozenset({"total"}),
    "avg": frozenset({"total"}),
    "min": frozenset({"low"}),
    "max": frozenset({"high"}),
    "stddev": frozenset({"spread"}),
    "var": frozenset({"spread"}),
}


@dataclass(frozen=True)
class AggregationPlan:
    """One output column of a windowed view.

    Attributes:
        name: the output column.
        function: count, sum, avg, min, max, sample stddev or sample var.
        argument: the aggregated column; None counts events whatever they hold.
        window_micros: length N of the window, open at the old end, closed at the new one.
        default: stands where the function has no answer; a null key stays null.
    """

    name: str
    function: Function
    argument: str | None
    window_micros: int
    default: float | int | None = None

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            known = ", ".join(nearest(self.function, FUNCTIONS) or FUNCTIONS)
            raise EngineError(
                f"{self.name!r}: no function {self.function!r}", hint=f"nearest: {known}"
            )
        if self.argument is None and self.function != "count":
            raise EngineError(f"{self.name!r}: {self.function} needs a column to aggregate")
        if self.window_micros <= 0:
            raise EngineError(f"{self.name!r}: a window of {self.window_micros} us has no inside")

    @property
    def needs(self) -> frozenset[Need]:
        """The parts of the partial state that the function finishes from, besides the count."""
        return _NEEDS[self.function]


def output_type(aggregation: AggregationPlan, argument: pa.DataType | None) -> pa.DataType:
    """The Arrow type of the answer: count int64; min and max of whole numbers int64; else float64.

    A default that is no whole number makes the column float64.
    """
    if aggregation.function == "count":
        return pa.int64()
    whole = argument is not None and (
        pa.types.is_integer(argument) or pa.types.is_boolean(argument)
    )
    fits = aggregation.default is None or isinstance(aggregation.default, int)
    return pa.int64() if aggregation.function in ("min", "max") and whole and fits else pa.float64()
