"""Packed values come back as they went in, and order as their rows do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feldspar.errors import StoreError
from feldspar.names import fingerprint
from feldspar.spec.types import ColumnType
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events, unpack_events
from feldspar.stores.rows import (
    HEADER_BYTES,
    RANK_BYTES,
    Layout,
    StoredRow,
    pack_rows,
    unpack_rows,
)

LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = {
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.INT: INTS,
    ColumnType.BIGINT: LONGS,
    ColumnType.DOUBLE: st.floats(allow_nan=False),
    ColumnType.STRING: TEXTS,
    ColumnType.TIMESTAMP: LONGS,
    ColumnType.DATE: INTS,
}
TYPES = st.lists(st.sampled_from(list(ColumnType)), max_size=10)


@st.composite
def rows_of_a_view(draw: st.DrawFn) -> tuple[Layout, tuple[StoredRow, ...]]:
    columns = tuple((f"c{index}", kind) for index, kind in enumerate(draw(TYPES)))
    values = st.fixed_dictionaries({name: st.none() | VALUES[kind] for name, kind in columns})
    rows = st.lists(st.builds(StoredRow, LONGS, LONGS, LONGS, LONGS, LONGS, values), max_size=4)
    return Layout("v", "row", columns), tuple(draw(rows))


@st.composite
def events_of_a_view(draw: st.DrawFn) -> tuple[Layout, StoredEvents]:
    columns = tuple((f"c{index}", kind) for index, kind in enumerate(draw(TYPES)))
    size = draw(st.integers(0, 20))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=size, max_size=size))

    ids = column(st.none() | draw(st.sampled_from([TEXTS, LONGS])))
    clocks = [column(LONGS) for _ in range(4)]
    arguments = {name: column(st.none() | VALUES[kind]) for name, kind in columns}
    events = StoredEvents(ids, *clocks, column(st.booleans()), arguments)  # type: ignore[arg-type]
    return Layout("v", "events", columns), events


@given(rows_of_a_view(), st.integers(0, 2**40))
def test_rows_come_back_as_they_were_packed(
    given_rows: tuple[Layout, tuple[StoredRow, ...]], epoch: int
) -> None:
    layout, rows = given_rows

    packed = pack_rows(layout, rows, epoch=epoch)

    assert unpack_rows(layout, packed) == rows


def listed(events: StoredEvents) -> list[object]:
    """All columns as lists."""
    system = (events.event_id, events.event_time, events.known_time, events.batch, events.position)
    columns = (*system, events.retracted, *events.arguments.values())
    return [list(column) for column in columns]


@given(events_of_a_view(), LONGS)
def test_events_come_back_in_order(given_events: tuple[Layout, StoredEvents], version: int) -> None:
    layout, events = given_events

    packed = pack_events(layout, events, epoch=1, version=version)

    assert listed(unpack_events(layout, packed)) == listed(events.in_order())


@given(events_of_a_view())
def test_events_say_whether_each_has_one_version(
    given_events: tuple[Layout, StoredEvents],
) -> None:
    layout, events = given_events
    named = [one for one in events.event_id if one is not None]

    packed = PackedEvents(layout, pack_events(layout, events, epoch=1, version=1))

    once = len(named) == len(set(named)) and not any(events.retracted)
    assert (packed.count, packed.settled) == (len(events), once)


@given(events_of_a_view())
def test_events_are_known_by_when_they_say(given_events: tuple[Layout, StoredEvents]) -> None:
    layout, events = given_events

    packed = PackedEvents(layout, pack_events(layout, events, epoch=1, version=1))

    lags = [late - time for late, time in zip(events.known_time, events.event_time, strict=True)]
    lag = max(lags, default=0)
    expected = (max(events.known_time, default=0), max(-(2**63), min(lag, 2**63 - 1)))
    assert (packed.last_known, packed.longest_lag) == expected


@given(events_of_a_view(), st.none() | TEXTS | LONGS)
def test_an_event_that_is_held_may_be_held(
    given_events: tuple[Layout, StoredEvents], other: object
) -> None:
    layout, events = given_events
    packed = PackedEvents(layout, pack_events(layout, events, epoch=1, version=1))

    missed = [one for one in (*events.event_id, other) if not packed.may_hold(one)]

    assert [one for one in missed if one in events.event_id] == []


def test_an_event_that_is_not_held_is_told_without_reading() -> None:
    layout = Layout("v", "events", ())
    events = StoredEvents([71, 72], [1, 2], [1, 2], [0, 0], [0, 1], [False, False])

    packed = PackedEvents(layout, pack_events(layout, events, epoch=1, version=1))

    assert (packed.may_hold(72), packed.may_hold(73)) == (True, False)


def test_events_of_an_older_packing_are_refused_by_name() -> None:
    layout = Layout("customer_spend", "events", (("amount", ColumnType.DOUBLE),))
    older = bytes.fromhex(fingerprint("events,amount:double"))
    events = StoredEvents([], [], [], [], [], [], {"amount": []})
    packed = pack_events(layout, events, epoch=1, version=1)

    with pytest.raises(StoreError, match=r"view customer_spend .* packed by another definition"):
        unpack_events(layout, older + packed[len(older) :])


@given(st.tuples(*[LONGS] * 8))
def test_the_order_of_rank_bytes_is_the_order_of_rows(numbers: tuple[int, ...]) -> None:
    layout = Layout("v", "row", ())
    first, second = (StoredRow(*four, 0, {}) for four in (numbers[:4], numbers[4:]))
    ranks = [
        pack_rows(layout, [row], epoch=0)[HEADER_BYTES + 4 : HEADER_BYTES + 4 + RANK_BYTES]
        for row in (first, second)
    ]

    assert (ranks[0] < ranks[1]) == (first.rank < second.rank)


def test_not_a_number_is_kept_and_is_not_null() -> None:
    layout = Layout("v", "row", (("x", ColumnType.DOUBLE),))

    packed = pack_rows(layout, [StoredRow(1, 2, 3, 4, 5, {"x": math.nan})], epoch=0)

    assert math.isnan(unpack_rows(layout, packed)[0].values["x"])


def test_a_value_of_another_layout_is_refused_by_name() -> None:
    old = Layout("customer_features", "row", (("age", ColumnType.INT),))
    new = Layout("customer_features", "row", (("age", ColumnType.DOUBLE),))
    packed = pack_rows(old, [StoredRow(1, 1, 0, 0, 1, {"age": 40})], epoch=0)

    with pytest.raises(StoreError, match=r"view customer_features .* packed by another definition"):
        unpack_rows(new, packed)
