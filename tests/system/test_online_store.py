"""The online store on a real server: newest wins in any order, keys expire, errors say where."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis, RedisCluster

from feldspar.errors import OvertakenError, StoreError, UnreachableError
from feldspar.spec.types import ColumnType
from feldspar.stores.events import StoredEvents, pack_events, unpack_events
from feldspar.stores.online import Cursor, OnlineSettings, OnlineStore, Write
from feldspar.stores.rows import Layout, StoredRow, pack_rows, unpack_rows
from support.updates import newest_of, shuffled, write_shuffled
from support.valkey import Cluster, Valkey, cluster, valkey

ROWS = Layout("profile", "row", (("age", ColumnType.INT),))
EVENTS = Layout("spend", "events", (("amount", ColumnType.DOUBLE),))
UPDATES = int(os.environ.get("UPDATES", "20000"))
CURSOR = Cursor(version=3, definition="d", generation=0, epoch=1, clock=1_000, floor=0)


@pytest.fixture(scope="module", params=["one server", "a cluster"])
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Valkey | Cluster]:
    start = valkey if request.param == "one server" else cluster
    with start(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def store(server: Valkey | Cluster, request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    with OnlineStore(OnlineSettings(server.url, request.node.name.partition("[")[0])) as opened:
        yield opened


def _row(event_time: int, *, visible_at: int | None = None, age: int = 0) -> StoredRow:
    visible = event_time if visible_at is None else visible_at
    return StoredRow(event_time, event_time, 0, 0, visible, {"age": age})


def _put_row(
    store: OnlineStore, key: str, row: StoredRow, *, epoch: int = 1, floor: int = 0
) -> int:
    value = pack_rows(ROWS, [row], epoch=epoch)
    return store.write([Write(key, value, None)], kind="row", floor=floor)


def _ages(store: OnlineStore, key: str) -> list[int]:
    value = store.get([key])[0]
    return [] if value is None else [row.values["age"] for row in unpack_rows(ROWS, value)]


def _events(count: int) -> StoredEvents:
    zeros = [0] * count
    return StoredEvents(
        zeros, zeros, zeros, zeros, zeros, [False] * count, {"amount": [1.0] * count}
    )


def test_rows_in_any_order_end_with_the_newest(store: OnlineStore) -> None:
    rows = [_row(10, age=1), _row(20, age=2), _row(30, age=3)]

    ends = set()
    for number, order in enumerate(itertools.permutations(rows)):
        key = store.key("customer", [number], "profile")
        for row in order:
            _put_row(store, key, row, floor=100)
        ends.add(tuple(_ages(store, key)))

    assert ends == {(3,)}


def test_the_same_row_again_changes_nothing(store: OnlineStore) -> None:
    key = store.key("customer", [1], "profile")
    _put_row(store, key, _row(10), floor=100)

    assert _put_row(store, key, _row(10), floor=100) == 0


def test_a_row_not_visible_yet_waits_beside_the_newest_one(store: OnlineStore) -> None:
    key = store.key("customer", [1], "profile")
    _put_row(store, key, _row(30, visible_at=500, age=2), floor=100)

    _put_row(store, key, _row(20, age=1), floor=100)

    assert _ages(store, key) == [1, 2]


def test_a_pending_row_stands_alone_once_the_floor_has_passed_it(store: OnlineStore) -> None:
    key = store.key("customer", [1], "profile")
    _put_row(store, key, _row(20, age=1), floor=100)
    _put_row(store, key, _row(30, visible_at=500, age=2), floor=100)

    _put_row(store, key, _row(20, age=1), floor=500)

    assert _ages(store, key) == [2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=7),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_merged_rows_answer_every_time_from_the_floor_on_like_all_rows(
    server: Valkey | Cluster, given_rows: list[tuple[int, int, int]], floor: int, shuffle: Random
) -> None:
    rows = [
        StoredRow(event, event, 0, index, max(event, visible), {"age": index})
        for index, (event, visible, _) in enumerate(given_rows)
    ]
    shuffled = sorted(rows, key=lambda _: shuffle.random())
    with OnlineStore(OnlineSettings(server.url, "merge")) as store:
        store.clear(["profile"])
        key = store.key("customer", [1], "profile")
        for row in shuffled:
            _put_row(store, key, row, floor=floor)
        value = store.get([key])[0]
    kept = unpack_rows(ROWS, value) if value else ()

    def newest(among: list[StoredRow], t: int) -> StoredRow | None:
        return max((r for r in among if r.visible_at <= t), key=lambda r: r.rank, default=None)

    instants = range(floor, 22)
    assert [newest(list(kept), t) for t in instants] == [newest(rows, t) for t in instants]


def test_shuffled_and_duplicated_updates_end_with_the_newest_of_every_key(
    store: OnlineStore,
) -> None:
    updates = shuffled(UPDATES, np.random.default_rng(7))

    write_shuffled(store, updates)

    assert newest_of(store, updates) == []


def test_the_events_of_the_higher_version_win(store: OnlineStore) -> None:
    key = store.key("customer", [1], "spend")
    for version, count in ((5, 2), (9, 3), (7, 1), (9, 4)):
        value = pack_events(EVENTS, _events(count), epoch=1, version=version)
        store.write([Write(key, value, None)], kind="events", floor=0)

    assert len(unpack_events(EVENTS, store.get([key])[0] or b"")) == 3


def test_a_new_definition_wins_over_newer_values_of_the_old_one(store: OnlineStore) -> None:
    key = store.key("customer", [1], "profile")
    _put_row(store, key, _row(50, age=1), epoch=1)

    _put_row(store, key, _row(20, age=2), epoch=2)
    _put_row(store, key, _row(90, age=3), epoch=1)

    assert _ages(store, key) == [2]


def test_a_key_lives_as_long_as_its_longest_row(
    server: Valkey | Cluster, store: OnlineStore
) -> None:
    now = int(time.time() * 1_000)
    key = store.key("customer", [1], "profile")
    for event_time, seconds in ((10, 100), (20, 1_000), (30, 10)):
        value = pack_rows(ROWS, [_row(event_time)], epoch=1)
        expires = now + seconds * 1_000
        store.write([Write(key, value, expires)], kind="row", floor=0)

    kind = Redis if isinstance(server, Valkey) else RedisCluster
    with kind.from_url(server.url.replace("+cluster", "")) as client:
        assert client.pexpiretime(key) == now + 1_000_000


def test_an_expired_row_is_not_there(store: OnlineStore) -> None:
    key = store.key("customer", [1], "profile")
    value = pack_rows(ROWS, [_row(10)], epoch=1)

    store.write([Write(key, value, 1_000)], kind="row", floor=0)

    assert store.get([key]) == [None]


def test_keys_of_different_tuples_never_meet(store: OnlineStore) -> None:
    parts = [
        [1, 23],
        [12, 3],
        ["1", 23],
        ["1,i2", 3],
        ["1", "i2,i3"],
        [True],
        [1],
        ["1"],
        [date(2020, 1, 1)],
        [datetime(2020, 1, 1, tzinfo=UTC)],
        ["a}", "b"],
        ["a", "}b"],
    ]

    assert len({store.key("e", part, "v") for part in parts}) == len(parts)


def test_views_of_one_entity_share_a_hash_tag(store: OnlineStore) -> None:
    keys = [store.key("customer", [4711], view) for view in ("a", "b")]

    assert {key[key.index("{") : key.index("}")] for key in keys} == {"{customer:i4711"}


def test_the_data_clock_only_moves_forward(store: OnlineStore) -> None:
    for clock in (1_000, 3_000, 2_000):
        store.set_cursor("spend", Cursor(1, "d", 0, 1, clock, 0), before=store.cursor("spend"))

    assert store.clock() == 3_000


def test_a_push_that_another_one_overtook_does_not_say_what_the_store_equals(
    store: OnlineStore,
) -> None:
    later = replace(CURSOR, version=5)
    store.set_cursor("spend", later, before=None)

    with pytest.raises(OvertakenError, match="another push ended while this one ran"):
        store.set_cursor("spend", CURSOR, before=None)

    assert store.cursor("spend") == later


def test_a_cursor_whose_first_answer_was_lost_may_be_written_again(store: OnlineStore) -> None:
    for _ in range(2):
        store.set_cursor("spend", CURSOR, before=None)

    assert store.cursor("spend") == CURSOR


def test_clear_leaves_other_views_and_namespaces_alone(server: Valkey | Cluster) -> None:
    with (
        OnlineStore(OnlineSettings(server.url, "ours")) as ours,
        OnlineStore(OnlineSettings(server.url, "theirs")) as theirs,
    ):
        kept = [(ours, "spend"), (theirs, "profile"), (theirs, "spend")]
        for store, view in [(ours, "profile"), *kept]:
            _put_row(store, store.key("customer", [1], view), _row(10))

        ours.clear(["profile"])

        left = [store.get([store.key("customer", [1], view)])[0] for store, view in kept]
        gone = ours.get([ours.key("customer", [1], "profile")])
    assert (None in left, gone) == (False, [None])


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    started = time.monotonic()
    shown = r"redis://me:\*\*\*@127\.0\.0\.1:1/0"
    settings_ = OnlineSettings("redis://me:hush@127.0.0.1:1/0", "n")
    with OnlineStore(settings_) as store, pytest.raises(UnreachableError, match=shown) as found:
        store.get(["a"])

    assert (time.monotonic() - started < 2, "hush" in str(found.value)) == (True, False)


def test_a_server_that_never_answers_costs_less_than_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        started = time.monotonic()
        with OnlineStore(OnlineSettings(url, "n")) as store, pytest.raises(UnreachableError):
            store.get(["a"])

    assert time.monotonic() - started < 2


def test_a_wrong_password_is_a_store_error(tmp_path: Path) -> None:
    with valkey(tmp_path, "--requirepass", "right") as running:
        settings_ = OnlineSettings(running.url.replace("//", "//:wrong@"), "n")
        refused = pytest.raises(StoreError, match="refuses these credentials")
        with OnlineStore(settings_) as store, refused:
            store.get(["a"])


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_drop_features_is_refused(policy: str, tmp_path: Path) -> None:
    with valkey(tmp_path, "--maxmemory-policy", policy) as running:
        refused = pytest.raises(StoreError, match=f"maxmemory-policy {policy}")
        with OnlineStore(OnlineSettings(running.url, "n")) as store, refused:
            store.check()
