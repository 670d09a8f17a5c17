"""Partial states of one aggregated column: made of ranges of rows, merged, finished.

Merging two states gives the state of both sets of rows; nothing is ever taken out of a state.
A NaN is a value and spreads as in IEEE arithmetic; a null is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from feldspar.compute.columns import Bools, Column, Longs, Numbers
from feldspar.compute.windows import moments
from feldspar.compute.windows.functions import AggregationPlan, Need
from feldspar.compute.windows.moments import BLOCK, LONG, Moments, block_bounds


@dataclass(frozen=True, eq=False)
class Partial:
    """States of n sets of rows; a part that no function needs is None.

    Attributes:
        count: int64, rows (or non-null values) in each set.
        total: float64 sums.
        low, high: float64 or int64; the greatest (least) number there is where the set is empty.
        spread: count, mean and M2.
    """

    count: Longs
    total: Numbers | None
    low: Numbers | None
    high: Numbers | None
    spread: Moments | None

    def merge(self, other: Partial) -> Partial:
        """The state of both sets together, position by position."""
        return Partial(
            self.count + other.count,
            _both(np.add, self.total, other.total),
            _both(np.minimum, self.low, other.low),
            _both(np.maximum, self.high, other.high),
            self.spread.merge(other.spread) if self.spread and other.spread else None,
        )

    def take(self, rows: Longs) -> Partial:
        """The states at the given positions."""
        return Partial(
            self.count[rows],
            None if self.total is None else self.total[rows],
            None if self.low is None else self.low[rows],
            None if self.high is None else self.high[rows],
            None if self.spread is None else self.spread.take(rows),
        )

    def absorb(self, rows: Longs, other: Partial) -> None:
        """Merge ``other`` into the states at ``rows`` (each at most once), in place."""
        merged = self.take(rows).merge(other)
        self.count[rows] = merged.count
        for mine, new in ((self.total, merged.total), (self.low, merged.low)):
            if mine is not None and new is not None:
                mine[rows] = new
        if self.high is not None and merged.high is not None:
            self.high[rows] = merged.high
        if self.spread is not None and merged.spread is not None:
            self.spread.put(rows, merged.spread)


def of_ranges(column: Column, needs: frozenset[Need], start: Longs, stop: Longs) -> Partial:
    """The state of column[start:stop] for each range; a range that ends before it starts is empty.

    Cheapest when ``start`` ascends.
    """
    stop = np.maximum(start, stop)
    least, greatest = _limits(column.values)
    return Partial(
        _counts(column, start, stop),
        _reduce(np.add, _filled(column, 0).astype(np.float64), start, stop, 0.0)
        if "total" in needs
        else None,
        _reduce(np.minimum, _filled(column, greatest), start, stop, greatest)
        if "low" in needs
        else None,
        _reduce(np.maximum, _filled(column, least), start, stop, least)
        if "high" in needs
        else None,
        moments.of_ranges(moments.single(column), start, stop) if "spread" in needs else None,
    )


def finish(partial: Partial, aggregation: AggregationPlan) -> tuple[Numbers, Bools]:
    """The answers and whether there is one, before the default is put in."""
    count, some = partial.count, partial.count > 0
    match aggregation.function:
        case "count":
            return count, np.ones(len(count), dtype=np.bool_)
        case "sum":
            return _present(partial.total), some
        case "avg":
            return _present(partial.total) / np.maximum(count, 1), some
        case "min":
            return _present(partial.low), some
        case "max":
            return _present(partial.high), some
        case "var" | "stddev":
            spread = partial.spread if partial.spread is not None else moments.empty(len(count))
            variance = spread.m2 / np.maximum(count - 1, 1)
            return (variance if aggregation.function == "var" else np.sqrt(variance)), count > 1
        case _:
            raise AssertionError(f"{aggregation.function} is answered by listed.py")


def _present(part: Numbers | None) -> Numbers:
    if part is None:
        raise AssertionError("the needs of the function were not folded")
    return part


def _both(merge: np.ufunc, left: Numbers | None, right: Numbers | None) -> Numbers | None:
    return None if left is None or right is None else merge(left, right)


def _limits(values: Numbers) -> tuple[int | float, int | float]:
    if values.dtype == np.int64:
        return np.iinfo(np.int64).min, np.iinfo(np.int64).max
    return -np.inf, np.inf


def _filled(column: Column, stand_in: int | float) -> Numbers:
    if column.valid is None:
        return column.values
    return np.where(column.valid, column.values, column.values.dtype.type(stand_in))


def _counts(column: Column, start: Longs, stop: Longs) -> Longs:
    if column.valid is None:
        return stop - start
    # whole numbers: the difference of two running counts is exact
    before = np.concatenate(([0], np.cumsum(column.valid, dtype=np.int64)))
    return before[stop] - before[start]


def _reduce(
    fold: np.ufunc, values: Numbers, start: Longs, stop: Longs, nothing: int | float
) -> Numbers:
    """Fold over values[start:stop] for each range; long ranges go through blocks of 64."""
    result = cast(Numbers, np.full(len(start), nothing, dtype=values.dtype))
    rows = np.flatnonzero(stop > start)
    start, stop = start[rows], stop[rows]
    if int((stop - start).sum()) <= LONG * len(rows):
        if len(rows):
            ends = np.column_stack((start, stop)).ravel()
            result[rows] = fold.reduceat(np.append(values, values[-1:]), ends)[::2]
        return result
    first, last, head, tail = block_bounds(start, stop)
    whole = len(values) // BLOCK * BLOCK
    blocks = fold.reduceat(values[:whole], np.arange(0, whole, BLOCK))
    body = _reduce(fold, blocks, first, last, nothing)
    edges = fold(
        _reduce(fold, values, start, head, nothing), _reduce(fold, values, tail, stop, nothing)
    )
    result[rows] = fold(edges, body)
    return result
