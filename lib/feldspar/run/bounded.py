"""A Spark frame as an Arrow table on this machine, refused where it is too large for that.

Rows are counted first, which for a table costs no reading; only a frame with few enough rows is
computed, measured where it lies, and brought here once it is known to fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.errors import InputError

MEBIBYTE = 2**20
_INSTEAD = (
    "select fewer columns, filter, aggregate or sample(); or write it: df.write.parquet(...); "
    "a larger limit: to_arrow(df, max_rows=..., max_bytes=...)"
)


@dataclass(frozen=True)
class Limit:
    """The largest frame that is brought here; bytes are those of its Arrow columns."""

    rows: int = 5_000_000
    # half of what Spark itself lets a driver collect (spark.driver.maxResultSize)
    bytes: int = 512 * MEBIBYTE


def bounded_arrow(df: DataFrame, limit: Limit) -> pa.Table:
    """All rows of a frame.

    Raises:
        InputError: it has more rows or bytes than the limit.
    """
    rows = df.count()
    if rows > limit.rows:
        text = f"the frame has {rows:,} rows; at most {limit.rows:,} are brought to this machine"
        raise InputError(text, hint=_INSTEAD)
    # a frame that the user keeps stays as he keeps it
    is_kept = df.storageLevel != StorageLevel.NONE
    kept = df if is_kept else df.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        size = _size(kept)
        if size > limit.bytes:
            raise InputError(
                f"the frame has {rows:,} rows of {size / MEBIBYTE:,.1f} MiB in all; "
                f"at most {limit.bytes / MEBIBYTE:,.1f} MiB are brought to this machine",
                hint=_INSTEAD,
            )
        found: pa.Table = kept.toArrow()
        return found
    finally:
        if not is_kept:
            kept.unpersist()


def _size(df: DataFrame) -> int:
    row = df.mapInArrow(_sizes, "size bigint").agg(F.sum("size")).first()
    return int(row[0] or 0) if row is not None else 0


def _sizes(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"size": pa.array([batch.nbytes], pa.int64())})
