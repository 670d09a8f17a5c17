"""Columns of one entity's rows in Arrow batches, as what the online store keeps: rows or events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.names import BATCH, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, RETRACTED
from feldspar.spec.types import ColumnType
from feldspar.stores.events import StoredEvents
from feldspar.stores.rows import Layout, StoredRow

VISIBLE_AT = "_visible_at"
Columns = dict[str, list[Any]]
Group = tuple[tuple[Any, ...], Columns]


def groups(batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> Iterator[Group]:
    """The rows of each entity, column by column, from batches sorted by its keys."""
    open_key: tuple[Any, ...] | None = None
    pending: Columns = {}
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


def stored_rows(layout: Layout, columns: Columns) -> list[StoredRow]:
    """Rows of a plain view."""
    names = [name for name, _ in layout.columns]
    packed = [_packed(columns[name], kind) for name, kind in layout.columns]
    values = zip(*packed, strict=True) if packed else [()] * len(columns[EVENT_TIME])
    system = (EVENT_TIME, KNOWN_TIME, BATCH, POSITION, VISIBLE_AT)
    held = (dict(zip(names, row, strict=True)) for row in values)
    return list(map(StoredRow, *(columns[name] for name in system), held))


def stored_events(layout: Layout, columns: Columns) -> StoredEvents:
    """Events of a windowed view."""
    return StoredEvents(
        columns[EVENT_ID],
        columns[EVENT_TIME],
        columns[KNOWN_TIME],
        columns[BATCH],
        columns[POSITION],
        columns[RETRACTED],
        {name: _packed(columns[name], kind) for name, kind in layout.columns},
    )


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


def _packed(values: list[Any], kind: ColumnType) -> list[Any]:
    if kind not in (ColumnType.TIMESTAMP, ColumnType.DATE):
        return values
    arrow = pa.array(values, pa.date32() if kind is ColumnType.DATE else pa.timestamp("us", "UTC"))
    whole = pa.int32() if kind is ColumnType.DATE else pa.int64()
    found: list[Any] = pc.cast(arrow, whole).to_pylist()
    return found
