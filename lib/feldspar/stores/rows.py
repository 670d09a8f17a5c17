"""Packed values of the online store: layouts of all views, and the rows of a plain one.

A value starts with the id of its layout and the epoch of its push; what follows orders as bytes the
way it orders as numbers, so that the server can tell newer from older without knowing features.
Values of windowed views: ``stores.events``. What a number means: ``compute.services.online``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from feldspar.errors import StoreError
from feldspar.graph.view import PlainView, View
from feldspar.names import EVENTS_PACKING, fingerprint
from feldspar.spec.types import ColumnType
from feldspar.stores.columns import bitmap, set_bits

ID_BYTES = 8
EPOCH_BYTES = 8
RANK_BYTES = 32
"""event_time, known_time, batch, position: what makes a row newer than another."""
HEADER_BYTES = ID_BYTES + EPOCH_BYTES

PUSHED_BATCH = -1
"""Batch of a row that came over HTTP and is not in gold yet: gold's own copy is the newer one."""

_SIGN = 1 << 63
_PACKING = {"row": "row", "events": EVENTS_PACKING}
"""Kind of layout to how it is packed; another way of packing gets another name."""
_EPOCH = struct.Struct(">Q")
_FRAME = struct.Struct(">I5Q")
_SLOTS: Mapping[ColumnType, str] = {
    ColumnType.BOOLEAN: "?",
    ColumnType.INT: "i",
    ColumnType.BIGINT: "q",
    ColumnType.DOUBLE: "d",
    ColumnType.STRING: "I",
    ColumnType.TIMESTAMP: "q",
    ColumnType.DATE: "i",
}


@dataclass(frozen=True)
class Layout:
    """What a value of one view holds, in order.

    Attributes:
        view: its name, for messages.
        kind: ``row`` of a plain view, or ``events`` of a windowed one.
        columns: name and type of what is stored beside the system columns.
    """

    view: str
    kind: Literal["row", "events"]
    columns: tuple[tuple[str, ColumnType], ...]

    @cached_property
    def id(self) -> bytes:
        """Eight bytes that differ whenever the columns, their order, types or packing do."""
        text = ",".join(
            [_PACKING[self.kind], *(f"{name}:{kind.value}" for name, kind in self.columns)]
        )
        return bytes.fromhex(fingerprint(text))

    @cached_property
    def places(self) -> Mapping[str, tuple[int, ColumnType]]:
        """Column to its place among the columns and its type."""
        return {name: (place, kind) for place, (name, kind) in enumerate(self.columns)}

    @cached_property
    def slots(self) -> struct.Struct:
        """The fixed part of a row's body."""
        return struct.Struct(">" + "".join(_SLOTS[kind] for _, kind in self.columns))


@dataclass(frozen=True)
class StoredRow:
    """One row of a plain view; all times in microseconds, a date in days since the epoch.

    ``visible_at`` is max(event_time, known_time + serving_delay).
    """

    event_time: int
    known_time: int
    batch: int
    position: int
    visible_at: int
    values: Mapping[str, Any]

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """The newest row of an entity has the highest."""
        return (self.event_time, self.known_time, self.batch, self.position)


def layout_of(view: View) -> Layout:
    """The layout of a view's values.

    >>> Layout("v", "row", (("age", ColumnType.INT),)).id.hex()
    '0b7620827ddbb014'
    """
    if isinstance(view, PlainView):
        return Layout(view.name, "row", tuple(view.feature_types().items()))
    return Layout(view.name, "events", tuple((one.name, one.type) for one in view.columns))


def pack_rows(layout: Layout, rows: Sequence[StoredRow], *, epoch: int) -> bytes:
    """One value from the rows of one entity, oldest ``visible_at`` first."""
    parts = [layout.id, _EPOCH.pack(epoch)]
    for row in rows:
        body = _pack_body(layout, row.values)
        order = (value + _SIGN for value in (*row.rank, row.visible_at))
        parts += [_FRAME.pack(len(body), *order), body]
    return b"".join(parts)


def unpack_rows(layout: Layout, value: bytes) -> tuple[StoredRow, ...]:
    """The rows of ``pack_rows``.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """
    check_layout(layout, value)
    rows = []
    at = HEADER_BYTES
    while at < len(value):
        length, *order = _FRAME.unpack_from(value, at)
        event_time, known_time, batch, position, visible_at = (one - _SIGN for one in order)
        at += _FRAME.size
        values = _unpack_body(layout, value, at)
        at += length
        rows.append(StoredRow(event_time, known_time, batch, position, visible_at, values))
    return tuple(rows)


def epoch_bytes(epoch: int) -> bytes:
    """The epoch of a push as it stands behind the layout's id."""
    return _EPOCH.pack(epoch)


def epoch_of(value: bytes) -> int:
    """The epoch of the push that packed a value."""
    epoch: int = _EPOCH.unpack_from(value, ID_BYTES)[0]
    return epoch


def check_layout(layout: Layout, value: bytes) -> None:
    """Refuses a value of another layout.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """
    if value[:ID_BYTES] != layout.id:
        raise StoreError(
            f"the online value of view {layout.view} has layout {value[:ID_BYTES].hex()}, "
            f"its definition says {layout.id.hex()}: it was packed by another definition",
            hint="feldspar apply pushes it anew; a serving process of the old conf/ must restart",
        )


def _pack_body(layout: Layout, values: Mapping[str, Any]) -> bytes:
    ordered = [values[name] for name, _ in layout.columns]
    slots: list[Any] = []
    texts = []
    for value, (_, kind) in zip(ordered, layout.columns, strict=True):
        if kind is ColumnType.STRING:
            text = b"" if value is None else value.encode()
            texts.append(text)
            slots.append(len(text))
        else:
            slots.append(0 if value is None else value)
    present = bitmap([value is not None for value in ordered])
    return b"".join([present, layout.slots.pack(*slots), *texts])


def _unpack_body(layout: Layout, value: bytes, at: int) -> dict[str, Any]:
    size = len(layout.columns)
    present = set_bits(value, at, size)
    at += (size + 7) // 8
    slots = layout.slots.unpack_from(value, at)
    at += layout.slots.size
    found: dict[str, Any] = {}
    for (name, kind), slot, held in zip(layout.columns, slots, present, strict=True):
        if kind is ColumnType.STRING:
            found[name] = value[at : at + slot].decode() if held else None
            at += slot
        else:
            found[name] = slot if held else None
    return found
