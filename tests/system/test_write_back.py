"""Scores that a model's answers leave behind, for views that other models may read."""

from __future__ import annotations

import json
from pathlib import Path

from feldspar.graph.compile import compile_graph
from feldspar.names import value_fingerprint
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import Cursor, OnlineStore
from feldspar.stores.rows import layout_of, unpack_rows
from feldspar.stores.tables.lake import Lake
from feldspar.times import to_micros
from support.http import serving
from support.scoring import (
    FILES,
    NOON,
    Payment,
    crown_champion,
    environment_with,
    put_features,
)
from support.small_project import write_project
from support.valkey import valkey

SCORES = {
    "sources/scores.yaml": "kind: files\npush: true\nevent_time: at\nknown_time: ingested\n",
    "tables/scores.yaml": """\
from: scores
key: [customer_id, at]
columns: {customer_id: bigint, at: timestamp, score: double, probability: double}
""",
    "views/last_score.yaml": "entity: customer\nfrom: scores\nfeatures: [score, probability]\n",
    "models/lending.yaml": FILES["models/lending.yaml"] + "write_back: scores\n",
}


def test_a_score_is_entered_when_the_process_has_ended(tmp_path: Path) -> None:
    graph = compile_graph(load_definitions(write_project(tmp_path, {**FILES, **SCORES}), {}))
    with valkey(tmp_path / "valkey") as server:
        place = environment_with(tmp_path, server.url, "shop")
        crown_champion(graph, place, "lending")
        view = graph.view("last_score")
        with OnlineStore.of(place) as store:
            put_features(graph, store, {1: [Payment(1, 10.0, 0.5)]})
            definition, noon = value_fingerprint(view.definition), to_micros(NOON)
            cursor = Cursor(1, definition, 0, 1, noon, noon - 1)
            store.set_cursor(view.online_name, cursor, before=None)
        with serving(create_app(Backend(graph, place))) as client:
            asked = {"service": "lending", "customer_id": 1}
            answers = [client.post("/score", json=asked).json() for _ in range(3)]
            client.post("/score", json={**asked, "at": "2024-05-20T11:00:00Z"})
        with OnlineStore.of(place) as store:
            value = store.get([store.key("customer", [1], view.online_name)])[0]

    files = sorted(Path(Lake.of(place).inbox("scores")).rglob("*.jsonl"))
    rows = [
        json.loads(json.loads(line)["_pushed"])
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert [float(row["score"]) for row in rows] == [one["credit_score"] for one in answers]
    assert {row["customer_id"] for row in rows} == {"1"}
    newest = unpack_rows(layout_of(view), value or b"")[-1]
    assert newest.values["probability"] == answers[-1]["probability"]
