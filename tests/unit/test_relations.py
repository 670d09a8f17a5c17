"""What the next load of a database takes: all that waits, within bounds, and no loss unsaid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feldspar.graph.observed import ColumnRange, RelationRead, RelationState
from feldspar.graph.planning.relations import NextRange, next_range
from feldspar.graph.steps import Status
from feldspar.spec.source import JdbcSource
from feldspar.stores.jdbc_sql import blocks

BY_ID = JdbcSource(
    kind="jdbc",
    url="jdbc:postgresql://db:5432/shop",
    table="orders",
    incremental_column="id",
    event_time="at",
    known_time="ingested",  # type: ignore[arg-type]
)
SNAPSHOTS = BY_ID.model_copy(update={"incremental_column": None})
HOUR = 3_600_000_000
READ = RelationRead("orders", "7", "id", upto=100, again=10, at=0)
STATE = RelationState(
    "orders", "7", 5 * HOUR, overlap=10, newest=120, after=100, waiting=20, again=10, read=READ
)


def taken(state: RelationState, **settings: Any) -> NextRange:
    return next_range(state, BY_ID.model_copy(update=settings), accept=False)


def test_the_first_load_takes_all_there_is() -> None:
    state = RelationState("orders", "7", 0, overlap=10, newest=120, waiting=20)

    assert taken(state) == NextRange(
        Status.RUN,
        "20 rows wait in orders",
        ColumnRange("orders", "7", "id", upto=120, overlap=10),
    )


def test_a_load_looks_again_below_what_was_read() -> None:
    assert taken(STATE) == NextRange(
        Status.RUN,
        "20 rows wait above id 100",
        ColumnRange("orders", "7", "id", 90, 100, 120, overlap=10),
    )


def test_what_waits_is_said_where_a_load_takes_less() -> None:
    # two rows have the value of the fifth
    found = taken(replace(STATE, cut=105, within=6), most=5)

    assert (found.reason, found.range) == (
        "20 rows wait above id 100, 6 are taken by this load",
        ColumnRange("orders", "7", "id", 90, 100, 105, left=14, overlap=10),
    )


def test_rows_that_came_late_are_looked_for_where_nothing_new_waits() -> None:
    found = taken(replace(STATE, newest=100, waiting=0, again=11))

    assert (found.status, found.reason, found.range) == (
        Status.RUN,
        "rows up to id 100 were committed late, or deleted: looks again",
        ColumnRange("orders", "7", "id", 90, 100, 100, overlap=10),
    )


def test_nothing_is_done_where_nothing_changed() -> None:
    found = taken(replace(STATE, newest=100, waiting=0))

    assert found == NextRange(Status.NOTHING, "no rows above id 100")


def test_an_empty_table_is_nothing_to_take() -> None:
    state = RelationState("orders", "7", 0)

    assert taken(state) == NextRange(Status.NOTHING, "orders holds no rows")


NONE = "(null, or infinite) and are never read: say --accept to leave them out"
LESS = (
    "it was emptied, is an older copy, or lost its newest rows: "
    "say --accept to read it from its start"
)
BLOCKED = {
    "another table": (
        replace(STATE, relation="orders2"),
        "orders2 is read in place of orders: say --accept to read it from its start",
    ),
    "a table made anew": (
        replace(STATE, ident="8"),
        "orders: was made anew since it was read: say --accept to read it from its start",
    ),
    "another column": (
        replace(STATE, read=replace(READ, column="day")),
        "orders is read by id in place of by day: say --accept to read it from its start",
    ),
    "a newest value below what was read": (
        replace(STATE, newest=89),
        f"orders has id up to 89 and was read up to 100: {LESS}",
    ),
    "rows that have no value": (
        replace(STATE, lacks=True),
        f"rows of orders have no id {NONE}",
    ),
}


@pytest.mark.parametrize(("state", "reason"), BLOCKED.values(), ids=BLOCKED)
def test_what_would_be_lost_blocks_the_step(state: RelationState, reason: str) -> None:
    assert taken(state) == NextRange(Status.BLOCKED, reason)


def test_another_table_is_read_from_its_start_once_it_is_agreed_to() -> None:
    state = replace(STATE, ident="8", after=None)

    found = next_range(state, BY_ID, accept=True)

    assert (found.status, found.range and found.range.begin) == (Status.RUN, None)


def test_newest_rows_that_were_deleted_within_the_overlap_are_no_loss() -> None:
    assert taken(replace(STATE, newest=95, waiting=0, again=4)).status is Status.RUN


def test_a_time_is_shown_as_one() -> None:
    state = replace(STATE, of_times=True, after=90_061_500_000, read=None)

    assert taken(state).reason == "20 rows wait above id 1970-01-02 01:01:01.5"


@pytest.mark.parametrize(
    ("hours", "reason"),
    [
        (None, "a first snapshot of orders"),
        (25, "the last snapshot of orders is 1d 1h old"),
        (22, "a snapshot every 1d, the next one in 2h"),
    ],
)
def test_a_snapshot_is_taken_when_it_is_due(hours: int | None, reason: str) -> None:
    read = None if hours is None else RelationRead("orders", "7", "", None, None, 0)
    state = RelationState("orders", "7", (hours or 0) * HOUR, waiting=1, read=read)

    assert next_range(state, SNAPSHOTS, accept=False).reason == reason


def test_snapshots_come_as_often_as_the_source_says() -> None:
    read = RelationRead("orders", "7", "", None, None, 0)
    source = SNAPSHOTS.model_copy(update={"every": timedelta(hours=2)})
    state = RelationState("orders", "7", 2 * HOUR, waiting=1, read=read)

    assert next_range(state, source, accept=False).status is Status.RUN


def test_blocks_of_a_table_are_each_in_one_part() -> None:
    assert blocks(7, parts=3) == [
        "ctid < '(2,0)'",
        "ctid >= '(2,0)' and ctid < '(4,0)'",
        "ctid >= '(4,0)'",
    ]


OVERLAP = 3


@dataclass
class Database:
    """Rows that are committed at some time, with values that were drawn before."""

    values: list[int]

    def state(self, read: RelationRead | None, most: int) -> RelationState:
        after = read.upto if read else None
        low = min(self.values, default=0) if after is None else after - OVERLAP
        seen = sorted(one for one in self.values if one >= low)
        new = [one for one in seen if after is None or one > after]
        return RelationState(
            "orders",
            "7",
            0,
            overlap=OVERLAP,
            newest=max(self.values, default=None),
            after=after,
            waiting=len(new),
            again=len(seen) - len(new),
            cut=new[most - 1] if len(new) > most else None,
            within=most,
            read=read,
        )


@given(
    st.lists(st.lists(st.integers(0, OVERLAP), max_size=5), max_size=8),
    st.integers(1, 4),
)
def test_rows_committed_late_within_the_overlap_are_each_taken_once(
    commits: list[list[int]], most: int
) -> None:
    """Each list of numbers is committed before a load: how far each row is below the newest."""
    database, bronze, read = Database([]), list[int](), None
    clock = 0
    for commit in [*commits, *[[] for _ in range(sum(map(len, commits)) + 1)]]:
        clock += 1
        # no lower than the overlap below all that any load may have read
        database.values += [max(clock - late, 0) for late in commit]
        found = taken(database.state(read, most), most=most)
        wanted = found.range
        if found.status is not Status.RUN or wanted is None or wanted.upto is None:
            continue
        low = wanted.begin if wanted.begin is not None else min(database.values)
        held = [one for one in database.values if low <= one <= wanted.upto]
        bronze += difference(held, bronze, low)
        again = sum(1 for one in database.values if wanted.upto - OVERLAP <= one <= wanted.upto)
        read = RelationRead("orders", "7", "id", wanted.upto, again, 0)

    assert sorted(bronze) == sorted(database.values)


def difference(rows: list[int], bronze: list[int], low: int) -> list[int]:
    """Rows beyond those that bronze holds; each value stands for rows that differ."""
    known = [one for one in bronze if one >= low]
    left = list(rows)
    for one in known:
        if one in left:
            left.remove(one)
    return left
