"""What can be asked of a window: the functions, their needs and the types of their answers.

Functions finish from partial states that merge (see partial.py); a new function is a name here,
its needs, and its last step in ``finish``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

from feldspar.errors import EngineError, nearest

MergedFunction = Literal["count", "sum", "avg", "min", "max", "stddev", "var"]
ListedFunction = Literal["first", "last", "approx_distinct", "approx_quantile"]
Function = Literal[MergedFunction, ListedFunction]
Need = Literal["total", "low", "high", "spread"]
AsOf = Literal["known", "event"]
RequestEvent = Literal["include", "exclude"]
Gives = Literal["value", "group"]

MERGED: tuple[MergedFunction, ...] = get_args(MergedFunction)
LISTED: tuple[ListedFunction, ...] = get_args(ListedFunction)
FUNCTIONS: tuple[Function, ...] = (*MERGED, *LISTED)
CODED = ("count", "first", "last", "approx_distinct")
"""Functions that take texts, instants and days too."""
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
        function: see ``FUNCTIONS``; ``stddev`` and ``var`` are those of a sample.
        argument: the aggregated column; None counts events whatever they hold.
        window_micros: length N of the window, open at the old end, closed at the new one.
        default: stands where the function has no answer; a null key stays null.
        hop_micros: edges are rounded down to multiples of it; 0: exact.
        place: which of the first, the last or the greatest groups, from 1.
        quantile: which quantile, 0 to 1.
        by: column of the groups of which the ``place``-th greatest by the function is meant;
            equal ones in the order of their text.
        gives: of that group its function's answer, or the group itself.
    """

    name: str
    function: Function
    argument: str | None
    window_micros: int
    default: float | int | None = None
    hop_micros: int = 0
    place: int = 1
    quantile: float = 0.5
    by: str | None = None
    gives: Gives = "value"

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
        if self.hop_micros < 0 or (self.hop_micros and self.window_micros % self.hop_micros):
            raise EngineError(
                f"{self.name!r}: a hop of {self.hop_micros} us does not divide the window of "
                f"{self.window_micros} us"
            )
        if self.place < 1 or not 0 <= self.quantile <= 1:
            raise EngineError(f"{self.name!r}: no place {self.place}, quantile {self.quantile}")
        if self.by is not None and self.function not in MERGED:
            raise EngineError(f"{self.name!r}: groups cannot be ranked by {self.function}")

    @property
    def needs(self) -> frozenset[Need]:
        """The parts of the partial state that the function finishes from, besides the count."""
        return _NEEDS[self.function]

    @property
    def is_merged(self) -> bool:
        """Whether partial states answer it; else the values of the window are gone through."""
        return self.by is None and self.function in MERGED

    @property
    def columns(self) -> tuple[str, ...]:
        """The aggregated columns that it reads."""
        return tuple(name for name in (self.argument, self.by) if name is not None)


def output_type(
    aggregation: AggregationPlan, argument: pa.DataType | None, by: pa.DataType | None = None
) -> pa.DataType:
    """The Arrow type of the answer.

    Counts are int64, minima and maxima of whole numbers too; first, last and a group have the type
    of what they name; all else is float64. A default that is no whole number makes float64.
    """
    if aggregation.gives == "group":
        return by
    if aggregation.function in ("count", "approx_distinct"):
        return pa.int64()
    if aggregation.function in ("first", "last") and not isinstance(aggregation.default, float):
        return argument
    whole = argument is not None and (
        pa.types.is_integer(argument) or pa.types.is_boolean(argument)
    )
    fits = aggregation.default is None or isinstance(aggregation.default, int)
    return pa.int64() if aggregation.function in ("min", "max") and whole and fits else pa.float64()
