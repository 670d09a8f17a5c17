"""What ``feldspar status`` looks up, of tables that Spark wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.features.layout import lay_anew
from feldspar.spec.environment import Environment
from feldspar.stores.measured import Measured, measure
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables import log
from support.pipeline import TO_GOLD, Pipeline, open_pipeline

AT = "2018-04-01T00:00:00Z"


@pytest.fixture
def pipeline(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    """Gold of three payments, one of which was refused; no Redis answers."""
    found = open_pipeline(spark, disk, tmp_path / "project")
    found.put("a.csv", f"1,{AT},7,3,9,false", f"2,{AT},8,3,5,false", f"3,{AT},8,3,-5,false")
    found.run(*TO_GOLD)
    return found


def look(pipeline: Pipeline) -> Measured:
    store = OnlineStore.of(pipeline.environment)
    return measure(pipeline.graph, pipeline.environment, store=store)


def test_lag_is_counted_in_rows_of_sparks_own_commits(pipeline: Pipeline) -> None:
    pipeline.put("b.csv", *(f"{number},{AT},7,3,9,false" for number in range(10, 17)))
    pipeline.run("ingest")

    assert {name: one.rows for name, one in look(pipeline).behind.items()} == {
        "silver.transactions": 7,
        "gold.customer_spend": 0,
        "gold.last_payment": 0,
    }


def test_a_commit_that_lays_rows_anew_is_no_lag(pipeline: Pipeline) -> None:
    lay_anew(pipeline.graph.view("customer_spend"), pipeline.tables)
    commit = log.read_commit(
        pipeline.lake, "gold", "customer_spend", version=pipeline.version("gold", "customer_spend")
    )

    assert (commit.rows, commit.changes_rows) == (0, False)


def test_rows_refused_are_those_of_the_ledger(pipeline: Pipeline) -> None:
    one = look(pipeline).refusals["transactions"]

    assert (one.rows_in, one.refused, one.recent_in, one.recent_refused) == (3, 1, 0, 0)


def test_redis_that_is_away_is_told_and_hides_nothing_else(pipeline: Pipeline) -> None:
    found = look(pipeline)

    assert (found.online, len(found.troubles), len(found.tables or ())) == (None, 1, 5)
