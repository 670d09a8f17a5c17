"""Arrow columns as numpy arrays: instants, whole numbers, yes/no, and the error when one is absent.

Instants come out as int64 microseconds since the epoch; a naive timestamp is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.errors import EngineError, nearest

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = Longs | Doubles


@dataclass(frozen=True, eq=False)
class Column:
    """Numbers with their validity.

    Attributes:
        values: float64 or int64, shape (n,); whatever stands at a null is never read.
        valid: bool, shape (n,); None means that no value is null.
        texts: what the values number, ascending by UTF-8 bytes; None: the values are themselves.
    """

    values: Numbers
    valid: Bools | None = None
    texts: pa.Array | None = None

    def take(self, rows: Longs) -> Column:
        """The values at the given positions."""
        valid = None if self.valid is None else self.valid[rows]
        return Column(self.values[rows], valid, self.texts)


def refuse_taken(outputs: Iterable[str], held: Sequence[str]) -> None:
    """An EngineError if the spine, which holds some columns, has one of the outputs already."""
    taken = [name for name in outputs if name in held]
    if taken:
        raise EngineError(f"the spine already has the output columns {taken}")


def find(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column by name, or an EngineError with the nearest names."""
    try:
        return table.column(name)
    except KeyError as error:
        close = ", ".join(nearest(name, table.column_names)) or ", ".join(table.column_names)
        text = f"the frame has no column {name!r}"
        raise EngineError(text, hint=f"nearest: {close}") from error


def micros(table: pa.Table, name: str) -> Column:
    """A timestamp column with a zone as microseconds since the epoch.

    Raises:
        EngineError: the column is absent, naive, not a timestamp, or finer than a microsecond.
    """
    column = find(table, name)
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise EngineError(
            f"{name!r} is {column.type}; asked for a timestamp with a zone",
            hint="declare the zone at the source; naive times are refused, never guessed",
        )
    try:
        utc = column.cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid as error:
        raise EngineError(f"{name!r} does not fit microseconds: {error}") from error
    return longs_of(utc.cast(pa.int64()))


def instants(table: pa.Table, name: str) -> Longs:
    """``micros`` of a column in which a null has no meaning."""
    return without_nulls(micros(table, name), name)


def longs(table: pa.Table, name: str) -> Longs:
    """A whole-number column without nulls as int64."""
    column = find(table, name)
    if not pa.types.is_integer(column.type):
        raise EngineError(f"{name!r} is {column.type}; asked for a whole number")
    return without_nulls(longs_of(column.cast(pa.int64())), name)


def flags(table: pa.Table, name: str) -> Bools:
    """A boolean column; null reads as false."""
    column = find(table, name)
    if not pa.types.is_boolean(column.type):
        raise EngineError(f"{name!r} is {column.type}; asked for a boolean")
    values: Bools = np.asarray(pc.fill_null(column, fill_value=False).to_numpy(), dtype=np.bool_)
    return values


def numbers(column: pa.ChunkedArray, name: str) -> Column:
    """Something that can be aggregated: booleans and whole numbers as int64, floats as float64."""
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return longs_of(column.cast(pa.int64()))
    if pa.types.is_floating(kind):
        wide = column.cast(pa.float64())
        valid = None if wide.null_count == 0 else np.asarray(wide.is_valid().to_numpy())
        values = pc.fill_null(wide, 0.0) if valid is not None else wide
        return Column(np.asarray(values.to_numpy(), dtype=np.float64), valid)
    raise EngineError(
        f"{name!r} is {kind}; only booleans, whole numbers and floats can be aggregated",
        hint="cast it in the view's expression",
    )


def coded(column: pa.ChunkedArray, name: str, *, texts: pa.Array | None = None) -> Column:
    """Anything whose values can be told apart: texts by their number, instants and days as int64.

    Args:
        column: n values.
        name: for messages.
        texts: the texts that there are, ascending; None: those of the column.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        return longs_of(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))
    if pa.types.is_date32(kind):
        return longs_of(column.cast(pa.int32()).cast(pa.int64()))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return numbers(column, name)
    listed = texts_of(column) if texts is None else texts
    codes = pc.index_in(column.cast(pa.large_string()), value_set=listed)
    found = longs_of(codes.cast(pa.int64()))
    return Column(found.values, found.valid, listed)


def texts_of(*columns: pa.ChunkedArray) -> pa.Array:
    """The different texts of columns, ascending by their UTF-8 bytes."""
    parts = [column.unique().cast(pa.large_string()) for column in columns]
    all_texts = pc.drop_null(pa.chunked_array(parts, pa.large_string())).unique()
    return all_texts.take(pc.array_sort_indices(all_texts))


def longs_of(column: pa.ChunkedArray) -> Column:
    """An int64 Arrow column with its validity; nulls hold 0."""
    valid = None if column.null_count == 0 else np.asarray(column.is_valid().to_numpy())
    values = pc.fill_null(column, 0) if valid is not None else column
    return Column(np.asarray(values.to_numpy(), dtype=np.int64), valid)


def without_nulls(column: Column, name: str) -> Longs:
    """The int64 values, or an EngineError that counts the nulls."""
    if column.valid is not None:
        raise EngineError(f"{name!r} has {int((~column.valid).sum())} nulls; it must have none")
    return column.values.astype(np.int64, copy=False)
