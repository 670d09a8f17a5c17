"""Point-in-time joins in SQL alone: the Arrow engine's rows, and the spine kept."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from feldspar.compute.pit import arrow
from feldspar.compute.pit.plan import AsOf, PitPlan
from feldspar.compute.pit.union import add_columns
from feldspar.errors import EngineError
from property.tables import rows_of, table_of_questions, table_of_versions


def pit_plan(as_of: AsOf = "known", source: str = "place") -> PitPlan:
    return PitPlan(
        spine_keys=("customer", "branch"),
        row_keys=("who", "where"),
        spine_time="at",
        columns={source: "view__place", "where": "view__where", "_event_time": "view__since"},
        ttl=9,
        serving_delay=2,
        as_of=as_of,
        tombstone="_retracted",
    )


@pytest.mark.parametrize("as_of", ["known", "event"])
def test_spark_finds_the_rows_that_arrow_does(spark: SparkSession, as_of: AsOf) -> None:
    spine, rows = table_of_questions(60), table_of_versions(80)
    plan = pit_plan(as_of)
    answers = add_columns(spark.createDataFrame(spine), spark.createDataFrame(rows), plan)
    assert rows_of(answers.toArrow()) == rows_of(arrow.add_columns(spine, rows, plan))


def test_a_view_without_rows_leaves_nulls(spark: SparkSession) -> None:
    spine, rows = table_of_questions(20), table_of_versions(0)
    answers = add_columns(spark.createDataFrame(spine), spark.createDataFrame(rows), pit_plan())
    assert answers.where("view__place is null").count() == spine.num_rows


def test_a_misspelt_column_is_named_before_anything_runs(spark: SparkSession) -> None:
    spine, rows = table_of_questions(2), table_of_versions(2)
    with pytest.raises(EngineError, match=r"the rows have no columns \['plaec'\]"):
        add_columns(
            spark.createDataFrame(spine),
            spark.createDataFrame(rows),
            pit_plan(source="plaec"),
        )
