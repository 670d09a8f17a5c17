"""Frames by name: the columns of a Parquet file are those that Spark finds itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from feldspar.errors import InputError
from feldspar.spec.environment import Environment
from feldspar.stores.frames import read_frame
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.spark import SparkTables

NOON = datetime(2018, 4, 1, 12, tzinfo=UTC)
COLUMNS = {
    "number": pa.array([1, None], pa.int64()),
    "small": pa.array([1, 2], pa.uint8()),
    "text": pa.array(["a", None]).dictionary_encode(),
    "amount": pa.array([Decimal("1.50"), None], pa.decimal128(12, 2)),
    "at": pa.array([NOON, None], pa.timestamp("us", tz="UTC")),
    "local": pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("us")),
    "millis": pa.array([NOON, None], pa.timestamp("ms", tz="Europe/Paris")),
    "listed": pa.array([[1], None], pa.list_(pa.int32())),
    "inner": pa.array([{"a b": 1}, None], pa.struct([("a b", pa.int16())])),
    "raw": pa.array([b"x", None], pa.binary()),
    "dotted.name": pa.array([1.5, None]),
}


@pytest.fixture
def tables(spark: SparkSession, environment: Environment) -> SparkTables:
    return SparkTables(spark, Lake.of(environment))


def test_columns_are_those_that_spark_finds(tables: SparkTables, tmp_path: Path) -> None:
    path = str(tmp_path / "one file.parquet")
    pq.write_table(pa.table(COLUMNS), path)
    found, own = read_frame(tables, path), tables.spark.read.parquet(path)
    assert found.schema == own.schema
    assert found.collect() == own.collect()


def test_old_times_of_twelve_bytes_are_times(tables: SparkTables, tmp_path: Path) -> None:
    path = str(tmp_path / "old.parquet")
    times = pa.table({"at": COLUMNS["at"]})
    pq.write_table(times, path, use_deprecated_int96_timestamps=True)
    assert read_frame(tables, path).schema == tables.spark.read.parquet(path).schema


def test_a_folder_has_the_columns_of_its_name_parts(tables: SparkTables, tmp_path: Path) -> None:
    folder = str(tmp_path / "folder")
    rows = tables.spark.range(6).selectExpr("id as `a.b`", "id % 2 as half")
    rows.write.partitionBy("half").parquet(folder)
    found, own = read_frame(tables, folder), tables.spark.read.parquet(folder)
    assert found.schema == own.schema
    assert sorted(found.collect()) == sorted(own.collect())


def test_what_is_no_parquet_file_is_named(tables: SparkTables, tmp_path: Path) -> None:
    (tmp_path / "spine.parquet").write_text("id,at\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"spine\.parquet: .*is not a Parquet file"):
        read_frame(tables, str(tmp_path / "spine.parquet"))
