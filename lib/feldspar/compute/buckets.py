"""Two Spark frames cut into hash buckets of their keys, each pair of buckets one Arrow call.

Equal key tuples meet in one bucket; a bucket holds many entities, which the kernels fold
together. Function and plan travel to the executors, so both must be importable or plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, GroupedData
from pyspark.sql import functions as F
from pyspark.sql.types import ByteType, DataType, IntegerType, LongType, ShortType, StructType

from feldspar.compute.timeline import narrow
from feldspar.errors import EngineError, nearest

Plan = TypeVar("Plan")
ROWS_OUT = 50_000
"""Rows of a batch that a task hands back to Spark."""
_WHOLE = (ByteType, ShortType, IntegerType, LongType)


@dataclass(frozen=True)
class Keyed:
    """A frame, its key columns, and a column that spreads the rows without a key."""

    frame: DataFrame
    keys: tuple[str, ...]
    spread_by: str


def per_bucket(
    left: Keyed,
    right: Keyed,
    function: Callable[[pa.Table, pa.Table, Plan], pa.Table],
    plan: Plan,
    *,
    schema: StructType,
    buckets: int,
) -> DataFrame:
    """``function(left bucket, right bucket, plan)`` for every bucket, as one frame.

    Args:
        left, right: key types must agree, but for the width of whole numbers.
        function: a module-level function over Arrow tables.
        plan: its third argument.
        schema: of what the function returns.
        buckets: how many; each must fit one Python worker's memory.

    Raises:
        EngineError: key columns that are absent or of different types.
    """
    if buckets < 1:
        raise EngineError(f"{buckets} buckets; at least one is needed")
    check_keys(left, right)

    def bucket(one: pa.Table, other: pa.Table) -> pa.Table:
        return function(one, other, plan)

    one, other = _grouped(left, buckets), _grouped(right, buckets)
    return one.cogroup(other).applyInArrow(bucket, schema)


def check_keys(left: Keyed, right: Keyed) -> None:
    """Raise EngineError unless both sides have keys of the same types."""
    for one, other in zip(left.keys, right.keys, strict=True):
        types = (key_type(left.frame, one), key_type(right.frame, other))
        if types[0] != types[1]:
            raise EngineError(
                f"key {one!r} is {types[0].simpleString()} "
                f"but {other!r} is {types[1].simpleString()}",
                hint="give both the same type: keys are compared as typed values",
            )


def key_type(frame: DataFrame, name: str) -> DataType:
    """The type in which a key column is hashed: one width for whole numbers."""
    if name not in frame.columns:
        close = ", ".join(nearest(name, frame.columns) or frame.columns)
        raise EngineError(f"the frame has no column {name!r}", hint=f"nearest: {close}")
    kind = frame.schema[name].dataType
    return LongType() if isinstance(kind, _WHOLE) else kind


def key_columns(frame: DataFrame, names: Sequence[str]) -> list[Column]:
    """The key columns in the types of ``key_type``."""
    return [F.col(f"`{name}`").cast(key_type(frame, name)) for name in names]


def bucket_of(frame: DataFrame, keys: Sequence[str], *, spread_by: str, buckets: int) -> Column:
    """The bucket of each row, 0 to ``buckets`` - 1, by a hash of its typed key tuple.

    Of 2n buckets, bucket b and bucket b + n hold together what bucket b of n holds.

    Args:
        frame: has the columns.
        keys: the key columns.
        spread_by: a column that spreads the rows without a key: they meet nobody, and one bucket
            would get them all.
        buckets: how many.
    """
    columns = key_columns(frame, keys)
    missing = columns[0].isNull()
    for key in columns[1:]:
        missing = missing | key.isNull()
    hashed = F.when(missing, F.xxhash64(F.col(f"`{spread_by}`"))).otherwise(F.xxhash64(*columns))
    return F.pmod(hashed, F.lit(buckets)).cast("int")


def by_bucket(frame: DataFrame, bucket: str, *, buckets: int) -> DataFrame:
    """The frame with all rows of a bucket in one partition.

    There is a task for each bucket, or where the session is set to fewer shuffle partitions, as
    many tasks as those: each has several buckets then.
    """
    setting = frame.sparkSession.conf.get("spark.sql.shuffle.partitions") or str(buckets)
    return frame.repartitionById(min(buckets, int(setting)), F.col(bucket))


def of_each_bucket(
    batches: Sequence[pa.RecordBatch], bucket: str
) -> Iterator[tuple[int, pa.Table]]:
    """A task's rows by the number in their column ``bucket``, which is left out."""
    if not batches:
        return
    table = pa.Table.from_batches(batches)
    numbers = table.column(bucket).to_numpy()
    order = np.argsort(narrow(numbers), kind="stable")
    rows = table.drop_columns([bucket]).take(order).combine_chunks()
    found, starts = np.unique(numbers[order], return_index=True)
    for number, start, stop in zip(found, starts, [*starts[1:], len(order)], strict=True):
        yield int(number), rows.slice(start, stop - start)


def _grouped(side: Keyed, buckets: int) -> GroupedData:
    # columns of its own: both sides are often made from one table, and Spark would mix them up
    frame = side.frame.toDF(*side.frame.columns)
    bucket = bucket_of(frame, side.keys, spread_by=side.spread_by, buckets=buckets)
    return frame.groupBy(bucket.alias("__bucket"))
