"""Whether a served value is the one that gold gives: bit for bit, or as near as sums can be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.graph.view import OutputColumn, PlainView, View
from feldspar.names import feature_column
from feldspar.spec.types import ColumnType

Bools = npt.NDArray[np.bool_]
CLOSE = 1e-9
"""Sums are added up in another order; docs of windows allow 1e-9 x sum(|x|)."""
_INEXACT = ("sum", "avg", "stddev", "variance")


def inexact(view: View) -> frozenset[str]:
    """The view's columns in which sums are."""
    if isinstance(view, PlainView):
        return frozenset()
    return frozenset(
        feature_column(view.name, one.name) for one in view.aggregates if one.function in _INEXACT
    )


def is_inexact(computed: OutputColumn) -> bool:
    """Whether a computed feature may be made of sums."""
    return computed.type is ColumnType.DOUBLE


def same(served: pa.ChunkedArray, replayed: pa.ChunkedArray, *, close: bool) -> Bools:
    """Where two columns of n values agree; null agrees with null, NaN with NaN."""
    left, right = _comparable(served, replayed)
    nulls = (_flags(pc.is_null(left)), _flags(pc.is_null(right)))
    equal = _flags(pc.fill_null(pc.equal(left, right), False))  # noqa: FBT003  the value
    if pa.types.is_floating(left.type):
        equal |= _near(_doubles(left), _doubles(right), close=close)
    return (nulls[0] & nulls[1]) | (~nulls[0] & ~nulls[1] & equal)


def _near(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64], *, close: bool) -> Bools:
    unknown = np.isnan(left) & np.isnan(right)
    if not close:
        return unknown
    with np.errstate(invalid="ignore"):
        bound = CLOSE * np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))
        near: Bools = np.abs(left - right) <= bound
    return unknown | near


def _comparable(left: pa.ChunkedArray, right: pa.ChunkedArray) -> tuple[pa.ChunkedArray, ...]:
    """Both in one type: instants and days as numbers, whole numbers of one width."""
    sides = [_plain(left), _plain(right)]
    if any(pa.types.is_floating(side.type) for side in sides):
        sides = [side.cast(pa.float64()) for side in sides]
    return tuple(sides)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).cast(pa.int64())
    return column


def _flags(column: pa.ChunkedArray) -> Bools:
    found: Bools = np.asarray(column.to_numpy(), dtype=np.bool_)
    return found.copy()


def _doubles(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = column.fill_null(0.0).to_numpy()
    return found
