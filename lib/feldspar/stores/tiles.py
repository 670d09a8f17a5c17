"""Packed tiles of one entity: columns of partial states by hop, and the events that are in none.

The head of a value is that of packed events, so the server tells newer from older alike. What
states mean: ``compute.windows.tiles``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from feldspar.graph.tiling import Series, tiling
from feldspar.graph.view import View, WindowedView
from feldspar.names import EVENTS_PACKING, fingerprint
from feldspar.spec.types import ColumnType
from feldspar.stores.columns import Many, pack_column, read_many
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events
from feldspar.stores.rows import (
    HEADER_BYTES,
    Layout,
    StoredRow,
    check_layout,
    epoch_bytes,
    layout_of,
    unpack_rows,
)

_SIGN = 1 << 63
_VERSION = struct.Struct(">Q")
_PLACES_AT = HEADER_BYTES + _VERSION.size
_PLACE = struct.Struct("<I")
_DOUBLE = np.dtype("<f8")
_BIGINT = ColumnType.BIGINT


@dataclass(frozen=True)
class TileLayout(Layout):
    """What a value of a tiled view holds: ``columns`` are those of its events.

    Attributes:
        series: the tiles, by ascending hop.
    """

    series: tuple[Series, ...] = ()

    @cached_property
    def id(self) -> bytes:
        """Eight bytes that differ whenever hops, parts, columns or the packing do."""
        parts = [f"{one.hop}:{part.name}" for one in self.series for part in one.parts]
        columns = [f"{name}:{kind.value}" for name, kind in self.columns]
        return bytes.fromhex(fingerprint(",".join(["tiles", *parts, EVENTS_PACKING, *columns])))

    @cached_property
    def kinds(self) -> tuple[tuple[ColumnType, ...], ...]:
        """The types of each series' parts."""
        return tuple(tuple(part.type for part in one.parts) for one in self.series)


def value_layout(view: View) -> Layout:
    """The layout of a view's values, whatever it is."""
    plain = layout_of(view)
    series = tiling(view) if isinstance(view, WindowedView) else ()
    return TileLayout(view.name, "events", plain.columns, series) if series else plain


def unpack(layout: Layout, value: bytes) -> tuple[StoredRow, ...] | PackedEvents | PackedTiles:
    """What a value holds: rows, events, or tiles and events.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """
    if isinstance(layout, TileLayout):
        return PackedTiles(layout, value)
    return unpack_rows(layout, value) if layout.kind == "row" else PackedEvents(layout, value)


@dataclass(frozen=True)
class StoredSeries:
    """The tiles of one hop that have events, ascending, and a column for each part."""

    tiles: Sequence[int]
    columns: Sequence[Sequence[Any]]


def pack_tiles(
    layout: TileLayout,
    series: Sequence[StoredSeries],
    events: StoredEvents,
    *,
    epoch: int,
    version: int,
) -> bytes:
    """One value from the tiles and the other events of one entity.

    Args:
        layout: of the view.
        series: for each of the layout's.
        events: those that are in no tile.
        epoch, version: as in ``pack_events``.
    """
    blocks = [_block(one, of) for one, of in zip(series, layout.kinds, strict=True)]
    blocks.append(pack_events(layout, events, epoch=epoch, version=version))
    at = _PLACES_AT + _PLACE.size * len(blocks)
    places = []
    for block in blocks:
        places.append(_PLACE.pack(at))
        at += len(block)
    head = [layout.id, epoch_bytes(epoch), _VERSION.pack(version + _SIGN)]
    return b"".join([*head, *places, *blocks])


def _block(series: StoredSeries, kinds: Sequence[ColumnType]) -> bytes:
    columns = [pack_column(series.tiles, ColumnType.BIGINT)]
    columns += [
        pack_column(column, kind) for column, kind in zip(series.columns, kinds, strict=True)
    ]
    at = _PLACE.size * (1 + len(columns))
    places = [_PLACE.pack(len(series.tiles))]
    for column in columns:
        places.append(_PLACE.pack(at))
        at += len(column)
    return b"".join([*places, *columns])


class PackedTiles:
    """A packed value, decoded column by column when one is asked for.

    Attributes:
        events: those that are in no tile.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """

    __slots__ = ("_layout", "_value", "events")

    def __init__(self, layout: TileLayout, value: bytes) -> None:
        check_layout(layout, value)
        self._layout, self._value = layout, value
        self.events = PackedEvents(layout, value[self._place(len(layout.series)) :])

    def series(self, place: int) -> PackedSeries:
        """The tiles of a series."""
        kinds = self._layout.kinds[place]
        return PackedSeries(self._value, self._place(place), kinds)

    def _place(self, number: int) -> int:
        place: int = _PLACE.unpack_from(self._value, _PLACES_AT + _PLACE.size * number)[0]
        return place


class PackedSeries:
    """The tiles of one series inside a value."""

    __slots__ = ("_at", "_kinds", "_value", "count")

    def __init__(self, value: bytes, at: int, kinds: Sequence[ColumnType]) -> None:
        self._value, self._at, self._kinds = value, at, kinds
        self.count: int = _PLACE.unpack_from(value, at)[0]

    def tiles(self) -> Many:
        """Which tiles, ascending."""
        return self._read(0, _BIGINT)

    def column(self, place: int) -> Many:
        """The states of a part."""
        return self._read(place + 1, self._kinds[place])

    def doubles(self, rows: int) -> npt.NDArray[np.float64]:
        """The states of the first ``rows`` parts, doubles without nulls: a row each, undecoded."""
        # columns of one length lie one behind the other, each behind the byte that tells of nulls
        at = self._at + self._offset(1) + 1 if rows else 0
        return np.ndarray((rows, self.count), _DOUBLE, self._value, at, (8 * self.count + 1, 8))

    def _read(self, number: int, kind: ColumnType) -> Many:
        return read_many(self._value, self._at + self._offset(number), self.count, kind)

    def _offset(self, number: int) -> int:
        offset: int = _PLACE.unpack_from(self._value, self._at + _PLACE.size * (number + 1))[0]
        return offset
