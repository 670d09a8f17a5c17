"""A small shop that is served: features in a real Redis, champions in MLflow, answers over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from feldspar.graph.graph import Graph
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.spec.environment import Environment
from feldspar.stores.online import OnlineStore
from support.http import serving
from support.scoring import Payment, crown_champion, environment_with, put_features, small_graph
from support.valkey import Valkey, valkey

EVENT: dict[str, Any] = {
    "transaction_id": 9_999,
    "tx_datetime": "2024-05-20T12:00:00Z",
    "customer_id": 1,
    "terminal_id": 5,
    "amount": 20.0,
}
"""A payment that no table has."""


@dataclass(frozen=True)
class Shop:
    graph: Graph
    environment: Environment
    server: Valkey
    client: httpx.Client

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def features(self, **body: Any) -> httpx.Response:
        return self.post("/features", **body)

    def score(self, **body: Any) -> httpx.Response:
        return self.post("/score", **body)


@contextmanager
def served_shop(folder: Path, namespace: str, payments: dict[int, list[Payment]]) -> Iterator[Shop]:
    """Both of the small project's services with champions, over these payments by customer."""
    with valkey(folder / "valkey") as server:
        graph = small_graph(folder)
        environment = environment_with(folder, server.url, namespace)
        for model in ("fraud", "lending"):
            crown_champion(graph, environment, model)
        with OnlineStore.of(environment) as store:
            put_features(graph, store, payments)
        with serving(create_app(Backend(graph, environment))) as client:
            yield Shop(graph, environment, server, client)
