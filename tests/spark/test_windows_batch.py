"""The Spark window engine: the Arrow engine's answers, bucket by bucket, and the spine kept."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from feldspar.compute.windows import arrow
from feldspar.compute.windows.batch import add_windows, add_windows_at_events
from feldspar.compute.windows.departures import departures
from feldspar.compute.windows.functions import FUNCTIONS, AggregationPlan
from feldspar.compute.windows.rule import WindowRule
from feldspar.errors import EngineError
from property import frames
from property.tables import rows_of, table_of_questions, table_of_versions

ARGUMENTS = ("amount", "level", "risky")
ITEMS = [
    AggregationPlan(f"{function}_{argument}", function, argument, 9)
    for function in FUNCTIONS
    for argument in ARGUMENTS
] + [AggregationPlan("events", "count", None, 9)]


def whole(spark: SparkSession, events: pa.Table) -> DataFrame:
    """The events as gold holds them: with departures."""
    stored = spark.createDataFrame(events)
    left = departures(stored, ("who", "where"))
    return stored if left is None else stored.unionByName(left)


@pytest.mark.parametrize("buckets", [1, 5])
@pytest.mark.parametrize(
    "rule", [WindowRule(), WindowRule(2, 3, "known", "exclude"), WindowRule(as_of="event")], ids=str
)
def test_spark_answers_as_arrow_does(spark: SparkSession, rule: WindowRule, buckets: int) -> None:
    spine, events = table_of_questions(60), table_of_versions(80)
    plan = frames.window_plan(ITEMS, rule)
    answers = add_windows(spark.createDataFrame(spine), whole(spark, events), plan, buckets=buckets)
    assert rows_of(answers.toArrow()) == rows_of(arrow.add_windows(spine, events, plan))


def test_events_may_be_a_part_of_the_spine_itself(spark: SparkSession) -> None:
    events = table_of_versions(80)
    plan = replace(
        frames.window_plan(ITEMS, WindowRule(request_event="exclude")),
        spine_keys=("who", "where"),
        spine_time="_event_time",
        own_event_id="_event_id",
    )
    answers = add_windows(spark.createDataFrame(events), whole(spark, events), plan, buckets=3)
    assert rows_of(answers.toArrow()) == rows_of(arrow.add_windows(events, events, plan))


@pytest.mark.parametrize("buckets", [1, 16])
def test_windows_at_events_are_those_of_a_spine_of_events(
    spark: SparkSession, buckets: int
) -> None:
    events = table_of_versions(80)
    plan = replace(
        frames.window_plan(ITEMS, WindowRule()),
        spine_keys=("who", "where"),
        spine_time="_event_time",
        own_event_id="_event_id",
        own_arguments={name: name for name in ARGUMENTS},
    )
    whole_events = whole(spark, events)
    answers = add_windows_at_events(whole_events, plan, buckets=buckets).frame()
    expected = add_windows(whole_events, whole_events, plan, buckets=3)
    assert answers.columns == expected.columns
    assert rows_of(answers.toArrow()) == rows_of(expected.toArrow())


def test_windows_at_no_events_are_none(spark: SparkSession) -> None:
    plan = replace(
        frames.window_plan(ITEMS, WindowRule(request_event="exclude")),
        spine_keys=("who", "where"),
        spine_time="_event_time",
    )
    events = spark.createDataFrame(table_of_versions(0))
    assert add_windows_at_events(events, plan, buckets=4).frame().count() == 0


def test_an_empty_table_of_events_leaves_counts_of_nothing(spark: SparkSession) -> None:
    spine, events = table_of_questions(20), table_of_versions(0)
    plan = frames.window_plan(ITEMS, WindowRule())
    answers = add_windows(
        spark.createDataFrame(spine), spark.createDataFrame(events), plan, buckets=4
    )
    assert rows_of(answers.toArrow()) == rows_of(arrow.add_windows(spine, events, plan))


def test_an_empty_spine_stays_empty(spark: SparkSession) -> None:
    spine, events = table_of_questions(0), table_of_versions(20)
    plan = frames.window_plan(ITEMS, WindowRule())
    answers = add_windows(
        spark.createDataFrame(spine), spark.createDataFrame(events), plan, buckets=2
    )
    assert answers.count() == 0


def test_a_misspelt_column_is_named_before_anything_runs(spark: SparkSession) -> None:
    spine, events = table_of_questions(2), table_of_versions(2)
    plan = frames.window_plan([AggregationPlan("n", "sum", "amout", 9)], WindowRule(delay=1))
    with pytest.raises(EngineError, match=r"the events have no columns \['amout'\]"):
        add_windows(spark.createDataFrame(spine), spark.createDataFrame(events), plan, buckets=2)


def test_keys_of_different_types_are_refused_before_anything_runs(spark: SparkSession) -> None:
    spine, events = table_of_questions(2), table_of_versions(2)
    plan = replace(frames.window_plan(ITEMS, WindowRule()), spine_keys=("branch", "customer"))
    with pytest.raises(EngineError, match="key 'branch' is string but 'who' is bigint"):
        add_windows(spark.createDataFrame(spine), spark.createDataFrame(events), plan, buckets=2)
