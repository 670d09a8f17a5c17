"""What a push does on an executor: sorted Arrow batches in, packed values out to Redis.

Everything here is module-level and plain data; the client is opened by the task itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feldspar.online.advance import Added, Span, Verdict, advance
from feldspar.online.columns import Columns, Group, groups, stored_events, stored_rows
from feldspar.online.state import EntityState, of_history, pack_state, series_of
from feldspar.stores.online import Cursor, OnlineSettings, OnlineStore, Patience, Write
from feldspar.stores.retain import Horizon, newest_rows
from feldspar.stores.rows import Layout, pack_rows

AGAIN = "_again"
COUNTS = "entities bigint, written bigint"
_KEYS_A_CALL = 2_000
_BYTES_A_CALL = 4_000_000


@dataclass(frozen=True)
class Packer:
    """Makes the values of one push.

    Attributes:
        settings: of the online store.
        view: as the store calls it.
        layout: of the view's values.
        entity: the view's entity.
        keys: its key columns.
        cursor: of this push.
        horizon: what has to be kept.
    """

    settings: OnlineSettings
    view: str
    layout: Layout
    entity: str
    keys: tuple[str, ...]
    cursor: Cursor
    horizon: Horizon

    def whole(self, key: str, columns: Columns) -> Write:
        """The value of an entity from all of its rows that count."""
        if self.layout.kind == "events":
            events = stored_events(self.layout, columns)
            return self.of_state(key, of_history(events, self.horizon, self.layout))
        rows = newest_rows(stored_rows(self.layout, columns), self.horizon.floor)
        value = pack_rows(self.layout, rows, epoch=self.cursor.epoch)
        newest = max((row.event_time for row in rows), default=self.horizon.oldest)
        return Write(key, value, self._expires(newest))

    def of_state(self, key: str, state: EntityState) -> Write:
        """The value of an entity of a windowed view."""
        epoch, version = self.cursor.epoch, self.cursor.version
        value = pack_state(self.layout, state, epoch=epoch, version=version)
        return Write(key, value, self._expires(state.newest(series_of(self.layout))))

    def expiries(self, newest: npt.NDArray[np.int64]) -> Sequence[int | None]:
        """When values expire; see ``Horizon.expiries``.

        Under a data clock keys stay: history does not age while nobody replays it.
        """
        if self.settings.clock == "data":
            return [None] * len(newest)
        return self.horizon.expiries(newest, clock=self.cursor.clock)

    def _expires(self, newest: int) -> int | None:
        return self.expiries(np.array([newest]))[0]


@dataclass(frozen=True)
class PushTask:
    """Packs every entity of a partition and writes it; yields how many, and how many changed."""

    packer: Packer

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        packer = self.packer
        with OnlineStore(packer.settings, Patience.JOB) as store:
            sink = Sink(store, packer)
            for keys, columns in groups(batches, packer.keys):
                sink.add(packer.whole(sink.key(keys), columns))
            sink.flush()
        yield pa.RecordBatch.from_pydict({"entities": [sink.seen], "written": [sink.written]})


@dataclass(frozen=True)
class AdvanceTask:
    """Puts added rows into the values that the store holds.

    Yields its counts without keys, and the keys of entities whose history has to be read without
    counts.

    Attributes:
        packer: of this push.
        after: version of gold up to which all of it was pushed.
    """

    packer: Packer
    after: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        packer = self.packer
        first = next(batches, None)
        if first is None:
            return
        types = pa.schema([first.schema.field(key) for key in packer.keys])
        entities = groups(chain([first], batches), packer.keys)
        with OnlineStore(packer.settings, Patience.JOB) as store:
            sink = Sink(store, packer)
            while page := list(islice(entities, _KEYS_A_CALL)):
                yield _told(types, keys=self._advance(page, sink))
            sink.flush()
        yield _told(types, counts=(sink.seen, sink.written))

    def _advance(self, page: Sequence[Group], sink: Sink) -> list[tuple[Any, ...]]:
        """Keys of the entities whose history has to be read."""
        packer, cursor = self.packer, self.packer.cursor
        span = Span(self.after, cursor.version, cursor.epoch)
        places = [sink.key(keys) for keys, _ in page]
        waiting = []
        for (keys, columns), place, value in zip(page, places, sink.store.get(places), strict=True):
            again = any(columns.get(AGAIN, ()))
            added = Added(stored_events(packer.layout, columns), again)
            found = advance(value, added, span, packer.horizon, packer.layout)
            if found is Verdict.HISTORY:
                waiting.append(keys)
            elif isinstance(found, EntityState):
                sink.add(packer.of_state(place, found))
            else:
                sink.seen += 1
        return waiting


def _told(
    types: pa.Schema,
    *,
    counts: tuple[int, int] | None = None,
    keys: Sequence[tuple[Any, ...]] = (),
) -> pa.RecordBatch:
    """Counts without keys, or keys without counts."""
    rows: Sequence[tuple[Any, ...]] = [(None,) * len(types)] if counts else keys
    entities, written = ([one] if counts else [None] * len(keys) for one in counts or (None, None))
    columns = [pa.array(entities, pa.int64()), pa.array(written, pa.int64())]
    columns += [
        pa.array([row[place] for row in rows], field.type) for place, field in enumerate(types)
    ]
    return pa.RecordBatch.from_arrays(columns, ["entities", "written", *types.names])


@dataclass(frozen=True)
class Values:
    """Packed values of n entities; ``expires`` as in ``Write``."""

    keys: Sequence[str] = ()
    values: Sequence[bytes] = ()
    expires: Sequence[int | None] = ()


@dataclass
class Sink:
    """Writes in calls of bounded size."""

    store: OnlineStore
    packer: Packer
    seen: int = 0
    written: int = 0
    waiting: list[Write] = field(default_factory=list)
    size: int = 0

    def key(self, keys: tuple[Any, ...]) -> str:
        """Where the value of an entity lies."""
        return self.store.key(self.packer.entity, keys, self.packer.view)

    def add(self, write: Write) -> None:
        self.seen += 1
        self.waiting.append(write)
        self.size += len(write.value)
        if len(self.waiting) >= _KEYS_A_CALL or self.size >= _BYTES_A_CALL:
            self.flush()

    def add_all(self, values: Values) -> None:
        """Writes many at once."""
        self.seen += len(values.keys)
        longest = max(map(len, values.values), default=1)
        step = max(1, min(_KEYS_A_CALL, _BYTES_A_CALL // longest))
        for at in range(0, len(values.keys), step):
            part = slice(at, at + step)
            self._write(Values(values.keys[part], values.values[part], values.expires[part]))

    def flush(self) -> None:
        """Writes what waits."""
        if self.waiting:
            found = [(one.key, one.value, one.expires) for one in self.waiting]
            keys, values, expires = zip(*found, strict=True)
            self._write(Values(keys, values, expires))
            self.waiting, self.size = [], 0

    def _write(self, part: Values) -> None:
        kind, floor = self.packer.layout.kind, self.packer.horizon.floor
        self.written += self.store.write_values(
            part.keys, part.values, part.expires, kind=kind, floor=floor
        )
