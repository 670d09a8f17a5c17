"""Tasks that read gold's files themselves: one table, several runs, both kinds of view."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.buckets import bucket_of
from feldspar.compute.pit import arrow as pit_arrow
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.bucketed import ViewRows, add_views
from feldspar.compute.windows import arrow as window_arrow
from feldspar.compute.windows.departures import departures
from feldspar.compute.windows.functions import FUNCTIONS, AggregationPlan
from feldspar.compute.windows.rule import WindowRule
from feldspar.errors import StoreError
from feldspar.spec.environment import Environment
from feldspar.stores.tables.bucketed import BUCKETS, BucketedTable
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable
from property import frames
from property.tables import rows_of, table_of_questions, table_of_versions

KEYS = ("who", "where")
PIT = PitPlan(
    spine_keys=("customer", "branch"),
    row_keys=KEYS,
    spine_time="at",
    columns={"place": "view__place", "where": "view__where"},
    ttl=9,
    serving_delay=2,
    tombstone="_retracted",
)
ITEMS = [AggregationPlan(f"{one}_amount", one, "amount", 9) for one in FUNCTIONS]


@pytest.fixture(scope="module")
def versions() -> pa.Table:
    return table_of_versions(120)


def written(spark: SparkSession, disk: Environment, name: str, rows: DataFrame) -> BucketedTable:
    """The rows in four buckets, by two commits that keep no order."""
    tables = SparkTables(spark, Lake.of(disk.model_copy(update={"namespace": "bucketed"})))
    keyed = rows.dropna(subset=list(KEYS))
    bucket = bucket_of(keyed, KEYS, spread_by="_event_time", buckets=4)
    whole = keyed.withColumn("_bucket", bucket)
    declared = Declared(nullable(whole.schema), {BUCKETS: "4"}, partition_by=("_bucket",))
    for load in range(2):
        part = whole.where(F.pmod(F.col("place"), F.lit(2)) == load)
        tables.append(part, "gold", name, txn=Txn("load", load), declared=declared)
    found = tables.files("gold", name, version=tables.version("gold", name))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def rows(spark: SparkSession, disk: Environment, versions: pa.Table) -> BucketedTable:
    return written(spark, disk, "rows", spark.createDataFrame(versions))


@pytest.fixture(scope="module")
def events(spark: SparkSession, disk: Environment, versions: pa.Table) -> BucketedTable:
    stored = spark.createDataFrame(versions)
    left = departures(stored, KEYS)
    assert left is not None
    return written(spark, disk, "events", stored.unionByName(left))


def spine_of(spark: SparkSession, asked: pa.Table) -> DataFrame:
    """Questions with keys as wide as the rows'."""
    frame = spark.createDataFrame(asked)
    return frame.withColumn("customer", F.col("customer").cast("bigint"))


def test_rows_and_windows_of_one_entity_take_one_pass(
    spark: SparkSession, rows: BucketedTable, events: BucketedTable, versions: pa.Table
) -> None:
    asked, windows = table_of_questions(60), frames.window_plan(ITEMS, WindowRule(0, 2))
    answers = add_views(spine_of(spark, asked), [ViewRows(PIT, rows), ViewRows(windows, events)])
    expected = window_arrow.add_windows(
        pit_arrow.add_columns(asked, versions, PIT), versions, windows
    )
    assert rows_of(answers.frame().toArrow()) == rows_of(expected)


def test_the_log_tells_which_values_no_file_holds(
    spark: SparkSession, environment: Environment
) -> None:
    tables = SparkTables(spark, Lake.of(environment))
    for load, (first, after) in enumerate([(10, 20), (30, 40)]):
        rows = spark.range(first, after).selectExpr(
            "id", "cast(id AS string) AS name", "id > 0 AS flag"
        )
        tables.append(
            rows, "gold", "ids", txn=Txn("load", load), declared=Declared(nullable(rows.schema))
        )
    asked = [(0, 9), (0, 10), (19, 25), (20, 29), (29, 50), (15, 35), (41, 99)]
    found = [tables.may_hold("gold", "ids", "id", *ends) for ends in asked]
    assert found == [False, True, True, False, True, True, False]
    assert not tables.may_hold("gold", "ids", "name", "2", "29")
    assert tables.may_hold("gold", "ids", "name", "2", "31")
    # no statistics are kept of yes and no
    assert tables.may_hold("gold", "ids", "flag", low=False, high=False)


def test_a_table_that_is_not_in_buckets_has_no_files_to_hand_out(
    spark: SparkSession, environment: Environment, versions: pa.Table
) -> None:
    tables = SparkTables(spark, Lake.of(environment))
    version = tables.overwrite(spark.createDataFrame(versions), "gold", "plain", note="")
    assert tables.files("gold", "plain", version=version) is None


@pytest.mark.parametrize("is_new", [True, False], ids=["a new table", "an append"])
def test_rows_a_file_cuts_a_run_into_slices_of_which_old_ones_are_not_opened(
    spark: SparkSession, environment: Environment, is_new: bool
) -> None:
    tables = SparkTables(spark, Lake.of(environment))
    minutes = F.timestamp_micros(F.col("id") * 60_000_000)
    whole = spark.range(0, 10, numPartitions=1).select(
        minutes.alias("_event_time"), minutes.alias("_known_time"), F.lit(0).alias("_bucket")
    )
    declared = Declared(nullable(whole.schema), {BUCKETS: "1"}, ("_bucket",), rows_a_file=3)
    if not is_new:
        tables.ensure("gold", "sliced", declared)
    tables.append(whole, "gold", "sliced", txn=Txn("load", 0), declared=declared)

    found = tables.files("gold", "sliced", version=tables.version("gold", "sliced"))
    assert found is not None
    since = 7 * 60_000_000
    assert (
        sorted(run.rows for run in found.runs(0)),
        sorted(run.rows for run in found.runs(0, since=since)),
    ) == ([1, 3, 3, 3], [1, 3])


def test_a_file_that_is_gone_is_told_by_name(events: BucketedTable) -> None:
    (bucket, files), *_ = events.files.items()
    lost = replace(events, files={bucket: (replace(files[0], path="_bucket=0/lost.parquet"),)})
    with pytest.raises(StoreError, match=r"names this file, but it is gone"):
        next(lost.runs(bucket))
