"""Pushes to servers that fail over, lose values, are full or spread over a cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import StoreError
from feldspar.graph.compile import compile_graph
from feldspar.run.failures import told_clearly
from feldspar.serving.backend import Backend
from feldspar.serving.requests import Question
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import OnlineStore
from feldspar.times import to_micros
from support.places import disk_environment
from support.relay import relay
from support.shop import NOON, Shop, history, opened_shop
from support.small_project import FILES, write_project
from support.valkey import Valkey, cluster, valkey

NEW_LAYOUT = {
    "views/customer_spend.yaml": FILES["views/customer_spend.yaml"].replace(
        "request_event", "hop: {1d: 5m, 7d: 1h}\nrequest_event"
    )
}


@pytest.fixture(scope="module")
def lake(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """Gold of a shop; nothing of it is pushed."""
    place = disk.model_copy(update={"namespace": "loss"})
    nowhere = "redis://127.0.0.1:1/0"
    with opened_shop(spark, place, nowhere, tmp_path_factory.mktemp("loss")) as opened:
        opened.load(*history())
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path / "valkey") as running:
        yield running


@pytest.fixture
def shop(lake: Shop, server: Valkey) -> Iterator[Shop]:
    """The shop, pushed to a server of the test's own."""
    with _at(lake, server.url) as shop:
        shop.push()
        yield shop


@contextmanager
def _at(shop: Shop, url: str, **settings: int) -> Iterator[Shop]:
    """The same gold with its store elsewhere."""
    with OnlineStore(replace(shop.store.settings, url=url, **settings)) as store:
        yield replace(shop, store=store, said=[])


def _lost(shop: Shop) -> set[str]:
    return {one.lost for one in shop.store.pushed(shop.graph.views).values()}


def test_a_cluster_that_lost_a_part_is_pushed_anew_and_equals_gold(
    lake: Shop, tmp_path: Path
) -> None:
    with cluster(tmp_path) as servers, _at(lake, servers.url) as shop:
        shop.push()
        with servers.servers[1].client() as client:
            client.flushall()
        before, wrong = _lost(shop), shop.differences(NOON)

        shop.push(after=0)

        assert (len(wrong) > 0, shop.differences(NOON)) == (True, [])
        assert (all("emptied" in text for text in before), _lost(shop)) == (True, {""})


def test_a_full_server_ends_the_push_clearly_and_the_next_one_completes_it(
    shop: Shop, server: Valkey, tmp_path: Path
) -> None:
    shop.generation = 1
    with server.client() as admin:
        admin.config_set("maxmemory", "1mb")
        refused = pytest.raises(StoreError, match=r"StoreError: Redis at .* is full .*online push")
        with refused, told_clearly("online", log=tmp_path):
            shop.push(after=0)
        pushed = shop.store.pushed(shop.graph.views).values()
        during = {one.generation for one in pushed}, shop.differences(NOON)
        admin.config_set("maxmemory", "0")

    shop.push(after=0)

    assert during == ({0}, [])
    pushed = shop.store.pushed(shop.graph.views).values()
    assert ({one.generation for one in pushed}, shop.differences(NOON)) == ({1}, [])


def test_a_push_goes_on_through_a_failover_while_features_are_read(
    lake: Shop, tmp_path: Path
) -> None:
    with (
        valkey(tmp_path / "a") as primary,
        valkey(tmp_path / "b") as replica,
        relay(primary.port) as name,
        _at(lake, name.url) as shop,
    ):
        shop.push()
        _follow(replica, primary)
        shop.generation = 1
        reading = _Reading(shop, name.url, tmp_path)

        def fail_over(said: str) -> None:
            shop.said.append(said)
            if name.target == primary.port:
                with replica.client() as client:
                    client.replicaof("NO", "ONE")
                name.target = replica.port
                _follow(primary, replica)

        with reading:
            shop.push(after=0, progress=fail_over)
            primary.stop()
            reading.goes_on()
        with _at(lake, replica.url) as left:
            wrong = left.differences(NOON)

    assert (wrong, reading.answers[-1]) == ([], reading.answers[0])
    assert all("does not answer" in text for text in reading.refused)
    assert any("Redis failed over meanwhile" in said for said in shop.said)


def test_old_and_new_definition_are_served_at_every_moment_of_a_push(
    shop: Shop, tmp_path: Path
) -> None:
    url, gone = shop.store.settings.url, {view.online_name for view in shop.views}
    changed = compile_graph(load_definitions(write_project(tmp_path / "new", NEW_LAYOUT), {}))
    old, new = _Reading(shop, url, tmp_path), _Reading(replace(shop, graph=changed), url, tmp_path)
    before = old.ask()
    shop.graph = changed
    with old, new:
        shop.push()
        old.goes_on()
        new.goes_on()
    beside = set(shop.store.definitions("customer_spend"))
    with _at(shop, url, keep_replaced=0) as hasty:
        hasty.push(after=0)

    final = new.answers[-1]
    assert all(answer == before for answer in old.answers)
    assert all(answer == final for answer in new.answers)
    assert new.refused <= {"Redis holds no features of view customer_spend by this definition yet"}
    assert old.refused == set()
    assert (final["customer_spend__count_7d"] is None, shop.differences(NOON)) == (False, [])
    left = set(shop.store.definitions("customer_spend"))
    assert (len(beside), len(left), left & gone) == (2, 1, set())


class _Reading:
    """Asks a serving backend for one customer's features all the time."""

    def __init__(self, shop: Shop, url: str, folder: Path) -> None:
        place = disk_environment(folder).model_copy(
            update={"redis": RedisSpec(url=url), "namespace": shop.store.settings.namespace}
        )
        self.backend = Backend(shop.graph, place)
        self.answers: list[dict[str, object]] = []
        self.refused: set[str] = set()
        self._stop = threading.Event()
        self._one_more = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)

    def __enter__(self) -> _Reading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.backend.close()

    def goes_on(self) -> None:
        """Until two more answers have come."""
        for _ in range(2):
            self._one_more.clear()
            assert self._one_more.wait(20.0)

    def ask(self) -> dict[str, object]:
        """The features of a customer."""
        values = {
            "transaction_id": 999,
            "tx_datetime": to_micros(NOON),
            "customer_id": 3,
            "terminal_id": 5,
            "amount": 44.0,
        }
        served = self.backend.one(Question("fraud", values, {"customer_id": 3}, None))
        return dict(served.answer.features)

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(self.ask())
                self._one_more.set()
            except StoreError as error:
                self.refused.add(error.message)


def _follow(replica: Valkey, primary: Valkey) -> None:
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
    replica.wait(lambda info: info["master_link_status"] == "up", "INFO", "replication")
