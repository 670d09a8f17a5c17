"""Parquet folders whose parts are written by the tasks that make the rows.

A part has its task's number for a name and appears whole or not at all, so that a task that is run
again replaces its own part by the same rows. ``_SUCCESS`` stands in the folder when all are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    CalendarIntervalType,
    DayTimeIntervalType,
    LongType,
    StructField,
    StructType,
    VariantType,
    YearMonthIntervalType,
)

from feldspar.errors import InputError, StoreError
from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects

_TOLD = StructType([StructField("rows", LongType(), nullable=False)])
_GROUP_ROWS = 1_000_000
_GROUP_BYTES = 128_000_000
_NOT_IN_PARQUET = (CalendarIntervalType, DayTimeIntervalType, YearMonthIntervalType, VariantType)


class Rows(Protocol):
    """What can be written; ``compute.answers.Answers`` is."""

    @property
    def asked(self) -> StructType:
        """Columns and types."""
        ...

    def frame(self) -> DataFrame:
        """As Spark's rows."""
        ...

    def into(self, sink: PartWriter) -> DataFrame:
        """Into a sink, in the tasks that make them."""
        ...


def write_folder(rows: Rows, uri: str, *, storage: StorageSpec) -> int:
    """Writes a folder of Parquet files that is not there yet, and tells how many rows it has.

    What a failed job wrote is removed.

    Raises:
        InputError: a column's type has no Parquet form.
    """
    _check_types(rows.asked)
    folder = uri.rstrip("/")
    writer = PartWriter(folder, storage, to_arrow_schema(rows.asked, timezone="UTC"))
    with ExitStack() as undo:
        undo.callback(objects.delete_folder, folder, storage)
        # made here and not by tasks: one that outlives its failed job finds no folder to write to
        objects.make_folder(folder)
        written = _total(rows.into(writer))
        if not written:
            writer.write(iter(()), part=0)
        undo.pop_all()
    objects.write_bytes(f"{folder}/_SUCCESS", b"", storage=storage)
    return written


def write_file(rows: Rows, uri: str, *, storage: StorageSpec) -> int:
    """Writes one Parquet file, or replaces it in one step, and tells how many rows it has.

    One task does it.

    Raises:
        InputError: a column's type has no Parquet form.
    """
    _check_types(rows.asked)
    writer = FileWriter(uri, storage, to_arrow_schema(rows.asked, timezone="UTC"))
    objects.make_folder(uri.rpartition("/")[0])
    written = _total(rows.frame().repartition(1).mapInArrow(writer, _TOLD))
    if not written:
        writer.write(iter(()))
    return written


@dataclass(frozen=True)
class FileWriter:
    """Writes the rows of a task as one file; travels to executors."""

    uri: str
    storage: StorageSpec
    schema: pa.Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Writes no file where there are no rows."""
        for first in batches:
            rows = self.write(chain((first,), batches))
            yield pa.RecordBatch.from_pydict({"rows": pa.array([rows], pa.int64())})

    def write(self, batches: Iterator[pa.RecordBatch]) -> int:
        """Writes the file, even of no rows, and tells how many it has."""
        rows = 0
        with (
            objects.new_file(self.uri, self.storage) as path,
            pq.ParquetWriter(path, self.schema, compression="snappy") as writer,
        ):
            for group in _groups(batches, self.schema):
                writer.write_table(group, row_group_size=_GROUP_ROWS)
                rows += group.num_rows
        return rows


@dataclass(frozen=True)
class PartWriter:
    """Writes the rows of each task as a part of a folder; travels to executors."""

    folder: str
    storage: StorageSpec
    schema: pa.Schema

    @property
    def told(self) -> StructType:
        """How many rows were written."""
        return _TOLD

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Writes no part where there are no rows."""
        context = TaskContext.get()
        if context is None:
            raise StoreError("parts are written by Spark's tasks, and this is none")
        return self._part(context.partitionId())(batches)

    def write(self, batches: Iterator[pa.RecordBatch], *, part: int) -> int:
        """Writes one part, even of no rows, and tells how many it has."""
        return self._part(part).write(batches)

    def _part(self, number: int) -> FileWriter:
        return FileWriter(f"{self.folder}/part-{number:05d}.parquet", self.storage, self.schema)


def _total(told: DataFrame) -> int:
    found = told.agg(F.sum("rows")).first()
    return 0 if found is None else int(found[0] or 0)


def _groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups of a bounded size; Spark gives times in the zone of its session."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting).cast(schema)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting).cast(schema)


def _check_types(asked: StructType) -> None:
    for field in asked.fields:
        if isinstance(field.dataType, _NOT_IN_PARQUET):
            text = f"{field.name}: Parquet has no type for {field.dataType.simpleString()}"
            raise InputError(text, hint="leave the column out, or cast it to a number or a text")
