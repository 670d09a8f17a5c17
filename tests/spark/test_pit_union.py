"""Point-in-time joins in SQL alone: the Arrow engine's rows, and the spine kept."""

from __future__ import annotations

import random
from dataclasses import replace

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from feldspar.compute.pit import arrow
from feldspar.compute.pit.plan import AsOf, PitPlan
from feldspar.compute.pit.union import add_columns
from feldspar.errors import EngineError
from property import packing
from property.packing import Packed
from property.planting import planted
from property.shapes import ROW_KEYS, SPINE_KEYS
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


BUGS = {
    "ttl that leaves out its end": (") <= plan.ttl", ") < plan.ttl"),
    "newest by arrival": (
        "order = [event_time.alias(_EVENT_TIME), known_time,",
        "order = [known_time, event_time.alias(_EVENT_TIME),",
    ),
    "ties by load and not by arrival": (
        "known_time, F.col(plan.batch), F.col(plan.position)]",
        "F.col(plan.batch), F.col(plan.position), known_time]",
    ),
    "late rows leak": ('if plan.as_of == "known":', "if plan.as_of is None:"),
    "rows of the very instant are not visible": (
        ".orderBy(_AT, _SIDE)",
        ".orderBy(_AT, F.desc(_SIDE))",
    ),
    "tombstones that live": ("F.coalesce(dead, F.expr(", "F.nvl2(dead, F.expr('false'), F.expr("),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_the_sql_is_caught(spark: SparkSession, bug: str) -> None:
    generator = random.Random(5)
    cases = [packing.instant_case(generator) for _ in range(100)]
    plan = replace(pit_plan(), spine_keys=SPINE_KEYS, row_keys=ROW_KEYS)
    plan = replace(plan, columns={"place": "view__place"})
    module = "feldspar.compute.pit.union"

    with planted(module, *BUGS[bug], engine=module) as engine:

        def ask(packed: Packed) -> pa.Table:
            frames = [spark.createDataFrame(one) for one in (packed.spine, packed.rows)]
            return engine.add_columns(*frames, plan).toArrow()

        found = packing.wrong_cases(cases, [plan], ask)

    assert any(found)


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
