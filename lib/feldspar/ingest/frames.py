"""Reads probed files into one frame with provenance: columns as they came, nothing dropped.

CSV and JSON values stay text: typing is ``refine``'s work. A line that cannot be parsed is kept
whole in ``_corrupt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import groupby

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StringType, StructField, StructType

from feldspar.errors import InputError
from feldspar.ingest.columns import CORRUPT, FILE, NOTHING, unusable
from feldspar.ingest.probe import FileColumn, Format, Readable
from feldspar.stores.tables.paths import literal_path, plain_path


def read_files(spark: SparkSession, files: Sequence[Readable]) -> DataFrame:
    """All rows of the files; columns that a file lacks are null.

    Args:
        spark: the session.
        files: at least one file.

    Raises:
        InputError: JSON lines have a key that cannot be the name of a column.
    """
    ordered = sorted(files, key=lambda one: (one.format.value, one.columns, one.file.uri))
    frames = [
        _read_alike(spark, list(group))
        for _, group in groupby(ordered, key=lambda one: (one.format, one.columns))
    ]
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)


def _read_alike(spark: SparkSession, files: list[Readable]) -> DataFrame:
    paths = [literal_path(one.file.uri) for one in files]
    match files[0].format:
        case Format.PARQUET:
            rows = _read_parquet(spark, paths, columns=files[0].columns)
        case Format.CSV:
            rows = _read_csv(spark, paths, columns=[column.name for column in files[0].columns])
        case Format.JSON:
            rows = _read_json(spark, paths)
    return rows.withColumn(FILE, plain_path(F.col("_metadata.file_path"))).drop("_metadata")


def _read_parquet(
    spark: SparkSession, paths: list[str], *, columns: Sequence[FileColumn]
) -> DataFrame:
    # a column of nulls alone has no type yet: the first file with a value brings it
    held = [column for column in columns if column.kind != NOTHING]
    rows = spark.read.parquet(*paths)
    return rows.select(
        *[_instant(column) if column.nanoseconds else F.col(f"`{column.name}`") for column in held],
        F.lit(None).cast("string").alias(CORRUPT),
        F.col("_metadata"),
    )


def _instant(column: FileColumn) -> Column:
    """A time that is stored in nanoseconds, to the microsecond; sessions read it as a number."""
    micros = F.timestamp_micros(F.floor(F.col(f"`{column.name}`") / F.lit(1000).cast("bigint")))
    return micros.cast(column.kind).alias(column.name)


def _read_csv(spark: SparkSession, paths: list[str], *, columns: list[str]) -> DataFrame:
    fields = [StructField(name, StringType()) for name in (*columns, CORRUPT)]
    return (
        spark.read.schema(StructType(fields))
        .option("header", "true")
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", CORRUPT)
        # as RFC 4180 says: a quote within quotes is doubled, and quoted text may have line ends
        .option("escape", '"')
        .option("multiLine", "true")
        .csv(paths)
    )


def _read_json(spark: SparkSession, paths: list[str]) -> DataFrame:
    rows = (
        spark.read.option("primitivesAsString", "true")
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", CORRUPT)
        .json(paths)
    )
    names = [name for name in rows.columns if name != CORRUPT]
    problem = unusable(names)
    if problem:
        raise InputError(problem)
    if not names:
        # Spark refuses a frame of broken lines alone: they are read as the text they are
        return spark.read.text(paths).select(F.col("value").alias(CORRUPT), F.col("_metadata"))
    if CORRUPT not in rows.columns:
        rows = rows.withColumn(CORRUPT, F.lit(None).cast("string"))
    nested = (StructType, ArrayType, MapType)
    columns = [
        F.to_json(F.col(f"`{field.name}`")).alias(field.name)
        if isinstance(field.dataType, nested)
        else F.col(f"`{field.name}`")
        for field in rows.schema
    ]
    return rows.select(*columns, F.col("_metadata"))
