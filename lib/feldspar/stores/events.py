"""Packed events of one entity: whole columns sorted by time, read only as far as a fold needs them.

A value says of itself whether each event has one version and by when all were known; a fold may
then take its windows as slices of the columns. What a window counts: ``compute.windows.online``.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from feldspar.spec.types import ColumnType
from feldspar.stores.columns import pack_column, read_column
from feldspar.stores.rows import HEADER_BYTES, ID_BYTES, Layout, check_layout, epoch_bytes, epoch_of

_SIGN = 1 << 63
_VERSION = struct.Struct(">Q")
_FACTS = struct.Struct("<BIqqq")
_OFFSET = struct.Struct("<I")
_SPAN = struct.Struct("<II")
_FACTS_AT = HEADER_BYTES + _VERSION.size
_OFFSETS_AT = _FACTS_AT + _FACTS.size
_SETTLED, _TEXT_IDS = 1, 2
_LONG = struct.Struct("<q")
# an enumeration looks its members up: too slow for what is read at every request
_BIGINT, _BOOLEAN, _STRING = ColumnType.BIGINT, ColumnType.BOOLEAN, ColumnType.STRING
_SYSTEM = 5
"""Columns behind the view's own: event_id, known_time, batch, position, retracted."""


@dataclass(frozen=True)
class StoredEvents:
    """The recent events of one entity, column by column, n of each.

    ``retracted`` versions say that the event is no longer this entity's.

    Attributes:
        forgotten: the greatest known_time of versions that are not kept any more, microseconds: an
            added version that was known no later may be hidden by one of them.
    """

    event_id: Sequence[int | str | None]
    event_time: Sequence[int]
    known_time: Sequence[int]
    batch: Sequence[int]
    position: Sequence[int]
    retracted: Sequence[bool]
    arguments: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    forgotten: int = -_SIGN

    def __len__(self) -> int:
        return len(self.event_time)

    def take(self, rows: Sequence[int]) -> StoredEvents:
        """The events at the given places."""
        return StoredEvents(
            [self.event_id[row] for row in rows],
            [self.event_time[row] for row in rows],
            [self.known_time[row] for row in rows],
            [self.batch[row] for row in rows],
            [self.position[row] for row in rows],
            [self.retracted[row] for row in rows],
            {name: [values[row] for row in rows] for name, values in self.arguments.items()},
            self.forgotten,
        )

    def joined(self, other: StoredEvents) -> StoredEvents:
        """These events, then the others."""
        return StoredEvents(
            [*self.event_id, *other.event_id],
            [*self.event_time, *other.event_time],
            [*self.known_time, *other.known_time],
            [*self.batch, *other.batch],
            [*self.position, *other.position],
            [*self.retracted, *other.retracted],
            {name: [*values, *other.arguments[name]] for name, values in self.arguments.items()},
            max(self.forgotten, other.forgotten),
        )

    def forgetting(self, known_time: int) -> StoredEvents:
        """The same events, when versions known up to then were dropped."""
        return replace(self, forgotten=max(self.forgotten, known_time))

    def in_order(self) -> StoredEvents:
        """Sorted by (event_time, known_time, batch, position), as packed values hold them."""
        ages = list(zip(self.event_time, self.known_time, self.batch, self.position, strict=True))
        rows = sorted(range(len(ages)), key=ages.__getitem__)
        return self if rows == list(range(len(ages))) else self.take(rows)

    @property
    def settled(self) -> bool:
        """Whether every event has one version and none is retracted."""
        times_seen = Counter(one for one in self.event_id if one is not None)
        return not any(self.retracted) and len(times_seen) == times_seen.total()


def pack_events(layout: Layout, events: StoredEvents, *, epoch: int, version: int) -> bytes:
    """One value from all events of one entity.

    Args:
        layout: of the view.
        events: what is kept of the entity, in any order.
        epoch: of the push; a higher one wins whatever the version.
        version: of the gold table that the events were read from; the higher one wins.
    """
    events = events.in_order()
    texts = any(isinstance(one, str) for one in events.event_id)
    columns = [pack_column(events.arguments[name], kind) for name, kind in layout.columns]
    columns += [
        pack_column(events.event_id, ColumnType.STRING if texts else ColumnType.BIGINT),
        *(
            pack_column(numbers, ColumnType.BIGINT)
            for numbers in (events.known_time, events.batch, events.position)
        ),
        pack_column(events.retracted, ColumnType.BOOLEAN),
    ]
    times = pack_column(events.event_time, ColumnType.BIGINT)
    at = _OFFSETS_AT + _OFFSET.size * len(columns) + len(times)
    offsets = []
    for column in columns:
        offsets.append(_OFFSET.pack(at))
        at += len(column)
    head = [layout.id, epoch_bytes(epoch), _VERSION.pack(version + _SIGN), _facts(events, texts)]
    return b"".join([*head, *offsets, times, *columns])


def _facts(events: StoredEvents, texts: object) -> bytes:
    flags = (_SETTLED if events.settled else 0) | (_TEXT_IDS if texts else 0)
    known = zip(events.known_time, events.event_time, strict=True)
    # a clock as far apart as the type allows must not stop a push: such a lag is never short
    lag = max((late - time for late, time in known), default=0)
    last = max(events.known_time, default=0)
    forgotten = max(-_SIGN, min(events.forgotten, _SIGN - 1))
    return _FACTS.pack(flags, len(events), last, max(-_SIGN, min(lag, _SIGN - 1)), forgotten)


class Stamp(NamedTuple):
    """Whose value it is: its layout's id, the epoch of its push, the version of gold it goes to."""

    layout: bytes
    epoch: int
    version: int


def stamp_of(value: bytes) -> Stamp:
    """The stamp of packed events or tiles, whatever their layout."""
    version: int = _VERSION.unpack_from(value, HEADER_BYTES)[0] - _SIGN
    return Stamp(value[:ID_BYTES], epoch_of(value), version)


def unpack_events(layout: Layout, value: bytes) -> StoredEvents:
    """The events of ``pack_events``, in order.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """
    return PackedEvents(layout, value).stored()


class PackedEvents:
    """A packed value, decoded column by column when one is asked for.

    Attributes:
        count: n, the number of versions.
        settled: every event has one version and none is retracted.
        last_known: the greatest known_time, microseconds.
        longest_lag: the greatest known_time - event_time, microseconds.
        forgotten: as in ``StoredEvents``.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """

    __slots__ = (
        "_layout",
        "_texts",
        "_value",
        "count",
        "forgotten",
        "last_known",
        "longest_lag",
        "settled",
    )

    def __init__(self, layout: Layout, value: bytes) -> None:
        check_layout(layout, value)
        self._layout, self._value = layout, value
        flags, self.count, self.last_known, self.longest_lag, self.forgotten = _FACTS.unpack_from(
            value, _FACTS_AT
        )
        self.settled = bool(flags & _SETTLED)
        self._texts = bool(flags & _TEXT_IDS)

    def stored(self) -> StoredEvents:
        """All of it, decoded."""
        return StoredEvents(
            self.event_id,
            self.times(),
            self.known_time,
            self.batch,
            self.position,
            self.retracted,
            {name: self.values(name)[0] for name, _ in self._layout.columns},
            self.forgotten,
        )

    def times(self) -> Sequence[int]:
        """event_time of each version, ascending."""
        columns = len(self._layout.columns) + _SYSTEM
        at = _OFFSETS_AT + _OFFSET.size * columns
        times: Sequence[int] = read_column(self._value, at, self.count, _BIGINT)[0]
        return times

    def values(self, name: str) -> tuple[Sequence[Any], bool]:
        """A column of the view, and whether none of it is null."""
        place, kind = self._layout.places[name]
        return self._column(place, kind)

    def may_hold(self, event_id: Hashable) -> bool:
        """Whether an event may be among them; False is certain."""
        place = len(self._layout.columns)
        at, end = _SPAN.unpack_from(self._value, _OFFSETS_AT + _OFFSET.size * place)
        return self._value.find(self._ident(event_id), at, end) >= 0

    @property
    def event_id(self) -> Sequence[Any]:
        return self._system(0, _STRING if self._texts else _BIGINT)

    @property
    def known_time(self) -> Sequence[int]:
        return self._system(1, _BIGINT)

    @property
    def batch(self) -> Sequence[int]:
        return self._system(2, _BIGINT)

    @property
    def position(self) -> Sequence[int]:
        return self._system(3, _BIGINT)

    @property
    def retracted(self) -> Sequence[bool]:
        return self._system(4, _BOOLEAN)

    def _system(self, number: int, kind: ColumnType) -> Sequence[Any]:
        return self._column(len(self._layout.columns) + number, kind)[0]

    def _column(self, place: int, kind: ColumnType) -> tuple[Sequence[Any], bool]:
        (at,) = _OFFSET.unpack_from(self._value, _OFFSETS_AT + _OFFSET.size * place)
        return read_column(self._value, at, self.count, kind)

    def _ident(self, event_id: Hashable) -> bytes:
        """Bytes that stand among the ids of a value with this event."""
        if isinstance(event_id, str):
            return event_id.encode() if self._texts else b""
        if self._texts or not isinstance(event_id, int) or not -_SIGN <= event_id < _SIGN:
            return b""
        return _LONG.pack(event_id)
