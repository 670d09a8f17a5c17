"""What a push does on an executor: sorted Arrow batches in, packed values out to Redis.

Everything here is module-level and plain data; the client is opened by the task itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.names import BATCH, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, RETRACTED
from feldspar.online.retain import Horizon, living_events, newest_rows
from feldspar.online.tiling import pack_tiled
from feldspar.spec.types import ColumnType
from feldspar.stores.events import StoredEvents, pack_events
from feldspar.stores.online import Cursor, OnlineSettings, OnlineStore, Patience, Write
from feldspar.stores.rows import Layout, StoredRow, pack_rows
from feldspar.stores.tiles import TileLayout

_VISIBLE_AT = "_visible_at"
_KEYS_A_CALL = 2_000
_BYTES_A_CALL = 4_000_000
_MILLISECOND = 1_000

Group = tuple[tuple[Any, ...], dict[str, list[Any]]]


@dataclass(frozen=True)
class PushTask:
    """Packs every entity of a partition and writes it; yields how many, and how many changed.

    Attributes:
        settings: of the online store.
        layout: of the view's values.
        entity: the view's entity.
        keys: its key columns.
        cursor: of this push.
        horizon: what has to be kept.
    """

    settings: OnlineSettings
    layout: Layout
    entity: str
    keys: tuple[str, ...]
    cursor: Cursor
    horizon: Horizon

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with OnlineStore(self.settings, Patience.JOB) as store:
            sink = _Sink(store, self.layout.kind, self.horizon.floor)
            for keys, columns in groups(batches, self.keys):
                sink.add(self._write(store.key(self.entity, keys, self.layout.view), columns))
            sink.flush()
        yield pa.RecordBatch.from_pydict({"entities": [sink.seen], "written": [sink.written]})

    def _write(self, key: str, columns: dict[str, list[Any]]) -> Write:
        if self.layout.kind == "row":
            rows = newest_rows(_rows(self.layout, columns), self.horizon.floor)
            value = pack_rows(self.layout, rows, epoch=self.cursor.epoch)
            times: Sequence[int] = [row.event_time for row in rows]
        else:
            events = living_events(_events(self.layout, columns), self.horizon)
            value, times = self._packed(events), events.event_time
        return Write(key, value, self._expires(times))

    def _packed(self, events: StoredEvents) -> bytes:
        epoch, version = self.cursor.epoch, self.cursor.version
        if isinstance(self.layout, TileLayout):
            return pack_tiled(self.layout, events, self.horizon, epoch=epoch, version=version)
        return pack_events(self.layout, events, epoch=epoch, version=version)

    def _expires(self, times: Sequence[int]) -> int | None:
        """Milliseconds at which nothing of the value counts any more, by the wall clock.

        Under a data clock keys stay: history does not age while nobody replays it.
        """
        if self.settings.clock == "data" or not self.horizon.retention:
            return None
        newest = max(times, default=self.horizon.floor - self.horizon.retention)
        return max(1, (newest + self.horizon.retention) // _MILLISECOND + 1)


@dataclass
class _Sink:
    """Writes in calls of bounded size."""

    store: OnlineStore
    kind: Literal["row", "events"]
    floor: int
    seen: int = 0
    written: int = 0
    waiting: list[Write] = field(default_factory=list)
    size: int = 0

    def add(self, write: Write) -> None:
        self.seen += 1
        self.waiting.append(write)
        self.size += len(write.value)
        if len(self.waiting) >= _KEYS_A_CALL or self.size >= _BYTES_A_CALL:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self.written += self.store.write(self.waiting, kind=self.kind, floor=self.floor)
            self.waiting, self.size = [], 0


def groups(batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> Iterator[Group]:
    """The rows of each entity, column by column, from batches sorted by its keys."""
    open_key: tuple[Any, ...] | None = None
    pending: dict[str, list[Any]] = {}
    for batch in batches:
        names = batch.schema.names
        columns = {name: _values(batch.column(name)) for name in names}
        tuples = list(zip(*(columns[key] for key in keys), strict=True))
        for start, stop in _runs(tuples):
            part = {name: columns[name][start:stop] for name in names}
            if tuples[start] == open_key:
                for name in names:
                    pending[name] += part[name]
                continue
            if open_key is not None:
                yield open_key, pending
            open_key, pending = tuples[start], part
    if open_key is not None:
        yield open_key, pending


def _runs(tuples: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, int]]:
    start = 0
    for at in range(1, len(tuples) + 1):
        if at == len(tuples) or tuples[at] != tuples[start]:
            yield start, at
            start = at


def _values(column: pa.Array) -> list[Any]:
    """Python values; the store keeps days and microseconds, but keys keep their own types."""
    values: list[Any] = column.to_pylist()
    return values


def _rows(layout: Layout, columns: dict[str, list[Any]]) -> list[StoredRow]:
    names = [name for name, _ in layout.columns]
    packed = [_packed(columns[name], kind) for name, kind in layout.columns]
    values = zip(*packed, strict=True) if packed else [()] * len(columns[EVENT_TIME])
    system = (EVENT_TIME, KNOWN_TIME, BATCH, POSITION, _VISIBLE_AT)
    held = (dict(zip(names, row, strict=True)) for row in values)
    return list(map(StoredRow, *(columns[name] for name in system), held))


def _events(layout: Layout, columns: dict[str, list[Any]]) -> StoredEvents:
    return StoredEvents(
        columns[EVENT_ID],
        columns[EVENT_TIME],
        columns[KNOWN_TIME],
        columns[BATCH],
        columns[POSITION],
        columns[RETRACTED],
        {name: _packed(columns[name], kind) for name, kind in layout.columns},
    )


def _packed(values: list[Any], kind: ColumnType) -> list[Any]:
    if kind not in (ColumnType.TIMESTAMP, ColumnType.DATE):
        return values
    arrow = pa.array(values, pa.date32() if kind is ColumnType.DATE else pa.timestamp("us", "UTC"))
    whole = pa.int32() if kind is ColumnType.DATE else pa.int64()
    found: list[Any] = pc.cast(arrow, whole).to_pylist()
    return found
