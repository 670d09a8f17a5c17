"""Many entities' rows of a plain view packed at once: the same bytes as ``stores.rows`` makes.

One row an entity, columns of fixed width; numpy lays all values side by side and they are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.spec.types import ColumnType
from feldspar.stores.rows import Layout

Longs = npt.NDArray[np.int64]
_SIGN = np.uint64(1 << 63)
_FIXED = {
    ColumnType.BOOLEAN: "?",
    ColumnType.INT: ">i4",
    ColumnType.BIGINT: ">i8",
    ColumnType.DOUBLE: ">f8",
    ColumnType.TIMESTAMP: ">i8",
    ColumnType.DATE: ">i4",
}
_WHOLE = {ColumnType.TIMESTAMP: pa.int64(), ColumnType.DATE: pa.int32()}


@dataclass(frozen=True)
class Clocks:
    """Of n rows, in microseconds; see ``StoredRow``."""

    event_time: Longs
    known_time: Longs
    batch: Longs
    position: Longs
    visible_at: Longs

    def take(self, rows: Longs) -> Clocks:
        """Those of some rows."""
        columns = (self.event_time, self.known_time, self.batch, self.position, self.visible_at)
        return Clocks(*(column[rows] for column in columns))


def has_fixed_width(layout: Layout) -> bool:
    """Whether ``pack_each`` packs it: no column is text."""
    return layout.kind == "row" and all(kind in _FIXED for _, kind in layout.columns)


def pack_each(
    layout: Layout, columns: Sequence[pa.Array], clocks: Clocks, epoch: int
) -> list[bytes]:
    """One value for each of n rows, byte for byte that of ``pack_rows``.

    Args:
        layout: with columns of fixed width alone.
        columns: of the layout, in its order, n long; timestamps in microseconds.
        clocks: of the rows.
        epoch: of the push.
    """
    count, flags = len(clocks.event_time), (len(layout.columns) + 7) // 8
    fields = [("id", "V8"), ("epoch", ">u8"), ("length", ">u4"), ("order", ">u8", (5,))]
    fields += [("present", "u1", (flags,))] if flags else []
    slots = [(f"c{place}", _FIXED[kind]) for place, (_, kind) in enumerate(layout.columns)]
    packed = np.zeros(count, dtype=np.dtype([*fields, *slots]))
    packed["id"] = np.void(layout.id)
    packed["epoch"] = epoch
    packed["length"] = flags + layout.slots.size
    order = (clocks.event_time, clocks.known_time, clocks.batch, clocks.position, clocks.visible_at)
    for place, column in enumerate(order):
        packed["order"][:, place] = column.view(np.uint64) ^ _SIGN
    present = np.ones((count, len(layout.columns)), dtype=np.bool_)
    for place, (column, (_, kind)) in enumerate(zip(columns, layout.columns, strict=True)):
        if column.null_count:
            present[:, place] = column.is_valid().to_numpy(zero_copy_only=False)
        packed[f"c{place}"] = _numbers(column, kind)
    if flags:
        packed["present"] = np.packbits(present, axis=1)
    whole, size = packed.tobytes(), packed.dtype.itemsize
    return [whole[at : at + size] for at in range(0, count * size, size)]


def _numbers(column: pa.Array, kind: ColumnType) -> npt.NDArray[np.generic]:
    if kind in _WHOLE:
        column = column.cast(_WHOLE[kind])
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0).cast(column.type))
    found: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return found
