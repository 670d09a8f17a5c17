"""The serving process over HTTP, with a real Redis-protocol server and real champions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feldspar.compute.scoring import answer_columns
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore
from support.http import serving
from support.scoring import (
    DAY,
    NOON,
    Payment,
    environment_with,
    put_features,
)
from support.served_shop import EVENT, Shop, served_shop
from support.valkey import valkey

PAYMENTS = {
    1: [Payment(11, 10.0, 0.5), Payment(12, 30.0, 0.9), Payment(13, 50.0, 5)],
    2: [Payment(21, 7.0, 100)],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with served_shop(folder, "shop", PAYMENTS) as found:
        yield found


def test_features_of_a_customer_by_the_data_clock(shop: Shop) -> None:
    answer = shop.features(customer_id=1).json()

    assert answer["features"] == {
        "customer_spend__count_1d": 2,
        "customer_spend__count_7d": 3,
        "customer_spend__avg_amount_1d": 20.0,
        "customer_spend__avg_amount_7d": 30.0,
        "last_payment__last_amount": 10.0,
        "last_payment__last_amount_twice": 20.0,
        "last_payment__ratio": 20.0 / 30.0,
    }
    assert (answer["timestamp"], answer["clock"]) == ("2024-05-20T12:00:00Z", "data")


def test_the_scored_event_counts_once_in_its_own_windows(shop: Shop) -> None:
    own = shop.features(service="fraud", event=EVENT).json()["features"]
    stored = shop.features(service="fraud", event={**EVENT, "transaction_id": 11}).json()

    counts = [own["customer_spend__count_1d"], stored["features"]["customer_spend__count_1d"]]
    assert counts == [3, 2]


def test_windows_decay_while_nothing_new_arrives(shop: Shop) -> None:
    later = (NOON + 3 * DAY).isoformat()

    answer = shop.features(customer_id=1, at=later).json()

    counts = [answer["features"][f"customer_spend__count_{size}"] for size in ("1d", "7d")]
    assert (counts, answer["feature_ages"]["customer_spend"]) == ([0, 2], 3.5 * 86_400)


def test_a_value_older_than_its_ttl_is_stale_and_so_is_what_is_made_of_it(shop: Shop) -> None:
    answer = shop.features(customer_id=2).json()

    made = ("last_amount", "last_amount_twice", "ratio")
    assert set(answer["stale"]) == {f"last_payment__{name}" for name in made}
    assert answer["missing"] != answer["stale"]


def test_a_credit_score_has_every_field_that_was_promised(shop: Shop) -> None:
    answer = shop.score(customer_id=1).json()

    assert set(answer) >= {
        *("customer_id", "credit_score", "risk_level", "confidence", "features_used"),
        *("timestamp", "model_version", "feature_ages", "missing", "stale"),
    }
    assert answer["customer_id"] == 1


def test_a_score_is_what_the_champion_says_of_the_served_features(shop: Shop) -> None:
    champion = Experiments.of(shop.environment).champion("lending")
    assert champion is not None
    features = shop.features(customer_id=1).json()["features"]
    row = np.array([[features[name] for name in champion.inputs]], dtype=np.float64)

    answer = shop.score(customer_id=1).json()

    wanted = champion.estimator.predict_proba(row)[:, 1]
    expected = {name: one[0] for name, one in answer_columns("credit_score", wanted).items()}
    assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-12)
    assert answer["credit_score"] == expected["credit_score"]


def test_a_payment_is_scored_at_its_own_time(shop: Shop) -> None:
    event = {**EVENT, "tx_datetime": "2024-05-21T00:00:00+02:00"}

    answer = shop.score(service="fraud", event=event).json()

    assert (answer["timestamp"], answer["model"]) == ("2024-05-20T22:00:00Z", "fraud")
    assert 0 <= answer["probability"] <= 1


def test_a_payment_of_a_new_customer_is_scored(shop: Shop) -> None:
    event = {**EVENT, "customer_id": 777}

    answer = shop.features(service="fraud", event=event).json()["features"]

    assert (answer["customer_spend__count_7d"], answer["customer_spend__avg_amount_7d"]) == (1, 20)


def test_an_unknown_customer_is_not_found(shop: Shop) -> None:
    answer = shop.score(customer_id=404)

    assert (answer.status_code, answer.json()["detail"]) == (404, "Customer features not found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customer_id": "1"},
        {"customer_id": 1.5},
        {"customer_id": True},
        {"customer_id": 2**63},
        {"customer_id": None},
        {"customer_id": 1, "surprise": 1},
        {"customer_id": 1, "at": "2024-05-20T12:00:00"},
        {"customer_id": 1, "at": 1_716_206_400},
        {"customer_id": 1, "at": "yesterday"},
        {"customer_id": 1, "at": "2020-01-01T00:00:00Z"},
        {"customer_id": 1, "service": "lendin"},
        {"customer_id": 1, "event": EVENT},
        {"service": "fraud"},
        {"service": "fraud", "customer_id": 1},
        {"service": "fraud", "event": {**EVENT, "customer_id": None}},
        {"service": "fraud", "event": {**EVENT, "transaction_id": None}},
        {"service": "fraud", "event": {**EVENT, "tx_datetime": "2024-05-20T12:00:00"}},
        {"service": "fraud", "event": {**EVENT, "amount": "20"}},
        {"service": "fraud", "event": {**EVENT, "is_fraud": True}},
        {"service": "fraud", "event": {key: EVENT[key] for key in ("customer_id", "amount")}},
    ],
)
def test_a_wrong_request_is_refused(shop: Shop, body: dict[str, Any]) -> None:
    assert shop.client.post("/score", json=body).status_code == 422


def test_health_names_models_and_views(shop: Shop) -> None:
    answer = shop.client.get("/health").json()

    assert (answer["status"], answer["models"]) == ("ok", {"fraud": "1", "lending": "1"})
    assert answer["views"] == {"customer_spend": "current", "last_payment": "current"}


def test_metrics_count_requests_and_missing_features(shop: Shop) -> None:
    shop.score(customer_id=2)

    text = shop.client.get("/metrics").text

    assert 'feldspar_requests_total{route="/score",status="200"}' in text
    assert 'feldspar_missing_features_total{feature="last_payment__last_amount"' in text


def test_openapi_shows_the_columns_of_an_event(shop: Shop) -> None:
    schemas = shop.client.get("/openapi.json").json()["components"]["schemas"]

    assert set(schemas["transactions_event"]["properties"]) == set(EVENT)


def test_without_a_champion_the_answer_says_what_to_do(shop: Shop, tmp_path: Path) -> None:
    bare = environment_with(tmp_path, shop.server.url, "shop")
    with serving(create_app(Backend(shop.graph, bare))) as client:
        answer = client.post("/score", json={"customer_id": 1})

    assert (answer.status_code, answer.json()["hint"]) == (503, "train one: feldspar apply")


def test_before_the_first_push_the_answer_says_what_to_do(shop: Shop, tmp_path: Path) -> None:
    empty = environment_with(tmp_path, shop.server.url, "nothing_here")
    with serving(create_app(Backend(shop.graph, empty))) as client:
        answer = client.post("/features", json={"customer_id": 1})

    assert (answer.status_code, answer.json()["hint"]) == (503, "feldspar apply")


def test_redis_stopped_and_started_again_under_a_running_process(
    shop: Shop, tmp_path: Path
) -> None:
    with valkey(tmp_path) as server:
        environment = environment_with(tmp_path, server.url, "restart")
        with OnlineStore.of(environment) as store:
            put_features(shop.graph, store, PAYMENTS)
            with serving(create_app(Backend(shop.graph, environment))) as client:
                before = client.post("/features", json={"customer_id": 1}).status_code
                server.stop()
                started = time.monotonic()
                away = [client.post("/features", json={"customer_id": 1}), client.get("/health")]
                seconds = time.monotonic() - started
                server.start()
                put_features(shop.graph, store, PAYMENTS)
                after = client.post("/features", json={"customer_id": 1}).status_code

    statuses = [before, *(one.status_code for one in away), after]
    assert statuses == [200, 503, 503, 200]
    assert seconds < 2


def test_serving_loads_where_spark_is_not_installed() -> None:
    absent = "import sys\nfor name in ('pyspark', 'delta', 'hyperopt'): sys.modules[name] = None\n"
    code = f"{absent}import feldspar.serving.main, feldspar.serving.__main__\nprint('loaded')"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]

    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)

    assert done.stdout.strip() == "loaded"
