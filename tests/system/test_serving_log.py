"""The serving process logs what it answers: features and scores, by the versions it read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.stores.online import OnlineStore
from support.http import serving
from support.scoring import (
    NOON,
    Payment,
    crown_champion,
    environment_with,
    put_features,
    small_graph,
)
from support.valkey import valkey

PAYMENTS = {1: [Payment(11, 10.0, 0.5), Payment(12, 30.0, 0.9), Payment(13, 50.0, 5)]}


@dataclass(frozen=True)
class Logged:
    """What was answered over HTTP, what the log has of it, and what /metrics said before."""

    score: dict[str, Any]
    features: dict[str, Any]
    rows: list[dict[str, Any]]
    metrics: str


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("logged")
    with valkey(folder / "valkey") as server:
        graph = small_graph(folder)
        environment = environment_with(folder, server.url, "logged")
        crown_champion(graph, environment, "lending")
        with OnlineStore.of(environment) as store:
            put_features(graph, store, PAYMENTS)
        with serving(create_app(Backend(graph, environment))) as client:
            asked = {"service": "lending", "customer_id": 1}
            features = client.post("/features", json=asked).json()
            score = client.post("/score", json=asked).json()
            refused = client.post("/score", json={**asked, "customer_id": 99})
            metrics = client.get("/metrics").text
        assert refused.status_code == 404
        inbox = Path(environment.storage.root) / "logged" / "inbox" / "served" / "lending"
        found = pa.concat_tables([pq.read_table(file) for file in inbox.rglob("*.parquet")])
        rows = found.sort_by("_served_at").to_pylist()
        yield Logged(score, features, rows, metrics)


def test_each_answer_is_logged_once(logged: Logged) -> None:
    assert [row["_model"] for row in logged.rows] == [None, "lending"]


def test_the_log_has_the_features_that_were_answered(logged: Logged) -> None:
    row = logged.rows[0]

    assert {name: row[name] for name in logged.features["features"]} == logged.features["features"]
    assert (row["customer_id"], row["_at"], row["_stale"], row["_degraded"]) == (1, NOON, [], False)


def test_the_log_has_the_versions_of_cursor_and_value(logged: Logged) -> None:
    names = ("_version_customer_spend", "_version_last_payment", "_stamp_customer_spend")

    assert [logged.rows[0][name] for name in (*names, "_stamp_last_payment")] == [3, 3, 3, None]


def test_the_log_has_the_score_and_its_model(logged: Logged) -> None:
    row = logged.rows[1]

    assert (row["_probability"], row["_model_version"]) == (
        logged.score["probability"],
        logged.score["model_version"],
    )


def test_metrics_tell_of_the_log(logged: Logged) -> None:
    assert 'feldspar_served_log_dropped_total{service="lending"} 0.0' in logged.metrics
