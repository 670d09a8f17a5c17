"""How a gold table lies in its files: a bucket of the entity is a partition, a file a sorted run.

A run of a plain view is sorted by entity; that of a windowed view by time and cut into slices, for
a window needs a stretch of time of every entity and opens no other file.

New rows make new runs and touch no file. Where a bucket has got too many, the freshest are made one
again (``merging``).
"""

from __future__ import annotations

from typing import assert_never

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.compute.buckets import bucket_of, by_bucket
from feldspar.compute.visibility import visible_at
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import BATCH, BUCKET, EVENT_TIME, KNOWN_TIME, POSITION
from feldspar.stores.tables.bucketed import BUCKETS
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import duration_micros

FEWEST_BUCKETS = 8
ROWS_A_BUCKET = 1_000_000
"""A bucket that fills a task's memory to some 100 MB; see docs/decisions/0017."""
ROWS_A_SLICE = 50_000
"""Most rows in a file of a windowed view."""


def bucket_count(rows: int) -> int:
    """How many buckets a table of so many rows is made with; a power of two.

    >>> bucket_count(0), bucket_count(9_000_000)
    (8, 16)
    """
    buckets = FEWEST_BUCKETS
    while buckets * ROWS_A_BUCKET < rows:
        buckets *= 2
    return buckets


def with_bucket(rows: DataFrame, view: View, buckets: int) -> DataFrame:
    """The rows with the number of their bucket."""
    number = bucket_of(rows, view.keys, spread_by=EVENT_TIME, buckets=buckets)
    return rows.withColumn(BUCKET, number)


def laid_out(rows: DataFrame, view: View, buckets: int) -> DataFrame:
    """The rows in the order of the layout: a bucket in one task, which writes it file by file.

    Rows of plain views lie by entity and the time from which they are visible: so the join finds
    them without sorting. Those of windowed views lie by the time at which they happened.
    """
    keys = [F.col(f"`{key}`") for key in view.keys]
    system = [F.col(name) for name in (EVENT_TIME, KNOWN_TIME, BATCH, POSITION)]
    moved = by_bucket(rows, BUCKET, buckets=buckets)
    match view:
        case PlainView():
            delay = duration_micros(view.serving_delay)
            visible = visible_at(F.col(EVENT_TIME), F.col(KNOWN_TIME), serving_delay=delay)
            return moved.sortWithinPartitions(BUCKET, *keys, visible, *system)
        case WindowedView():
            return moved.sortWithinPartitions(BUCKET, *system, *keys)
        case _:
            assert_never(view)


def rows_a_file(view: View) -> int | None:
    """How many rows a file may have at most; None: as many as there are."""
    return ROWS_A_SLICE if isinstance(view, WindowedView) else None


def lay_anew(view: View, tables: SparkTables) -> None:
    """Makes one run of every bucket, after a write that kept no order."""
    buckets = int(tables.properties("gold", view.name)[BUCKETS])
    version = tables.version("gold", view.name)
    rows = tables.read("gold", view.name, version=version)
    tables.rewrite(
        laid_out(rows, view, buckets),
        "gold",
        view.name,
        where=f"{BUCKET} >= 0",
        version=version,
        rows_a_file=rows_a_file(view),
    )
