"""The values of a plain view from columns: whole Arrow tables in, keys and packed values out.

Nearly every entity has one row to keep, and all of those are packed at once; the few that have
rows of the last days beside it are packed one by one (``Packer.whole``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.layout import BucketedRows
from feldspar.names import BATCH, EVENT_TIME, KNOWN_TIME, POSITION
from feldspar.online.columns import VISIBLE_AT, groups, stored_rows
from feldspar.online.tasks import Packer, Sink, Values
from feldspar.stores.online import OnlineStore, Patience
from feldspar.stores.packing import Clocks, Longs, has_fixed_width, pack_each
from feldspar.stores.rows import pack_rows

_CLOCKS = (EVENT_TIME, KNOWN_TIME, BATCH, POSITION)
_ROWS_AT_ONCE = 1_000_000
_ROWS_A_PART = 100_000


@dataclass(frozen=True)
class PlainTask:
    """Packs and writes what Spark has sorted by entity; yields its counts."""

    packer: Packer

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield _written(self.packer, whole_entities(batches, self.packer.keys))


@dataclass(frozen=True)
class BucketsTask:
    """Packs and writes buckets of gold, by number, whose files it reads itself."""

    packer: Packer
    rows: BucketedRows

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield _written(self.packer, self._tables(batches))

    def _tables(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        packer = self.packer
        columns = (*packer.keys, *_CLOCKS, *(name for name, _ in packer.layout.columns))
        since = packer.horizon.oldest if packer.horizon.retention else None
        for batch in batches:
            for bucket in batch.column(0).to_pylist():
                waiting: list[pa.Table] = []
                for run in self.rows.runs(bucket, since=since):
                    waiting.append(run.read(columns))
                    # the server merges what one entity has in several tables
                    if sum(one.num_rows for one in waiting) >= _ROWS_AT_ONCE:
                        yield from self._in_parts(waiting)
                        waiting = []
                if waiting:
                    yield from self._in_parts(waiting)

    def _in_parts(self, tables: Sequence[pa.Table]) -> Iterator[pa.Table]:
        keys = self.packer.keys
        rows = _counting(self.packer, pa.concat_tables(tables))
        batches = _sorted(rows, keys).combine_chunks().to_batches(max_chunksize=_ROWS_A_PART)
        return whole_entities(batches, keys)


def _written(packer: Packer, tables: Iterable[pa.Table]) -> pa.RecordBatch:
    with OnlineStore(packer.settings, Patience.JOB) as store:
        sink = Sink(store, packer)
        for table in tables:
            sink.add_all(values_of(packer, table, store))
        sink.flush()
    return pa.RecordBatch.from_pydict({"entities": [sink.seen], "written": [sink.written]})


def whole_entities(batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> Iterator[pa.Table]:
    """Tables of which each has all rows of its entities, from batches sorted by them."""
    held: pa.Table | None = None
    for batch in batches:
        table = pa.Table.from_batches([batch])
        table = table if held is None else pa.concat_tables([held, table])
        starts = _starts(table, keys)
        last = int(starts[-1]) if len(starts) else 0
        if last:
            yield table.slice(0, last)
        held = table.slice(last)
    if held is not None and held.num_rows:
        yield held


def values_of(packer: Packer, table: pa.Table, store: OnlineStore) -> Values:
    """The value of each entity of a table, from all of its rows that count.

    Args:
        packer: of the push.
        table: keys, the four columns that order rows, the columns of the layout; any order.
        store: names keys.
    """
    table = _sorted(_counting(packer, table), packer.keys)
    starts = _starts(table, packer.keys)
    if not len(starts):
        return Values()
    clocks = _clocks(packer, table)
    ends = np.append(starts[1:], table.num_rows)
    settled = np.logical_and.reduceat(clocks.visible_at <= packer.horizon.floor, starts)
    # sorted by rank: of what is settled the last row is the newest
    single = settled | (ends - starts == 1)
    return _joined(
        _one_each(packer, table, clocks, ends[single] - 1, store),
        _merged(packer, table, clocks, _ranges(starts[~single], ends[~single]), store),
    )


def _one_each(
    packer: Packer, table: pa.Table, clocks: Clocks, rows: Longs, store: OnlineStore
) -> Values:
    """Of entities that keep one row."""
    layout, epoch = packer.layout, packer.cursor.epoch
    kept, clocks = table.take(rows), clocks.take(rows)
    names = [name for name, _ in layout.columns]
    keys = store.keys(packer.entity, [_keys(kept, key) for key in packer.keys], packer.view)
    if has_fixed_width(layout):
        columns = [kept.column(name).combine_chunks() for name in names]
        values = pack_each(layout, columns, clocks, epoch)
    else:
        values = _by_row(packer, kept, clocks)
    return Values(keys, values, packer.expiries(clocks.event_time))


def _by_row(packer: Packer, table: pa.Table, clocks: Clocks) -> list[bytes]:
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    held = {**columns, VISIBLE_AT: clocks.visible_at.tolist()}
    rows = stored_rows(packer.layout, held)
    return [pack_rows(packer.layout, [row], epoch=packer.cursor.epoch) for row in rows]


def _merged(
    packer: Packer, table: pa.Table, clocks: Clocks, rows: Longs, store: OnlineStore
) -> Values:
    """Of entities that may keep several rows."""
    kept = table.take(rows).append_column(VISIBLE_AT, pa.array(clocks.visible_at[rows]))
    writes = [
        packer.whole(store.key(packer.entity, keys, packer.view), columns)
        for keys, columns in groups(kept.to_batches(), packer.keys)
    ]
    return Values(
        [one.key for one in writes], [one.value for one in writes], [one.expires for one in writes]
    )


def _joined(left: Values, right: Values) -> Values:
    return Values(
        [*left.keys, *right.keys],
        [*left.values, *right.values],
        [*left.expires, *right.expires],
    )


def _counting(packer: Packer, table: pa.Table) -> pa.Table:
    """Rows of an entity that the ttl has not ended by the floor, with clocks in microseconds."""
    names = [*packer.keys, *_CLOCKS, *(name for name, _ in packer.layout.columns)]
    table = table.select(list(dict.fromkeys(names)))
    for clock in (EVENT_TIME, KNOWN_TIME):
        place = table.schema.get_field_index(clock)
        table = table.set_column(place, clock, table.column(clock).cast(pa.int64()))
    counts = [pc.is_valid(table.column(key)) for key in packer.keys]
    if packer.horizon.retention:
        counts.append(pc.greater_equal(table.column(EVENT_TIME), packer.horizon.oldest))
    kept = reduce(pc.and_, counts)
    return table if pc.all(kept).as_py() else table.filter(kept)


def _sorted(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """By entity, then by rank."""
    if len(keys) == 1 and pa.types.is_integer(table.schema.field(keys[0]).type):
        found = table.column(keys[0]).to_numpy()
        if (found[1:] > found[:-1]).all():
            return table
    order = [(name, "ascending") for name in (*keys, *_CLOCKS)]
    return table.take(pc.sort_indices(table, sort_keys=order))


def _starts(table: pa.Table, keys: Sequence[str]) -> Longs:
    """Where each entity's rows begin, in a table sorted by them."""
    if not table.num_rows:
        return np.empty(0, np.int64)
    is_first = np.ones(table.num_rows, dtype=np.bool_)
    is_first[1:] = False
    for key in keys:
        column = table.column(key).combine_chunks()
        changed = pc.not_equal(column.slice(1), column.slice(0, len(column) - 1))
        is_first[1:] |= changed.to_numpy(zero_copy_only=False)
    return np.flatnonzero(is_first)


def _clocks(packer: Packer, table: pa.Table) -> Clocks:
    event, known, batch, position = (table.column(name).to_numpy() for name in _CLOCKS)
    return Clocks(
        event, known, batch, position, np.maximum(event, known + packer.horizon.serving_delay)
    )


def _ranges(starts: Longs, ends: Longs) -> Longs:
    """All places from each start to its end."""
    parts = [np.arange(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _keys(table: pa.Table, key: str) -> list[Any]:
    values: list[Any] = table.column(key).to_pylist()
    return values
