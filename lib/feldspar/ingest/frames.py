"""Reads probed files into one frame with provenance: columns as they came, nothing dropped.

CSV and JSON values stay text: typing is ``refine``'s work. A line that cannot be parsed is kept
whole in ``_corrupt``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from feldspar.errors import InputError
from feldspar.ingest.columns import CORRUPT, FILE, NOTHING, PROVENANCE, stored_type, unusable
from feldspar.ingest.probe import FileColumn, Format, Readable
from feldspar.ingest.shapes import Shape
from feldspar.ingest.splitting import Splitter
from feldspar.names import PUSHED, PUSHED_AT, SHAPE
from feldspar.stores.tables.paths import literal_path, plain_path

MOST_COLUMNS = 2_000
_LINE = "value"


@dataclass(frozen=True)
class Group:
    """Files of one shape, and their rows."""

    shape: Shape
    files: tuple[Readable, ...]
    rows: DataFrame


def read_files(spark: SparkSession, files: Sequence[Readable]) -> list[Group]:
    """The files by their shape, at least one.

    Raises:
        InputError: JSON lines have a key that cannot be the name of a column.
    """
    ordered = sorted(files, key=lambda one: (*_sort(one), one.file.uri))
    alike = groupby(ordered, key=_sort)
    return [_group(spark, tuple(found)) for _, found in alike]


def _sort(one: Readable) -> tuple[str, bool, tuple[FileColumn, ...]]:
    return one.format.value, one.pushed, one.columns


def _group(spark: SparkSession, files: tuple[Readable, ...]) -> Group:
    rows = _read_alike(spark, files)
    kinds = {name: kind for name, kind in rows.dtypes if name not in PROVENANCE}
    shape = Shape.of(files[0].format.value, kinds)
    return Group(shape, files, rows.withColumn(SHAPE, F.lit(shape.ident)))


def together(groups: Sequence[Group]) -> DataFrame:
    """All rows of the groups; columns that a file lacks are null."""
    frames = [group.rows for group in groups]
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)


def as_kept(rows: DataFrame, known: Mapping[str, str]) -> DataFrame:
    """The rows with the columns that bronze does not know yet in the types that it will keep."""
    widened = {
        name: F.col(f"`{name}`").cast(stored_type(kind))
        for name, kind in rows.dtypes
        if name not in known and stored_type(kind) != kind
    }
    return rows.withColumns(widened)


def _read_alike(spark: SparkSession, files: Sequence[Readable]) -> DataFrame:
    paths = [literal_path(one.file.uri) for one in files]
    match files[0].format:
        case Format.PARQUET:
            return _placed(_read_parquet(spark, paths, columns=files[0].columns))
        case Format.CSV:
            names = [column.name for column in files[0].columns]
            return _placed(_read_csv(spark, paths, columns=names))
        case Format.JSON if files[0].pushed:
            return split_objects(_lines(spark, paths), _LINE, (PUSHED, PUSHED_AT))
        case Format.JSON:
            return _read_json(spark, paths)


def _placed(rows: DataFrame) -> DataFrame:
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
    """A line is one object, or goes whole into ``_corrupt``.

    Spark's own reader drops what follows the first object of a line, and of two keys that differ by
    upper and lower case the values of one.
    """
    lines = _lines(spark, paths)
    names = distinct_names(lines.select(F.explode(F.json_object_keys(_LINE))))
    problem = unusable(names)
    if problem:
        raise InputError(problem)
    return split_objects(lines, _LINE, names)


def _lines(spark: SparkSession, paths: list[str]) -> DataFrame:
    path = plain_path(F.col("_metadata.file_path")).alias(FILE)
    return spark.read.text(paths).select(path, _LINE).where(F.trim(_LINE) != "")


def split_objects(rows: DataFrame, column: str, names: Sequence[str]) -> DataFrame:
    """Rows with columns of text in place of one of JSON objects.

    Args:
        rows: any.
        column: the objects.
        names: keys that become columns; an object that has another one is left whole.

    Returns:
        The other columns, ``_corrupt`` (what is no such object), and ``names``.
    """
    texts = [StructField(name, StringType()) for name in (CORRUPT, *names)]
    others = [field for field in rows.schema if field.name != column]
    splitter = Splitter(column, tuple(names), CORRUPT)
    return rows.mapInArrow(splitter, StructType([*others, *texts]))


def distinct_names(keys: DataFrame) -> list[str]:
    """The texts of a frame's one column, in the order of their letters.

    Raises:
        InputError: there are too many to be columns.
    """
    names = sorted(row[0] for row in keys.distinct().limit(MOST_COLUMNS + 1).collect())
    if len(names) > MOST_COLUMNS:
        raise InputError(f"lines have more than {MOST_COLUMNS:,} different keys: too many columns")
    return names
