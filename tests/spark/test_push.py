"""Pushes from real gold tables to a real server: equal to gold at every T, whatever happened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from redis import Redis

from feldspar.compute.services.batch import SpineColumns, add_features
from feldspar.compute.services.joining import Gold
from feldspar.errors import UsageError
from feldspar.graph.compile import compile_graph
from feldspar.online.push import HISTORY
from feldspar.online.rebuild import rebuild
from feldspar.serving.backend import Backend
from feldspar.serving.requests import Question
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import OnlineSettings, OnlineStore
from feldspar.times import to_micros
from support.places import disk_environment
from support.shop import DAY, NOON, TILED, Payment, Shop, history, opened_shop
from support.small_project import write_project
from support.valkey import Valkey, valkey


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def shop(
    spark: SparkSession, environment: Environment, server: Valkey, tmp_path: Path
) -> Iterator[Shop]:
    """A shop of the test's own."""
    with opened_shop(spark, environment, server.url, tmp_path) as opened:
        yield opened


@pytest.fixture
def tiled(
    spark: SparkSession, environment: Environment, server: Valkey, tmp_path: Path
) -> Iterator[Shop]:
    """A shop of the test's own with a view of tiles."""
    with opened_shop(spark, environment, server.url, tmp_path, TILED) as opened:
        yield opened


@pytest.fixture(scope="module")
def pushed(
    spark: SparkSession,
    disk: Environment,
    server: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """A shop whose whole history was pushed at noon; tests leave it as it is."""
    place = disk.model_copy(update={"namespace": "pushed"})
    with opened_shop(spark, place, server.url, tmp_path_factory.mktemp("pushed")) as opened:
        opened.load(*history())
        opened.push()
        yield opened


def _same(online: float | None, batch: float | None) -> bool:
    if online is None or batch is None:
        return online is batch
    return math.isclose(online, batch, rel_tol=1e-9)


def test_redis_equals_gold_now_and_when_windows_have_decayed(pushed: Shop) -> None:
    later = [NOON + days * DAY for days in (0.01, 3, 30)]

    assert pushed.differences(NOON, *later) == []


def test_redis_equals_gold_for_requests_that_are_days_late(pushed: Shop) -> None:
    assert pushed.differences(NOON - 3.3 * DAY, NOON - HISTORY) == []


def test_redis_equals_gold_after_every_incremental_push(shop: Shop) -> None:
    wrong: list[str] = []
    payments = history()
    for part in range(3):
        shop.load(*payments[part::3])
        clock = NOON + part * DAY
        shop.push(clock, after=None if part == 0 else part)
        wrong += shop.differences(clock + part * DAY)

    assert wrong == []


def test_corrections_move_events_in_time_and_between_customers(shop: Shop) -> None:
    shop.load(Payment(1, 1, 10.0, 1), Payment(2, 1, 20.0, 2), Payment(3, 2, 30.0, 0.5))
    shop.push()

    shop.load(Payment(1, 1, 11.0, 60, known=0.4), Payment(2, 2, 21.0, 2, known=0.3))
    shop.push(after=1)

    assert shop.differences(NOON - DAY, NOON) == []


def test_a_push_of_what_is_there_changes_nothing(pushed: Shop) -> None:
    again = pushed.push()

    assert [one.written for one in again] == [0, 0, 0]


def test_an_incremental_push_touches_only_the_entities_of_new_rows(shop: Shop) -> None:
    shop.load(*history())
    shop.push()

    shop.load(Payment(900, 3, 5.0, 0.1))
    done = shop.push(after=1)

    assert [(one.entities, one.written) for one in done] == [(1, 1)] * 3


def test_tiles_in_redis_equal_gold_after_every_incremental_push(tiled: Shop) -> None:
    wrong: list[str] = []
    payments = [*history(), Payment(1, 1, 7.5, 1.2, known=-0.5), Payment(2, 3, 8.5, 0.1)]
    for part in range(2):
        tiled.load(*payments[part::2])
        clock = NOON + part * DAY
        tiled.push(clock, after=None if part == 0 else part)
        wrong += tiled.differences(clock + part * 3.17 * DAY)

    assert wrong == []


def test_a_time_before_the_push_of_tiles_is_refused(tiled: Shop) -> None:
    tiled.load(*history())
    tiled.push()

    with pytest.raises(UsageError, match=r"view hourly_spend from 2024-05-20 12:00:00Z on"):
        tiled.verify(NOON - timedelta(seconds=1))


def test_rebuild_restores_a_flushed_server(pushed: Shop, tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        settings = OnlineSettings(server.url, "pushed", "data")
        with OnlineStore(settings) as store, Redis.from_url(server.url) as client:
            emptied = replace(pushed, store=store)
            emptied.push()
            client.flushall()

            rebuild(
                emptied.views,
                tables=emptied.tables,
                store=store,
                clock=to_micros(NOON),
                progress=emptied.said.append,
            )

            assert emptied.differences(NOON, NOON + 3 * DAY) == []


def test_verify_finds_a_value_that_is_not_golds(pushed: Shop, server: Valkey) -> None:
    view = pushed.graph.view("customer_spend")
    key = pushed.store.key("customer", [3], view.online_name)
    with Redis.from_url(server.url) as client:
        client.rename(key, "aside")
        found = {one.view: one for one in pushed.verify()}
        client.rename("aside", key)

    assert (found["last_payment"].different, found["customer_spend"].different > 0) == (0, True)
    assert "customer_id 3: customer_spend__count_7d" in " ".join(found["customer_spend"].examples)


def test_verify_counts_every_entity_and_value(pushed: Shop) -> None:
    found = {one.view: (one.entities, one.compared) for one in pushed.verify()}

    assert found == {"customer_spend": (7, 28), "last_payment": (7, 7), "moved_spend": (7, 21)}


def test_a_time_before_the_stores_history_is_refused(pushed: Shop) -> None:
    with pytest.raises(UsageError, match=r"Redis answers for view .* from 2024-05-13 12:00:00Z on"):
        pushed.verify(NOON - HISTORY - timedelta(seconds=1))


def test_a_changed_definition_is_pushed_whole_and_wins(shop: Shop, tmp_path: Path) -> None:
    shop.load(*history())
    shop.push()
    changed = write_project(tmp_path / "changed", {})
    text = (changed / "views" / "last_payment.yaml").read_text().replace("90d", "80d")
    (changed / "views" / "last_payment.yaml").write_text(text)
    shop.graph = compile_graph(load_definitions(changed, {}))

    done = {one.view: one for one in shop.push(after=1)}

    assert (done["last_payment"].written, done["customer_spend"].entities) == (7, 0)
    assert shop.differences(NOON, NOON + 3 * DAY) == []


def test_by_the_wall_clock_keys_expire_with_what_they_hold(
    shop: Shop, server: Valkey, environment: Environment
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    shift = (NOON - now) / DAY
    shop.load(Payment(1, 1, 10.0, 2 + shift), Payment(2, 2, 20.0, 200 + shift))
    with OnlineStore(OnlineSettings(server.url, environment.namespace, "wall")) as store:
        shop.store = store
        shop.push(now)
        name = shop.graph.view("last_payment").online_name
        keys = [store.key("customer", [one], name) for one in (1, 2)]
    with Redis.from_url(server.url) as client:
        expires = [client.pexpiretime(key) for key in keys]

    assert expires == [to_micros(now + 88 * DAY + HISTORY) // 1_000 + 1, -2]


def test_serving_answers_an_event_as_batch_does(
    pushed: Shop, server: Valkey, tmp_path: Path
) -> None:
    asked = [one for one in history() if one.happened < 7] + [Payment(999, 3, 44.0, 0.2)]
    service = pushed.graph.service("fraud")
    rows = [(one.ident, NOON - one.happened * DAY, one.customer, 5, one.amount) for one in asked]
    spine = pushed.tables.spark.createDataFrame(
        rows,
        "transaction_id bigint, tx_datetime timestamp, customer_id bigint, terminal_id bigint, "
        "amount double",
    )
    gold = {view.name: Gold(pushed.tables.read("gold", view.name)) for view in service.views}
    columns = SpineColumns("tx_datetime", "transaction_id")
    batch = add_features(spine, service, gold, columns=columns, buckets=2)
    wanted = {row["transaction_id"]: row.asDict() for row in batch.frame().collect()}
    place = disk_environment(tmp_path).model_copy(
        update={"redis": RedisSpec(url=server.url), "namespace": "pushed"}
    )
    backend = Backend(pushed.graph, place)

    wrong = []
    for row in rows:
        names = ("transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount")
        values = {**dict(zip(names, row, strict=True)), "tx_datetime": to_micros(row[1])}
        served = backend.one(Question("fraud", values, {"customer_id": row[2]}, None))
        wrong += [
            (row[0], name, value, wanted[row[0]][name])
            for name, value in served.answer.features.items()
            if not _same(value, wanted[row[0]][name])
        ]
    backend.close()

    assert wrong == []
