"""Answers in files: the tasks that make rows write them, and a reader finds what a frame shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import LongType, StructField, StructType

from feldspar.compute.answers import Answers
from feldspar.errors import InputError
from feldspar.spec.environment import StorageSpec
from feldspar.stores.parts import write_file, write_folder

ALL_TYPES = (
    "id",
    "id % 7 = 3 AS flag",
    "cast(id AS byte) AS tiny",
    "cast(id AS short) AS short",
    "cast(id AS int) AS whole",
    "cast(id AS float) / 3 AS number",
    "cast(cast(id AS float) / 3 AS float) AS single",
    "cast(id AS decimal(20, 4)) / 3 AS `the price`",
    "concat('text ', id) AS text",
    "cast(concat('b', id) AS binary) AS bytes",
    "date_add(DATE'1969-12-30', cast(id AS int)) AS day",
    "timestamp_micros(id * 1234567 - 1000000) AS instant",
    "cast(timestamp_micros(id * 1234567) AS timestamp_ntz) AS local",
    "array(id, null) AS several",
    "named_struct('a', id, 'b', array(concat(id, 'x'))) AS nested",
    "if(id % 5 = 0, null, id) AS gaps",
    "cast(null AS string) AS nothing",
)


@dataclass(frozen=True)
class Doubled:
    """Twice the column ``id``; stops at a value that it is told."""

    stop_at: int | None = None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = batch.column("id").to_pylist()
            if self.stop_at in values:
                raise ValueError("a row that nobody can read")
            yield pa.RecordBatch.from_pydict(
                {"id": pa.array([2 * one for one in values]), "more": pa.nulls(len(values))}
            )


ID = StructType([StructField("id", LongType())])


@pytest.fixture
def every_type(spark: SparkSession) -> DataFrame:
    return spark.range(0, 100, numPartitions=3).selectExpr(*ALL_TYPES)


@pytest.fixture
def storage(tmp_path: Path) -> StorageSpec:
    return StorageSpec(root=str(tmp_path))


def shown(frame: DataFrame) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in frame.collect())


def test_a_folder_holds_what_the_frame_shows(
    spark: SparkSession, every_type: DataFrame, tmp_path: Path, storage: StorageSpec
) -> None:
    out = tmp_path / "out"
    assert write_folder(Answers.of(every_type), str(out), storage=storage) == 100
    read = spark.read.parquet(str(out))
    assert read.dtypes == every_type.dtypes
    assert shown(read) == shown(every_type)
    assert sorted(one.name for one in out.iterdir()) == [
        "_SUCCESS",
        *(f"part-{part:05d}.parquet" for part in range(3)),
    ]


def test_a_file_is_replaced_by_one_file(
    spark: SparkSession, every_type: DataFrame, tmp_path: Path, storage: StorageSpec
) -> None:
    out = tmp_path / "out.parquet"
    for _ in range(2):
        assert write_file(Answers.of(every_type), str(out), storage=storage) == 100
    assert shown(spark.read.parquet(str(out))) == shown(every_type)
    assert [one.name for one in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize("write", [write_file, write_folder], ids=["a file", "a folder"])
def test_instants_are_in_utc_whatever_the_zone_of_the_session(
    spark: SparkSession, tmp_path: Path, storage: StorageSpec, write: type
) -> None:
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", "America/New_York")
    rows = session.range(3).selectExpr("timestamp_micros(id) AS at")
    out = tmp_path / "out.parquet"
    write(Answers.of(rows), str(out), storage=storage)
    found = pq.read_table(out).column("at")
    assert found.type == pa.timestamp("us", "UTC")
    assert sorted(found.cast(pa.int64()).to_pylist()) == [0, 1, 2]


@pytest.mark.parametrize("write", [write_file, write_folder], ids=["a file", "a folder"])
def test_no_rows_are_an_empty_table_with_its_columns(
    every_type: DataFrame, tmp_path: Path, storage: StorageSpec, write: type
) -> None:
    out = tmp_path / "out.parquet"
    nobody = Answers.of(every_type.where("id < 0"))
    assert write(nobody, str(out), storage=storage) == 0
    found = pq.read_table(out)
    assert (found.num_rows, found.column_names) == (0, every_type.columns)


def test_functions_in_turn_are_one_task(
    spark: SparkSession, tmp_path: Path, storage: StorageSpec
) -> None:
    rows = Answers.of(spark.range(0, 50, numPartitions=2).selectExpr("id", "id AS other"))
    more = StructType([*ID.fields, StructField("more", LongType())])
    answers = rows.then(Doubled(), more).select(["id"]).then(Doubled(), more).select(["id"])
    out = tmp_path / "out"
    write_folder(answers, str(out), storage=storage)
    expected = [(4 * one,) for one in range(50)]
    assert shown(answers.frame()) == expected
    assert shown(spark.read.parquet(str(out))) == expected
    assert answers.frame().columns == ["id"]


def test_a_job_that_fails_leaves_nothing(
    spark: SparkSession, tmp_path: Path, storage: StorageSpec
) -> None:
    rows = Answers.of(spark.range(0, 50, numPartitions=5))
    failing = rows.then(Doubled(stop_at=37), ID).select(["id"])
    with pytest.raises(PySparkException, match="a row that nobody can read"):
        write_folder(failing, str(tmp_path / "out"), storage=storage)
    with pytest.raises(PySparkException, match="a row that nobody can read"):
        write_file(failing, str(tmp_path / "out.parquet"), storage=storage)
    assert list(tmp_path.iterdir()) == []


def test_what_parquet_has_no_type_for_is_refused_before_anything_is_written(
    spark: SparkSession, tmp_path: Path, storage: StorageSpec
) -> None:
    rows = spark.range(3).selectExpr("id", "make_dt_interval(cast(id AS int)) AS pause")
    with pytest.raises(InputError, match="pause: Parquet has no type for interval day to second"):
        write_folder(Answers.of(rows), str(tmp_path / "out"), storage=storage)
    assert list(tmp_path.iterdir()) == []
