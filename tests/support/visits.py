"""A small project whose rows come over HTTP, with views that Redis holds as if gold were pushed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.names import value_fingerprint
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import Cursor, OnlineStore
from feldspar.stores.tables.lake import Lake
from feldspar.times import to_micros, utc_now
from support.scoring import environment_with
from support.small_project import write_project

FILES = {
    "sources/visits.yaml": """\
kind: files
push: true
event_time: seen_at
known_time: ingested
zone: UTC
""",
    "tables/visits.yaml": """\
from: visits
key: visit_id
columns:
  visit_id: bigint
  customer_id: bigint
  seen_at: timestamp
  balance: double
  logins: int
  device: {type: string, optional: true}
checks:
  customer_id: not_null
  balance: {between: [-1000, 1000000]}
  device: {in: [phone, web]}
rules:
  few_logins: logins < 100
""",
    "views/last_visit.yaml": """\
entity: customer
from: visits
ttl: 24h
features: [balance, logins, device]
""",
    "views/visit_load.yaml": """\
entity: customer
from: visits
windows: [1d]
request_event: exclude
features:
  visits: count()
  total: {value: sum(balance), default: 0}
""",
    "views/visit_hours.yaml": """\
entity: customer
from: visits
windows: [7d]
hop: 1h
request_event: exclude
features:
  visits: count()
""",
    "services/visiting.yaml": """\
entities: customer
features: [last_visit, visit_load, visit_hours]
""",
}
SOURCE = "visits"


@dataclass(frozen=True)
class Visits:
    """The compiled project and its environment, by the wall clock."""

    graph: Graph
    environment: Environment

    @property
    def inbox(self) -> Path:
        return Path(Lake.of(self.environment).inbox(SOURCE))

    def files(self) -> list[Path]:
        return sorted(self.inbox.rglob("*.jsonl"))

    def kept(self) -> list[dict[str, Any]]:
        """Rows in the inbox: their texts, and ``_pushed_at``."""
        lines = [line for file in self.files() for line in file.read_text().splitlines()]
        whole = [json.loads(line) for line in lines]
        return [{**json.loads(one["_pushed"]), "_pushed_at": one["_pushed_at"]} for one in whole]


def visits_project(
    folder: Path, redis_url: str, namespace: str, files: Mapping[str, str] | None = None
) -> Visits:
    """The project below ``folder``; Redis holds its views as of an empty gold."""
    conf = write_project(folder, {**FILES, **(files or {})})
    # without a model no server waits for MLflow
    (conf / "models" / "fraud.yaml").unlink()
    graph = compile_graph(load_definitions(conf, {}))
    place = environment_with(folder, redis_url, namespace).model_copy(update={"clock": "wall"})
    with OnlineStore.of(place) as store:
        put_cursors(graph, store)
    return Visits(graph, place)


def put_cursors(graph: Graph, store: OnlineStore) -> None:
    """Says that every view of visits was pushed a minute ago."""
    clock = to_micros(utc_now() - timedelta(minutes=1))
    for view in graph.views.values():
        if view.table == SOURCE:
            floor = clock - timedelta(days=7) // timedelta(microseconds=1)
            cursor = Cursor(1, value_fingerprint(view.definition), 0, 1, clock, floor)
            store.set_cursor(view.online_name, cursor, before=store.cursor(view.online_name))


def visit(number: int, customer: int = 1, **other: Any) -> dict[str, Any]:
    """A row as somebody sends it, that happened when it is sent."""
    row = {
        "visit_id": number,
        "customer_id": customer,
        "seen_at": datetime.now(UTC).isoformat(),
        "balance": 10.5,
        "logins": 2,
        "device": "phone",
    }
    return {**row, **other}
