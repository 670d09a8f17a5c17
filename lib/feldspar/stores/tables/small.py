"""Appends of few rows: tasks write the files, and the commit is one request without a JVM.

Spark's own commit looks its cursor up in a state that two jobs compute from the log, and sums the
log up again behind it: several times what writing a second of rows takes. Rules are those of any
other append: the cursor is committed with the rows, once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects
from feldspar.stores.tables import epochs, log
from feldspar.stores.tables.again import until_written
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import GENERATION, STATISTICS, Txn, last_txn
from feldspar.stores.tables.statistics import statistics_of
from feldspar.times import to_micros, utc_now

SMALL = 32 * 2**20
"""Bytes of what rows are made from, up to which tasks hold and write them themselves: Spark's own
writer is faster for many.
"""
_TRIES = 4
_FILE = "path string, size bigint, bucket string, statistics string"
_TOLD = pa.schema(
    {"path": pa.string(), "size": pa.int64(), "bucket": pa.string(), "statistics": pa.string()}
)


def append_small(
    df: DataFrame, lake: Lake, layer: str, name: str, *, txn: Txn, rows_a_file: int | None
) -> bool:
    """Appends rows once to a table that is there; ``log.confirmed`` tells what came of it.

    The log is opened once, before the job: what others commit meanwhile meets this commit.

    Args:
        df: rows, few enough for the memory of a task.
        lake: where the table lies.
        layer: the table's layer.
        name: the table's name.
        txn: names the write; where the table has it, or a later run's, nothing is written.
        rows_a_file: at most; None: no limit.

    Returns:
        False where that is Spark's to do: a column has not the very type that the table gives it.

    Raises:
        OvertakenError: a later run has claimed the table.
        UnreachableError: the commit could not be written.
    """
    table = epochs.open_claimed(lake, layer, name, txn=txn)
    types = dict(_types(spark_schema(table.schema().to_json())))
    if any(types.get(column) != kind for column, kind in _types(df.schema)):
        return False
    if _has(txn, last_txn(table, txn.app)):
        return True
    split_by = table.metadata().partition_columns
    named = table.metadata().configuration.get(STATISTICS)
    writer = FileWriter(
        lake.uri(layer, name),
        lake.storage,
        split_by[0] if split_by else None,
        rows_a_file,
        tuple(named.split(",")) if named else None,
        tuple(df.columns),
    )
    # by number: of a name with a dot Spark's mapInArrow would look for a field of a struct
    numbered = df.toDF(*[str(place) for place in range(len(df.columns))])
    found = numbered.mapInArrow(writer, _FILE).collect()
    files = [_added(row.asDict(), split_by) for row in found]
    commit_files(table, lake, layer, name, txn=txn, files=files)
    return True


def commit_files(
    table: DeltaTable, lake: Lake, layer: str, name: str, *, txn: Txn, files: list[AddAction]
) -> None:
    """Appends files that lie there to a table, once; nothing where a later run was first.

    Args:
        table: as it was opened before the files were made.
        lake: where it lies.
        layer: its layer.
        name: its name.
        txn: names the write.
        files: paths below the table's folder, with their statistics.

    Raises:
        OvertakenError: the table was rebuilt since it was opened.
        UnreachableError: the commit could not be written.
    """
    until_written(_commit)(_tables(table, lake, layer, name, txn=txn), txn=txn, files=files)


def _tables(
    table: DeltaTable, lake: Lake, layer: str, name: str, *, txn: Txn
) -> Iterator[DeltaTable]:
    """The table as it was opened, and then as often as it is asked for as it is now.

    Raises:
        OvertakenError: it was rebuilt: what was to be appended belongs to the one before.
    """
    yield table
    while True:
        now = log.open_table(lake, layer, name)
        before, found = (one.metadata().configuration.get(GENERATION) for one in (table, now))
        if before != found:
            raise log.overtaken(f"{layer}.{name}", txn.app)
        yield now


def _types(schema: StructType) -> Iterator[tuple[str, str]]:
    """Without what may be null: a table holds nulls everywhere."""
    return ((field.name, field.dataType.simpleString()) for field in schema)


def spark_schema(text: str) -> StructType:
    """Columns and types as a Delta log has them."""
    return StructType.fromJson(json.loads(text))


def _has(txn: Txn, done: Txn | None) -> bool:
    return done is not None and done.version >= txn.version


def _added(file: dict[str, Any], split_by: Sequence[str]) -> AddAction:
    return AddAction(
        file["path"],
        file["size"],
        dict.fromkeys(split_by, file["bucket"]),
        to_micros(utc_now()) // 1_000,
        True,  # noqa: FBT003 the format's own order: rows came
        file["statistics"],
    )


def _commit(tables: Iterator[DeltaTable], *, txn: Txn, files: list[AddAction]) -> None:
    """Fails where somebody wrote under the same cursor, or rebuilt it, since it was opened."""
    table = next(tables)
    if _has(txn, last_txn(table, txn.app)):
        return
    table.create_write_transaction(
        [*files],
        mode="append",
        schema=table.schema(),
        partition_by=table.metadata().partition_columns,
        commit_properties=CommitProperties(app_transactions=[Transaction(txn.app, txn.version)]),
    )


@dataclass(frozen=True)
class FileWriter:
    """Writes the rows of a task and tells the files; travels to executors.

    Attributes:
        uri: the table's folder.
        storage: where that is.
        split_by: the column by which the table is split, of whole numbers; None: it is not.
        rows_a_file: at most; None: no limit.
        statistics: the columns of which least and greatest values are told; None: all that have
            such.
        columns: what the table calls them, in order; batches may have other names.
    """

    uri: str
    storage: StorageSpec
    split_by: str | None
    rows_a_file: int | None
    statistics: tuple[str, ...] | None
    columns: tuple[str, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """A row a file: none where there are no rows."""
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        write = _opened(self.storage)
        rows = pa.Table.from_batches(held).rename_columns(list(self.columns))
        files = [
            self._written(part.slice(start, self.rows_a_file), bucket, write)
            for bucket, part in self._parts(rows)
            for start in range(0, part.num_rows, self.rows_a_file or part.num_rows)
        ]
        yield pa.RecordBatch.from_pylist(files, schema=_TOLD)

    def _parts(self, rows: pa.Table) -> Iterator[tuple[str | None, pa.Table]]:
        """Runs of rows of one bucket, with its number."""
        if self.split_by is None:
            yield None, rows
            return
        numbers = rows.column(self.split_by).to_numpy()
        rest = rows.drop_columns([self.split_by])
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
            yield str(numbers[start]), rest.slice(start, stop - start)

    def _written(
        self, rows: pa.Table, bucket: str | None, write: Callable[[str, bytes], None]
    ) -> dict[str, object]:
        folder = "" if bucket is None else f"{self.split_by}={bucket}/"
        path = f"{folder}part-{uuid4()}.parquet"
        content = pa.BufferOutputStream()
        pq.write_table(rows, content, compression="snappy", store_schema=False)
        data = content.getvalue().to_pybytes()
        write(f"{self.uri}/{path}", data)
        told = statistics_of(rows, self.statistics)
        return {"path": path, "size": len(data), "bucket": bucket, "statistics": told}


@cache
def _opened(storage: StorageSpec) -> Callable[[str, bytes], None]:
    """Kept by the worker: a client of a bucket takes longer to make than a small file to write."""
    if storage.on_s3:
        return objects.opened_writer(storage, attempts=_TRIES)
    return partial(_write, storage)


def _write(storage: StorageSpec, uri: str, content: bytes) -> None:
    objects.write_bytes(uri, content, storage=storage)
