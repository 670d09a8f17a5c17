"""Appends of few rows by tasks: the same table as Spark's own writer makes, each write once."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from feldspar.spec.environment import Environment
from feldspar.stores.tables import arrow, log
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.small import SMALL
from feldspar.stores.tables.spark import Declared, SparkTables, nullable

PLACE = ("gold", "rows")
APP = "load:rows#0"


def rows_of(spark: SparkSession, first: int, after: int) -> DataFrame:
    return spark.range(first, after).selectExpr(
        "cast(id % 2 as int) _bucket",
        "id",
        "timestamp_micros(1522576800123456 + id) at",
        "date'2018-04-01' day",
        "if(id % 3 = 0, null, concat('text ', id)) text",
        "id / 7 share",
        "id + 1 `next.id`",
        "id % 2 = 0 even",
        "array('a', cast(id as string)) tags",
    )


@pytest.fixture
def tables(spark: SparkSession, environment: Environment) -> SparkTables:
    """A table whose first rows Spark has written, in two parts."""
    found = SparkTables(spark, Lake.of(environment), size=SMALL)
    append(found, rows_of(spark, 0, 10), load=0)
    return found


def append(tables: SparkTables, rows: DataFrame, *, load: int) -> log.Commit:
    rows = rows.repartition(1).sortWithinPartitions("_bucket", "id")
    declared = Declared(nullable(rows.schema), partition_by=("_bucket",), rows_a_file=3)
    return tables.append(rows, *PLACE, txn=Txn(APP, load), declared=declared)


def by_tasks(commit: log.Commit) -> bool:
    """Spark's writer tells how many rows it wrote; else the files do."""
    return "numOutputRows" not in commit.metrics


def test_every_reader_finds_the_rows(tables: SparkTables) -> None:
    commit = append(tables, rows_of(tables.spark, 10, 30), load=1)

    assert (by_tasks(commit), commit.rows) == (True, 20)
    assertDataFrameEqual(tables.read(*PLACE), rows_of(tables.spark, 0, 30))
    added = tables.added(*PLACE, after=commit.version - 1, upto=commit.version)
    assertDataFrameEqual(added, rows_of(tables.spark, 10, 30))
    assert sorted(arrow.read(tables.lake, *PLACE)["id"].to_pylist()) == list(range(30))


def test_files_are_as_declared_and_say_what_they_hold(tables: SparkTables) -> None:
    commit = append(tables, rows_of(tables.spark, 10, 30), load=1)

    uri = tables.lake.uri(*PLACE)
    files = log.added_files(tables.lake.storage, uri, after=commit.version - 1, upto=commit.version)
    found = [tables.may_hold(*PLACE, "id", low, high) for low, high in ((9, 9), (29, 29), (30, 99))]
    assert len(files) == 8
    assert tables.added_size(*PLACE, after=commit.version - 1, upto=commit.version) == sum(
        file.size for file in files
    )
    assert (found, tables.rows_at(*PLACE, version=commit.version)) == ([True, True, False], 30)


def test_a_repeat_changes_nothing(tables: SparkTables) -> None:
    first = append(tables, rows_of(tables.spark, 10, 30), load=1)
    again = append(tables, rows_of(tables.spark, 10, 30), load=1)

    assert (again, tables.version(*PLACE)) == (first, first.version)


def test_no_rows_move_the_cursor(tables: SparkTables) -> None:
    commit = append(tables, rows_of(tables.spark, 0, 0), load=1)

    assert (by_tasks(commit), commit.rows, commit.txns) == (True, 0, (Txn(APP, 1),))


def test_rows_of_unknown_number_and_many_are_left_to_spark(tables: SparkTables) -> None:
    unknown = append(tables.sized(None), rows_of(tables.spark, 10, 14), load=1)
    large = append(tables.sized(SMALL + 1), rows_of(tables.spark, 14, 16), load=2)

    assert [by_tasks(one) for one in (unknown, large)] == [False, False]
    assertDataFrameEqual(tables.read(*PLACE), rows_of(tables.spark, 0, 16))
