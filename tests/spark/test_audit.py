"""Audits of served logs on a real lake and a real Redis: silent on a clean run, right on faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.graph.graph import Graph
from feldspar.graph.view import PlainView, WindowedView
from feldspar.monitor.audit.findings import LATE, lines
from feldspar.run import verbs
from feldspar.run.workplace import Workplace
from feldspar.serving.served import ServedRecord
from feldspar.spec.environment import Environment
from feldspar.stores.experiments import Experiments
from feldspar.stores.tables import audits
from support.audited import HOUR, TIMES, AuditedShop, audited_shop
from support.places import silent
from support.shop import DAY, NOON, Payment
from support.valkey import valkey

LAST = "last_payment__last_amount"
SPEND = frozenset(
    f"customer_spend__{name}" for name in ("count_1d", "count_7d", "avg_amount_1d", "avg_amount_7d")
)
SCORED = tuple(Payment(900 + number, number % 7, 5.5, 0.2 - number / 100) for number in range(20))

ABROAD = tuple(replace(one, ident=one.ident + 30) for one in SCORED)


@pytest.fixture(scope="module")
def shop(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuditedShop]:
    """A shop that answered well, then with one fault after the other; each had an hour."""
    folder = tmp_path_factory.mktemp("audited")
    place = disk.model_copy(update={"namespace": "audited"})
    with (
        valkey(folder / "valkey") as server,
        audited_shop(spark, place, server.url, folder) as opened,
    ):
        _serve_wrongly(opened)
        _write_wrongly(opened)
        opened.ingest()
        yield opened


def _serve_wrongly(shop: AuditedShop) -> None:
    """What is in Redis is right; the server or the log is not."""
    graph = shop.shop.graph
    # gold gets more rows later on that happened after these times
    shop.serve("clean", times=TIMES[:3])
    shop.serve("short ttl", graph=with_ttl(graph, DAY))
    at_the_end = [NOON + days * DAY for days in (85, 88, 90, 95)]
    shop.serve("long ttl", graph=with_ttl(graph, 400 * DAY), times=at_the_end)
    shop.serve("window", graph=with_window(graph, "count_7d", 6 * DAY))
    shop.serve("east", ask=lambda at: at + 2 * HOUR)
    shop.serve("west", ask=lambda at: at - 5 * HOUR)
    shop.serve("gone", times=[NOON], alter=in_version_999)
    shop.serve("degraded", times=[NOON], alter=lambda one: one._replace(degraded=True, features={}))
    for one in SCORED:
        shop.serve_payment("payments", one)
    for one in ABROAD:
        shop.serve_payment("abroad", replace(one, happened=one.happened - HOUR * 2 / DAY))
    shop.put_silver(*SCORED[:15], *ABROAD)


def _write_wrongly(shop: AuditedShop) -> None:
    """The server is right; what lies in Redis is not, or not all that gold has."""
    lost = shop.keys("{customer:i4}:last_payment@*")
    shop.redis.delete(*lost)
    shop.serve("lost", times=[NOON], customers=[1, 4])
    shop.put(lost)
    older, cursors = shop.keys("{customer:i3}:*"), shop.keys("cursors")
    shop.shop.load(Payment(700, 3, 99.0, 0.02), Payment(701, 5, 98.0, 0.02), *SCORED[:9])
    shop.shop.push(after=1)
    shop.serve("two pushes", times=[NOON, NOON + DAY], customers=[0, 3, 5])
    newer = shop.keys("{customer:i3}:*") | shop.keys("cursors")
    shop.put(older)
    shop.serve("reordered", times=[NOON, NOON + DAY / 2], customers=[0, 3])
    shop.put({**newer, **cursors})
    # values are written before the cursor: a server reads the old one beside a new value
    shop.serve("in flight", times=[NOON], customers=[1, 3, 5])
    shop.put(newer)
    shop.serve("late", times=[NOON], customers=[1, 6])
    shop.shop.load(Payment(702, 6, 97.0, 0.02, 0.01))


def in_version_999(one: ServedRecord) -> ServedRecord:
    return one._replace(versions={**one.versions, "last_payment": 999})


def with_ttl(graph: Graph, ttl: timedelta) -> Graph:
    view = graph.view("last_payment")
    assert isinstance(view, PlainView)
    return with_view(graph, replace(view, ttl=ttl))


def with_window(graph: Graph, name: str, window: timedelta) -> Graph:
    """The same features under the same names, one of them over another window."""
    view = graph.view("customer_spend")
    assert isinstance(view, WindowedView)
    changed = [replace(one, window=window) if one.name == name else one for one in view.aggregates]
    return with_view(graph, replace(view, aggregates=tuple(changed)))


def with_view(graph: Graph, view: PlainView | WindowedView) -> Graph:
    services = {
        name: replace(
            service, views=tuple(view if one.name == view.name else one for one in service.views)
        )
        for name, service in graph.services.items()
    }
    return replace(graph, views={**graph.views, view.name: view}, services=services)


def test_a_clean_run_has_no_difference_and_nothing_stale(shop: AuditedShop) -> None:
    found = shop.audit("clean")

    assert (found.fails, found.served, found.audited) == (False, 21, 21)
    assert {(one.compared, one.different, one.stale) for one in found.features} == {(21, 0, 0)}


def test_every_feature_of_the_service_is_looked_at(shop: AuditedShop) -> None:
    outputs = shop.shop.graph.service("lending").outputs

    assert [one.feature for one in shop.audit("clean").features] == [one.name for one in outputs]


def test_a_payment_that_is_scored_counts_once(shop: AuditedShop) -> None:
    found = shop.audit("payments", "fraud")

    assert {(one.compared, one.different) for one in found.features} == {(20, 0), (15, 0)}


def test_what_requests_said_is_held_against_rows_that_arrived(shop: AuditedShop) -> None:
    looked_at = [one.feature for one in shop.audit("payments", "fraud").features]

    assert looked_at[-2:] == ["tx_datetime", "amount"]


def test_requests_by_the_clock_of_another_zone_are_named(shop: AuditedShop) -> None:
    different = [one for one in shop.audit("abroad", "fraud").features if one.different]

    assert [(one.feature, one.cause, one.different) for one in different] == [
        ("tx_datetime", "time zone +2:00", 20)
    ]


def test_answers_of_two_pushes_are_each_held_against_their_own(shop: AuditedShop) -> None:
    assert (shop.different("two pushes"), shop.audit("two pushes").audited) == ({}, 6)


@pytest.mark.parametrize("hour", ["short ttl", "long ttl"])
def test_a_wrong_ttl_is_named(shop: AuditedShop, hour: str) -> None:
    assert shop.causes(hour) == {LAST: "ttl"}


def test_a_wrong_window_is_named(shop: AuditedShop) -> None:
    assert shop.causes("window") == {"customer_spend__count_7d": "window 6d"}


@pytest.mark.parametrize(("hour", "label"), [("east", "+2:00"), ("west", "-5:00")])
def test_a_wrong_time_zone_is_named(shop: AuditedShop, hour: str, label: str) -> None:
    assert shop.causes(hour) == dict.fromkeys([*SPEND, LAST], f"time zone {label}")


def test_an_older_value_over_a_newer_one_is_named(shop: AuditedShop) -> None:
    assert shop.causes("reordered") == dict.fromkeys([*SPEND, LAST], "reordered write")


def test_an_entity_that_redis_lost_is_named(shop: AuditedShop) -> None:
    assert shop.causes("lost") == {LAST: "missing"}


def test_a_late_row_is_no_difference_but_stale_and_dated(shop: AuditedShop) -> None:
    found = {one.feature: one for one in shop.audit("late").features if one.stale}

    assert {name: one.cause for name, one in found.items()} == dict.fromkeys([*SPEND, LAST], LATE)
    assert {(one.different, one.stale, one.late) for one in found.values()} == {
        (0, 1, timedelta(minutes=15))
    }


def test_values_of_a_push_that_is_on_its_way_are_no_difference(shop: AuditedShop) -> None:
    found = shop.audit("in flight")

    assert (sum(one.different for one in found.features), found.in_flight) == (
        0,
        {"last_payment": 2},
    )


def test_what_is_computed_of_wrong_features_is_traced_to_them(shop: AuditedShop) -> None:
    computed = [one for one in shop.audit("reordered").features if not one.view]

    assert {one.cause for one in computed if one.different} == {"inputs"}


def test_examples_tell_who_and_both_values(shop: AuditedShop) -> None:
    [example] = {one.examples[0] for name, one in shop.different("lost").items() if name == LAST}

    assert "customer_id 4" in example
    assert "served None, gold " in example


def test_a_version_that_is_gone_is_said_and_not_compared(shop: AuditedShop) -> None:
    found = shop.audit("gone")
    compared = {one.feature: one.compared for one in found.features}

    assert (found.gone, compared[LAST]) == ({"last_payment": {999: found.audited}}, 0)
    assert {compared[name] for name in SPEND} == {found.audited}
    assert any("gold can no longer be read at version 999" in line for line in lines(found))


def test_answers_without_redis_are_counted_and_not_compared(shop: AuditedShop) -> None:
    found = shop.audit("degraded")

    assert (found.served, found.degraded, found.audited, found.fails) == (7, 7, 0, False)


def test_a_sample_is_the_same_whenever_it_is_asked(shop: AuditedShop) -> None:
    first, second = (shop.audit("window", sample=9) for _ in range(2))

    assert (first, first.served) == (second, 9)


def test_the_verb_fails_for_a_fault_and_leaves_its_rows(shop: AuditedShop) -> None:
    environment = shop.environment
    work = Workplace(
        shop.shop.graph,
        environment,
        shop.shop.tables,
        shop.shop.store,
        Experiments.of(environment),
        silent,
    )
    since, until = shop.hour("window"), shop.hour("window") + HOUR
    answer = verbs.audit(
        work, service="lending", since=since.isoformat(), until=until.isoformat(), sample=None
    )
    rows = {row.feature: row for row in audits.newest(shop.shop.tables.lake)}

    assert (answer["failed"], "window of 6d" in "\n".join(answer[verbs.TOLD])) == (True, True)
    assert (rows["customer_spend__count_7d"].cause, rows[LAST].different) == ("window 6d", 0)


def test_the_log_is_in_bronze_once_and_no_longer_in_the_inbox(shop: AuditedShop) -> None:
    rows = shop.shop.tables.read("bronze", "served_lending")
    answered = [one.request_id for one in shop.records if one.service == "lending"]
    inbox = Path(shop.shop.tables.lake.uri("inbox", "served/lending"))

    assert sorted(row[0] for row in rows.select("_request_id").collect()) == sorted(answered)
    assert [*inbox.rglob("*.parquet")] == []
