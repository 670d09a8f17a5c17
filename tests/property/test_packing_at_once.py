"""Many entities packed at once hold, byte for byte, what each would hold alone."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.names import BATCH, EVENT_TIME, KNOWN_TIME, POSITION
from feldspar.online.columns import VISIBLE_AT, groups
from feldspar.online.plain import values_of, whole_entities
from feldspar.online.tasks import Packer
from feldspar.spec.types import ColumnType
from feldspar.stores.online import Cursor, OnlineSettings, OnlineStore
from feldspar.stores.packing import Clocks, pack_each
from feldspar.stores.retain import Horizon
from feldspar.stores.rows import Layout, StoredRow, pack_rows

CASES = int(os.environ.get("CASES", "200"))
LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
START = datetime(2024, 1, 1, tzinfo=UTC)
KINDS: dict[ColumnType, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    ColumnType.BOOLEAN: (pa.bool_(), st.booleans()),
    ColumnType.INT: (pa.int32(), st.integers(-(1 << 31), (1 << 31) - 1)),
    ColumnType.BIGINT: (pa.int64(), LONGS),
    ColumnType.DOUBLE: (pa.float64(), st.floats()),
    ColumnType.TIMESTAMP: (
        pa.timestamp("us", "UTC"),
        st.integers(-(1 << 40), 1 << 40).map(lambda n: START + timedelta(microseconds=n)),
    ),
    ColumnType.DATE: (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
}
FIXED = [*KINDS]


@st.composite
def columns_of(draw: st.DrawFn, rows: int) -> list[tuple[ColumnType, pa.Array]]:
    kinds = draw(st.lists(st.sampled_from(FIXED), max_size=10))
    return [(kind, pa.array(draw(_values(KINDS[kind][1], rows)), KINDS[kind][0])) for kind in kinds]


def _values(one: st.SearchStrategy[Any], rows: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | one, min_size=rows, max_size=rows)


def _stored(kind: ColumnType, column: pa.Array) -> list[Any]:
    if kind is ColumnType.TIMESTAMP:
        return [*column.cast(pa.int64()).to_pylist()]
    return [*(column.cast(pa.int32()) if kind is ColumnType.DATE else column).to_pylist()]


@settings(max_examples=CASES, deadline=None)
@given(st.data(), st.integers(0, 6), st.integers(0, 1 << 40))
def test_each_value_is_the_one_that_is_packed_alone(
    data: st.DataObject, rows: int, epoch: int
) -> None:
    columns = data.draw(columns_of(rows))
    layout = Layout("v", "row", tuple((f"c{at}", kind) for at, (kind, _) in enumerate(columns)))
    clocks = data.draw(st.lists(st.tuples(*[LONGS] * 5), min_size=rows, max_size=rows))
    held = [_stored(kind, column) for kind, column in columns]
    names = [name for name, _ in layout.columns]
    alone = [
        pack_rows(
            layout,
            [StoredRow(*times, dict(zip(names, [one[at] for one in held], strict=True)))],
            epoch=epoch,
        )
        for at, times in enumerate(clocks)
    ]

    times = np.array(clocks, dtype=np.int64).reshape(rows, 5)
    found = pack_each(layout, [one for _, one in columns], Clocks(*times.T.copy()), epoch)

    assert found == alone


TIMES = st.integers(0, 12)


@settings(max_examples=CASES, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from(["a", "b", "ä"]),
            TIMES,
            TIMES,
            st.none() | st.floats(-9, 9),
            st.none() | st.sampled_from(["x", "", "yy"]),
        ),
        max_size=14,
    ),
    TIMES,
    st.sampled_from([0, 5]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 5),
)
def test_a_table_holds_what_its_entities_hold_one_by_one(
    rows: list[tuple[Any, ...]],
    floor: int,
    retention: int,
    has_text: bool,
    has_two_keys: bool,
    size: int,
) -> None:
    names = ("customer", "shop", EVENT_TIME, KNOWN_TIME, "amount", "kind")
    types = (pa.int64(), pa.string(), pa.int64(), pa.int64(), pa.float64(), pa.string())
    table = pa.table(
        [pa.array([row[at] for row in rows], kind) for at, kind in enumerate(types)],
        names=list(names),
    )
    places = pa.array(range(len(rows)), pa.int64())
    table = table.append_column(BATCH, pa.array([0] * len(rows), pa.int64()))
    table = table.append_column(POSITION, places)
    keys = ("customer", "shop") if has_two_keys else ("customer",)
    columns = (("amount", ColumnType.DOUBLE), *((("kind", ColumnType.STRING),) if has_text else ()))
    cursor = Cursor(1, "d", 0, 3, clock=floor + 7, floor=floor)
    packer = Packer(
        OnlineSettings("redis://127.0.0.1:1/0", "n"),
        "v@1",
        Layout("v", "row", columns),
        "customer",
        keys,
        cursor,
        Horizon(floor, retention, 1),
    )
    with OnlineStore(packer.settings) as store:
        at_once = values_of(packer, table, store)
        batches = table.sort_by([(key, "ascending") for key in keys]).to_batches(max_chunksize=size)
        parts = [values_of(packer, part, store) for part in whole_entities(batches, keys)]
        alone = {
            store.key("customer", found, "v@1"): packer.whole("", held)
            for found, held in groups(_prepared(table, packer), keys)
        }

    wanted = {key: (one.value, one.expires) for key, one in alone.items()}
    for values in ([at_once], parts):
        found = [
            (key, (value, expires))
            for one in values
            for key, value, expires in zip(one.keys, one.values, one.expires, strict=True)
        ]
        assert dict(found) == wanted
        assert len(found) == len(wanted)


def _prepared(table: pa.Table, packer: Packer) -> list[pa.RecordBatch]:
    """As Spark prepares it."""
    horizon = packer.horizon
    rows = [
        {**row, VISIBLE_AT: max(row[EVENT_TIME], row[KNOWN_TIME] + horizon.serving_delay)}
        for row in table.to_pylist()
        if not horizon.retention or row[EVENT_TIME] >= horizon.oldest
    ]
    schema = table.schema.append(pa.field(VISIBLE_AT, pa.int64()))
    prepared = pa.Table.from_pylist(rows, schema)
    return [*prepared.sort_by([(key, "ascending") for key in packer.keys]).to_batches()]
