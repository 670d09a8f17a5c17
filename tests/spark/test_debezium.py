"""Change events of Debezium as JSON lines: through checks and quarantine to history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from feldspar.spec.environment import Environment
from support.pipeline import Pipeline, open_pipeline

FILES = {
    "sources/events.yaml": """\
kind: files
path: data/events
envelope: debezium
event_time: source_ts_ms
known_time: ts_ms
""",
    "tables/customers.yaml": """\
from: events
key: id
columns:
  id: bigint
  city: string
  balance: double
  op: string
  ts_ms: timestamp
  source_ts_ms: timestamp
  source_lsn: bigint
checks:
  city: not_null
history:
  kind: scd2
  sequence_by: [source_ts_ms, source_lsn]
  delete_when: op = 'd'
  without: [op, ts_ms]
""",
}
START = 1_714_521_600_000


def event(op: str, second: int, **parts: Any) -> dict[str, Any]:
    at = START + 1_000 * second
    return {
        "before": parts.get("before"),
        "after": parts.get("after"),
        "source": {"connector": "postgresql", "ts_ms": at, "lsn": second * 8 + parts.get("lsn", 0)},
        "op": op,
        "ts_ms": at + 500,
    }


def row(ident: int, city: str | None, balance: float = 1.5, **more: Any) -> dict[str, Any]:
    return {"id": ident, "city": city, "balance": balance, **more}


FIRST = [
    event("u", 5, before=row(1, "Ghent"), after=row(1, "Bruges")),
    event("c", 0, after=row(1, "Ghent")),
    event("r", 0, after=row(2, "Ghent", 12.25)),
    event("c", 1, after=row(3, None)),
    event("c", 1, after=row(4, "Ghent", tip=3)),
]
SECOND = [
    event("d", 9, before={"id": 2}),
    event("u", 3, before=row(1, "Ghent"), after=row(1, "Antwerp")),
    event("u", 3, after=row(1, "Lier"), lsn=1),
    event("c", 0, after=row(1, "Ghent")),
]
THEN = [
    (1, 0, 3, "Ghent", 1.5),
    (1, 3, 5, "Lier", 1.5),
    (1, 5, None, "Bruges", 1.5),
    (2, 0, 9, "Ghent", 12.25),
]


@pytest.fixture(scope="module")
def customers(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """The history after a load of bare events, and one of events with their schema."""
    pipeline = open_pipeline(spark, disk, tmp_path_factory.mktemp("customers"), FILES)
    with_schema = [{"schema": {"type": "struct"}, "payload": one} for one in SECOND]
    for name, events in (("a.jsonl", FIRST), ("b.jsonl", with_schema)):
        put(pipeline, name, [json.dumps(one) for one in events])
        pipeline.run("ingest", "refine", "history")
    return pipeline


def put(pipeline: Pipeline, name: str, lines: list[str]) -> Path:
    path = pipeline.environment.folder / "data" / "events" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.astimezone(UTC).timestamp() - START / 1_000)


def test_history_is_that_of_the_rows(customers: Pipeline) -> None:
    rows = customers.rows("history", "customers", "id", "valid_from", "valid_to", "city", "balance")

    found = [(key, seconds(start), seconds(end), *rest) for key, start, end, *rest in rows]
    assert sorted(found, key=lambda one: one[:2]) == THEN


def test_what_fails_is_in_quarantine_as_the_whole_event(customers: Pipeline) -> None:
    rows = customers.rows("quarantine", "customers", "_reasons", "_raw")

    assert [reasons for reasons, _ in rows] == [["after:unknown_column"], ["city:not_null"]]
    assert all("lsn" in raw and "postgresql" in raw for _, raw in rows)


def test_an_event_that_comes_twice_is_a_duplicate(customers: Pipeline) -> None:
    columns = ("rows_in", "valid", "quarantined", "duplicates")

    assert customers.rows("ops", "ledger", *columns) == [(4, 3, 0, 1), (5, 3, 2, 0)]
