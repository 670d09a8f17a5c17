"""Several rows in one request, many requests at once, a champion that changes, Redis that goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from feldspar.names import online_name
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.stack.ports import free_port
from feldspar.stores.cursors import Cursor
from feldspar.stores.online import OnlineStore
from feldspar.times import to_micros
from support.http import serving
from support.scoring import NOON, Payment, crown_champion, environment_with, put_features
from support.served_shop import EVENT, Shop, served_shop
from support.valkey import valkey

PAYMENTS = {
    number: [Payment(10 * number + 1, 7.0 * number, 0.5), Payment(10 * number + 2, 3.0, 4.0)]
    for number in range(1, 31)
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("batches")
    with served_shop(folder, "batches", PAYMENTS) as found:
        yield found


def test_several_entities_are_what_each_is_alone(shop: Shop) -> None:
    entities = [{"customer_id": number} for number in (3, 1, 3, 30)]

    several = shop.post("/score/lending", entities=entities).json()["answers"]

    assert several == [shop.post("/score", **one).json() for one in entities]


def test_several_events_each_with_its_own_time(shop: Shop) -> None:
    events = [{**EVENT, "customer_id": number} for number in (1, 2, 777)]
    events[1]["tx_datetime"] = "2024-05-22T12:00:00Z"

    several = shop.post("/features/fraud", events=events).json()["answers"]

    alone = [shop.post("/features", service="fraud", event=one).json() for one in events]
    assert several == alone
    counts = [one["features"]["customer_spend__count_7d"] for one in several]
    assert counts == [3, 3, 1]


def test_an_unknown_entity_among_several_stands_in_its_place(shop: Shop) -> None:
    entities = [{"customer_id": 1}, {"customer_id": 404}]

    known, unknown = shop.post("/features/lending", entities=entities).json()["answers"]

    assert known["customer_id"] == 1
    assert unknown == {"customer_id": 404, "error": "Customer features not found"}


@pytest.mark.parametrize(
    "body",
    [
        {"entities": []},
        {"entities": [{"customer_id": "1"}]},
        {"entities": [{}]},
        {"entities": [{"customer_id": 1}], "customer_id": 1},
        {"entities": [{"customer_id": 1}] * 1_001},
        {"entities": {"customer_id": 1}},
        {"customer_id": 1, "reasons": 21},
        {"customer_id": 1, "service": "lending"},
        {},
    ],
)
def test_wrong_requests_for_several_are_refused(shop: Shop, body: dict[str, Any]) -> None:
    answer = shop.post("/score/lending", **body)

    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_a_body_that_is_not_said_to_be_json_is_refused(shop: Shop) -> None:
    answer = shop.client.post("/score", content=b'{"customer_id": 1}')

    assert answer.status_code == 415


def test_requests_at_once_each_get_their_own_answer(shop: Shop) -> None:
    numbers = [number for number in PAYMENTS for _ in range(4)]

    with ThreadPoolExecutor(16) as threads:
        bodies = [{"customer_id": number} for number in numbers]
        answers = list(threads.map(lambda body: shop.post("/score", **body).json(), bodies))

    alone = {number: shop.post("/score", customer_id=number).json() for number in PAYMENTS}
    assert answers == [alone[number] for number in numbers]


def test_reasons_say_what_moved_the_score(shop: Shop) -> None:
    plain = shop.post("/score", customer_id=3).json()

    answer = shop.post("/score", customer_id=3, reasons=2).json()

    first, second = answer.pop("reasons")
    assert answer == plain
    assert abs(first["moved"]) >= abs(second["moved"]) > 0
    assert first["feature"] in plain["features_used"]
    way = "raised" if first["moved"] > 0 else "lowered"
    assert f" {way} the probability by " in first["text"]


def test_what_there_is_to_ask_for(shop: Shop) -> None:
    found = shop.client.get("/api/v1/features").json()

    assert set(found["services"]) == set(shop.graph.services)
    spend = found["views"]["customer_spend"]
    assert (spend["kind"], spend["pushed_version"]) == ("windowed", 3)
    assert found["services"]["lending"]["features"]["last_payment__last_amount"] == "double"


def test_a_new_champion_answers_without_a_request_lost(shop: Shop, tmp_path: Path) -> None:
    environment = environment_with(tmp_path, shop.server.url, "batches")
    crown_champion(shop.graph, environment, "lending")
    backend = Backend(shop.graph, environment)
    versions: list[str] = []
    ended = threading.Event()

    def ask(client: httpx.Client) -> None:
        while not ended.is_set():
            answer = client.post("/score", json={"customer_id": 1})
            assert answer.status_code == 200
            versions.append(answer.json()["model_version"])
            if versions[-1] == "2":
                ended.set()

    with serving(create_app(backend)) as client, ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask, client) for _ in range(2)]
        crown_champion(shop.graph, environment, "lending")
        try:
            for one in asking:
                one.result(timeout=60)
        finally:
            ended.set()

    assert set(versions) == {"1", "2"}
    assert versions[0] == "1"


def test_while_redis_is_away_a_service_with_a_fallback_answers(shop: Shop, tmp_path: Path) -> None:
    services = dict(shop.graph.services)
    services["fraud"] = replace(services["fraud"], fallback="missing")
    graph = replace(shop.graph, services=services)
    with valkey(tmp_path / "valkey") as server:
        environment = environment_with(tmp_path, server.url, "fallback")
        crown_champion(graph, environment, "fraud")
        with OnlineStore.of(environment) as store:
            put_features(graph, store, PAYMENTS)
            with serving(create_app(Backend(graph, environment))) as client:
                asked = {"service": "fraud", "event": EVENT}
                before = client.post("/score", json=asked).json()
                server.stop()
                away = client.post("/score", json=asked)
                ready = client.get("/ready").status_code
                refused = client.post("/features", json={"customer_id": 1, "service": "lending"})
                server.start()
                wiped = client.post("/score", json=asked)
                put_features(graph, store, PAYMENTS)
                after = client.post("/score", json=asked).json()

    assert (away.status_code, ready, refused.status_code) == (200, 503, 503)
    assert (before["degraded"], away.json()["degraded"], after["degraded"]) == (False, True, False)
    assert (wiped.status_code, wiped.json()) == (200, away.json())
    assert "last_payment__last_amount" not in before["missing"]
    assert after["probability"] == before["probability"]
    assert away.json()["versions"] == {}


def test_a_fallback_needs_no_clock_that_redis_has_never_told(shop: Shop, tmp_path: Path) -> None:
    services = {**shop.graph.services}
    services["lending"] = replace(services["lending"], fallback="missing")
    graph = replace(shop.graph, services=services)
    nobody = f"redis://127.0.0.1:{free_port(())}/0"
    environment = environment_with(tmp_path, nobody, "never")
    assert environment.clock == "data"
    crown_champion(graph, environment, "lending")
    with serving(create_app(Backend(graph, environment))) as client:
        answer = client.post("/score", json={"customer_id": 1, "service": "lending"})

    assert (answer.status_code, answer.json()["degraded"]) == (200, True), answer.text
    assert set(answer.json()["feature_ages"].values()) == {None}


def test_health_tells_a_view_that_another_definition_was_pushed_of(shop: Shop) -> None:
    environment = shop.environment.model_copy(update={"namespace": "renamed"})
    view = shop.graph.view("customer_spend")
    noon = to_micros(NOON)
    with OnlineStore.of(environment) as store:
        other = Cursor(1, "another", 0, 1, noon, noon)
        store.set_cursor(online_name(view.name, "another"), other, before=None)
        with serving(create_app(Backend(shop.graph, environment))) as client:
            found = client.get("/health").json()

    assert found["views"] == {"customer_spend": "other definition", "last_payment": "not pushed"}


def test_ready_says_which_model_is_absent(shop: Shop, tmp_path: Path) -> None:
    bare = environment_with(tmp_path, shop.server.url, "batches")
    with serving(create_app(Backend(shop.graph, bare))) as client:
        absent = client.get("/ready")

    assert shop.client.get("/ready").json() == {"ready": True, "models_absent": []}
    assert absent.status_code == 503
    assert absent.json()["models_absent"] == ["fraud", "lending"]
