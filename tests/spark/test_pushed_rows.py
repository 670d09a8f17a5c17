"""Pushed rows from HTTP to bronze, silver, gold and Redis: judged alike, each once, then equal."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.checks.online import RowJudge
from feldspar.compute.json_texts import split
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Table
from feldspar.ingest.frames import split_objects
from feldspar.names import KNOWN_TIME, POSITION, PUSHED, PUSHED_AT, REASONS, ROW_HASH
from feldspar.online.push import push
from feldspar.online.verify import verify
from feldspar.refine.rows import checked_rows
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import OnlineStore
from feldspar.times import EPOCH, parse_instant, to_micros, utc_now
from support.http import serving
from support.pipeline import TO_GOLD, Pipeline, open_pipeline
from support.places import silent
from support.small_project import write_project
from support.valkey import valkey
from support.visits import FILES, visit

NOW = datetime(2024, 5, 20, 12, tzinfo=UTC)
TYPED = {
    "sources/orders.yaml": """\
kind: files
push: true
event_time: at
known_time: ingested
zone: Europe/Brussels
""",
    "tables/orders.yaml": """\
from: orders
key: ident
columns:
  ident: bigint
  at: timestamp
  level: int
  amount: double
  paid: boolean
  due: date
  note: string
  seen: {type: timestamp, optional: true}
checks:
  amount: [not_null, {between: [0, 1000]}]
  note: [{in: [a, bb, "7", " "]}, {matches: "[a-z0-9 ]*"}]
  level: {in: [1, 2, 3]}
rules:
  paid_early: not paid or amount < 900
  due_later: cast(at as date) <= due
""",
}
WORDS: dict[str, tuple[Any, ...]] = {
    "ident": (1, "7", -(2**63), 2**63, 1.5, "x", "", None, True, "+3", " 4 ", 1e3),
    "at": (
        *("2024-05-20T11:00:00Z", "2024-05-20 11:00", "2024-03-31T02:30:00", "2024-10-27 02:30:00"),
        *("2024-05-20T14:06:00+02:00", "2024-05-20T23:00:00+01:00", "2024-05-20", "2024-02-30"),
        *(
            "2024-05-20T11:00:00.123456789Z",
            "2024-5-2 1:2:3 UTC",
            "now",
            "",
            None,
            1716200000,
            "24",
        ),
        *("2024-05-20 11:00:00 Europe/Brussels", "2024-05-20 11:00:00 Nowhere/At", "12:00"),
    ),
    "level": (1, 2, 3, 4, "2", 2**31, None, 1.0, "  "),
    "amount": (1, 0.1, "2.50", 1e3, 1000.01, -0.0, "1e400", "NaN", ".5", "5.", None, "", "0x1p3"),
    "paid": (True, False, "yes", "N", 1, 0, 2, "TRUE ", None, "maybe"),
    "due": ("2024-05-21", "2024-05-19", "2024-05-20T00:00", "2024-05-20T01:00", "2024-13-01", None),
    "note": ("a", "bb", 7, "A", "", " ", None, [1, {"b": 2.50}], True, "ß"),
    "seen": ("2024-05-20T11:00:00Z", "yesterday", None),
}


def _lines(rows: int) -> list[str]:
    """Rows of which about half are valid in all columns but one or two."""
    draw = random.Random(11)
    good = {
        "ident": 5, "at": "2024-05-20T11:00:00Z", "level": 2, "amount": 3.25, "paid": True,
        "due": "2024-06-01", "note": "bb", "seen": None,
    }  # fmt: skip
    found = []
    for number in range(rows):
        row = {**good, "ident": number}
        for name in draw.sample(list(WORDS), draw.choice((0, 1, 1, 2, 3, 8))):
            row[name] = draw.choice(WORDS[name])
        found.append(json.dumps(row))
    return found


def _with_provenance(rows: DataFrame) -> DataFrame:
    return rows.withColumns(
        {
            "_file": F.lit("memory"),
            "_batch": F.lit(1).cast("bigint"),
            "_ingested_at": F.lit(NOW).cast("timestamp"),
        }
    )


def _judged_by_refine(rows: DataFrame, table: Table) -> list[dict[str, Any]]:
    checked = checked_rows(_with_provenance(rows), table)
    return [row.asDict() for row in checked.orderBy(POSITION).collect()]


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_micros(value.astimezone(UTC))
    return (value - EPOCH.date()).days if isinstance(value, date) else value


@pytest.fixture
def orders(tmp_path: Path) -> Table:
    return compile_graph(load_definitions(write_project(tmp_path, TYPED), {})).table("orders")


def test_the_judge_says_of_a_row_what_refine_says(spark: SparkSession, orders: Table) -> None:
    lines = _lines(500)
    raw = spark.createDataFrame(list(enumerate(lines)), f"{POSITION} bigint, line string")
    by_refine = _judged_by_refine(split_objects(raw, "line", list(WORDS)), orders)

    judge = RowJudge(orders)
    ours = [judge.judge(split(line) or {}, known=to_micros(NOW)) for line in lines]

    columns = list(orders.spec.columns)
    wrong = [
        (line, one, other.reasons, other.values)
        for line, one, other in zip(lines, by_refine, ours, strict=True)
        if one[REASONS] != list(other.reasons)
        or {name: _stored(one[name]) for name in columns} != other.values
    ]
    assert wrong == []
    valid = sum(not one.reasons for one in ours)
    assert 100 < valid < 400


def test_refine_makes_of_a_pushed_row_what_the_judge_saw(
    spark: SparkSession, orders: Table
) -> None:
    lines = _lines(500)
    judge = RowJudge(orders)
    ours = [judge.judge(split(line) or {}, known=to_micros(NOW)) for line in lines]
    valid = [(place, one) for place, one in enumerate(ours) if not one.reasons]
    known = "2024-05-20T11:59:59.000007Z"
    pushed = [(place, json.dumps(judge.texts(one.values)), known) for place, one in valid]
    ddl = f"{POSITION} bigint, {PUSHED} string, {PUSHED_AT} string"
    by_push = _judged_by_refine(spark.createDataFrame(pushed, ddl), orders)
    raw = spark.createDataFrame(
        [(place, lines[place]) for place, _ in valid], f"{POSITION} bigint, line string"
    )
    by_file = _judged_by_refine(split_objects(raw, "line", list(WORDS)), orders)

    assert [one[REASONS] for one in by_push] == [[]] * len(valid)
    assert {one[KNOWN_TIME].astimezone(UTC) for one in by_push} == {parse_instant(known)}
    # of equal content: what a file brings again is a copy, and so is a row pushed again
    assert [one[ROW_HASH] for one in by_push] == [one[ROW_HASH] for one in by_file]


@dataclass(frozen=True)
class Site:
    """A lake, its stages, and the server that takes rows."""

    pipeline: Pipeline
    client: httpx.Client

    def send(self, rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """Pushes rows; ids of those that were accepted, and since when they are known."""
        answer = self.client.post("/push/visits", json=rows)
        known = answer.json().get("known_time", []) if answer.status_code == 200 else []
        return [(row["visit_id"], at) for row, at in zip(rows, known, strict=False)]

    def to_redis(self) -> None:
        """Takes what waits to gold and on to Redis."""
        self.pipeline.run(*TO_GOLD)
        with OnlineStore.of(self.pipeline.environment) as store:
            for view in self.pipeline.graph.views.values():
                held = store.cursor(view.online_name)
                push(
                    view,
                    tables=self.pipeline.tables,
                    store=store,
                    after=None if held is None else held.version,
                    generation=0,
                    clock=to_micros(utc_now()),
                    progress=silent,
                )

    def differences(self) -> list[str]:
        views = list(self.pipeline.graph.views.values())
        with OnlineStore.of(self.pipeline.environment) as store:
            found = [
                one
                for days in (0, 2)
                for one in verify(
                    views,
                    tables=self.pipeline.tables,
                    store=store,
                    at=to_micros(utc_now() + timedelta(days=days)),
                    buckets=2,
                )
            ]
        assert all(one.entities for one in found)
        return [text for one in found for text in one.examples]


@pytest.fixture
def site(spark: SparkSession, disk: Environment, tmp_path: Path) -> Iterator[Site]:
    unused = ("models/fraud.yaml", "services/fraud.yaml", "views/customer_spend.yaml")
    unused += ("views/last_payment.yaml", "tables/transactions.yaml", "sources/payments.yaml")
    opened = open_pipeline(spark, disk, tmp_path / "project", FILES, without=unused)
    with valkey(tmp_path / "valkey") as server:
        update = {"redis": RedisSpec(url=server.url), "clock": "wall"}
        place = opened.environment.model_copy(update=update)
        with serving(create_app(Backend(opened.graph, place))) as client:
            yield Site(replace(opened, environment=place), client)


def test_pushed_rows_reach_bronze_once_and_gold_equals_redis(site: Site) -> None:
    draw = random.Random(3)
    sent = [visit(number, number % 7, balance=number) for number in range(20)]
    accepted = site.send(sent)
    site.to_redis()

    for start in range(100, 300, 20):
        rows = []
        for number in range(start, start + 20):
            happened = utc_now() - timedelta(hours=draw.choice((0, 0, 1, 30)))
            rows.append(
                visit(number, draw.randrange(9), balance=number, seen_at=happened.isoformat())
            )
        # corrections of earlier rows, in value and of whose they are
        old = draw.choice(sent)
        rows.append({**old, "balance": old["balance"] + 0.5, "customer_id": draw.randrange(9)})
        if start % 100 == 0:
            rows.append(visit(start, balance="much"))
        taken = site.send(rows)
        accepted += taken
        sent += rows[:20] if taken else []
        assert (
            site.client.post("/update-features/3", json={"logins": start // 10}).status_code == 200
        )
    again = [site.send(sent[:20]), site.send(sent[40:60])]
    # before gold has them, and after
    served = site.client.post("/features", json={"service": "visiting", "customer_id": 3}).json()
    assert served["features"]["last_visit__logins"] == 28
    site.to_redis()

    bronze = [
        (json.loads(text), at)
        for text, at in site.pipeline.rows("bronze", "visits", PUSHED, PUSHED_AT)
    ]
    updates = [at for row, at in bronze if row["logins"] != "2"]
    found = Counter((int(row["visit_id"]), at) for row, at in bronze if row["logins"] == "2")
    assert found == Counter(dict.fromkeys(accepted, 1))
    assert len(updates) == 10
    assert set(again[0] + again[1]) <= set(accepted)
    known = site.pipeline.rows("silver", "visits", "visit_id", KNOWN_TIME)
    assert len(known) == len(accepted) + len(updates)
    assert {(number, at.astimezone(UTC)) for number, at in known} >= {
        (number, parse_instant(at)) for number, at in accepted
    }
    assert site.pipeline.rows("quarantine", "visits", REASONS) == []
    assert site.differences() == []
