"""Rows written as gold is: the layout of ``features.layout``, below a folder that may be copied."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from feldspar.features.gold import append_rows
from feldspar.features.layout import bucket_count, rows_a_file, with_bucket
from feldspar.graph.view import PlainView, TableView, View, WindowedView
from feldspar.spec.environment import StorageSpec
from feldspar.stores.tables.bucketed import BUCKETS, BucketedTable
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable


def plain_view(name: str, key: str) -> PlainView:
    """A view of plain columns; only what its layout depends on is said."""
    common = _common(name, key)
    return PlainView(**vars(common), features=(), ttl=None)


def windowed_view(name: str, key: str) -> WindowedView:
    """A view of windows; only what its layout depends on is said."""
    common = _common(name, key)
    return WindowedView(**vars(common), aggregates=(), delay=timedelta(0), request_event="include")


def _common(name: str, key: str) -> TableView:
    return TableView(
        name=name,
        entity="entity",
        keys=(key,),
        table="rows",
        event_key=("id",),
        columns=(),
        derived=(),
        serving_delay=timedelta(0),
        definition="",
    )


def tables_of(spark: SparkSession, layout: Path) -> SparkTables:
    """The lake below a folder."""
    return SparkTables(spark, Lake(StorageSpec(root=str(layout)), "bench"))


def append(rows: DataFrame, view: View, tables: SparkTables, *, load: int) -> None:
    """Adds rows to the view's gold table as a load of its stage would."""
    if tables.exists("gold", view.name):
        buckets = int(tables.properties("gold", view.name)[BUCKETS])
    else:
        buckets = bucket_count(rows.count())
    schema = nullable(with_bucket(rows, view, buckets).schema)
    declared = Declared(schema, {BUCKETS: str(buckets)}, ("_bucket",), rows_a_file(view))
    append_rows(rows, view, tables, txn=Txn("bench", load), declared=declared)


def files_of(view: View, tables: SparkTables) -> BucketedTable:
    """The newest version's files."""
    files = tables.files("gold", view.name, version=tables.version("gold", view.name))
    if files is None:
        raise ValueError(f"gold.{view.name} is not in buckets")
    return files
