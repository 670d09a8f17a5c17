"""``python -m feldspar.serving`` as a process of its own, configured by files and variables."""

from __future__ import annotations

import sys
from pathlib import Path

from feldspar.stores.online import OnlineStore
from support.scoring import NOON, Payment, environment_with, put_features, small_graph
from support.serving_process import served_project, serving_process
from support.valkey import valkey


def test_the_process_serves_the_project_that_variables_name(tmp_path: Path) -> None:
    graph = small_graph(tmp_path)
    with valkey(tmp_path / "valkey") as server:
        with OnlineStore.of(environment_with(tmp_path, server.url, "shop")) as store:
            put_features(graph, store, {1: [Payment(1, 10.0, 0.5)]})
        variables = served_project(tmp_path, "shop", server.url)
        log = tmp_path / "serving.log"
        with serving_process(Path(sys.executable), variables, log=log) as client:
            answer = client.post("/features", json={"service": "lending", "customer_id": 1})

    assert answer.status_code == 200, log.read_text(encoding="utf-8")
    assert answer.json()["timestamp"] == NOON.isoformat().replace("+00:00", "Z")
