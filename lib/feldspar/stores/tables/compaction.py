"""Merges a table's small files between batches; no row changes, and readers of changes see none.

Called after a batch is confirmed: a merge that is killed, or that meets another writer, has no
effect, and the next batch tries again. Which files it takes is decided in ``tiers``.
"""

from __future__ import annotations

from collections.abc import Callable

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from feldspar.stores.tables import log
from feldspar.stores.tables.causes import cause
from feldspar.stores.tables.spark import SparkTables
from feldspar.stores.tables.tiers import Merge, merge_of

_SMALLER_THAN = "spark.databricks.delta.optimize.minFileSize"
_AT_MOST = "spark.databricks.delta.optimize.maxFileSize"


def compact(
    tables: SparkTables, layer: str, name: str, *, progress: Callable[[str], None]
) -> Merge | None:
    """Merges the small files of a table where there are too many, within the budget.

    It is upkeep, so it never raises for what it could not do: that is said, and left to the next.

    Args:
        tables: the lake.
        layer: the table's layer.
        name: the table's name.
        progress: gets a line when it begins, and one when it is put off.

    Returns:
        What was merged; None where nothing was.

    Raises:
        TableNotFoundError: there is no such table.
        UnreachableError: the table's log could not be read.
    """
    merge = merge_of(log.file_sizes(tables.lake, layer, name))
    if merge is None:
        return None
    progress(f"{layer}.{name}: merging its files of less than {merge.below:,} bytes")
    try:
        merge_files(tables, layer, name, merge)
    except (Py4JJavaError, PySparkException) as error:
        progress(f"{layer}.{name}: merging is put off to the next batch: {cause(error)}")
        return None
    return merge


def merge_files(
    tables: SparkTables, layer: str, name: str, merge: Merge, *, where: str | None = None
) -> None:
    """Puts small files into larger ones, within each partition.

    Args:
        tables: the lake.
        layer: the table's layer.
        name: the table's name.
        merge: which files, into how large ones.
        where: SQL condition over the columns that split the table; None: all partitions.
    """
    # sizes are read from session settings alone: one of its own, for they hold for other tables
    session = tables.spark.newSession()
    session.conf.set(_SMALLER_THAN, str(merge.below))
    session.conf.set(_AT_MOST, str(merge.upto))
    chosen = DeltaTable.forPath(session, tables.lake.uri(layer, name)).optimize()
    if where is not None:
        chosen = chosen.where(where)
    chosen.executeCompaction()
