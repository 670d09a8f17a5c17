"""Features of all views of one entity in one pass: only the spine moves, tasks read gold's files.

The spine is sent to the task of its bucket; the task joins it with the bucket's runs of each view.
A task holds a part of the spine and one run at a time (for windows: one bucket's events).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import StructField, StructType

from feldspar.compute.answers import Answers
from feldspar.compute.buckets import ROWS_OUT, bucket_of, by_bucket, of_each_bucket
from feldspar.compute.layout import BucketedRows
from feldspar.compute.pit import bucketed as pit
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.completion import Completion
from feldspar.compute.windows import arrow as window_types
from feldspar.compute.windows import bucketed as windows
from feldspar.compute.windows.plan import WindowPlan

SPINE_ROWS_AT_ONCE = 500_000
_BUCKET = "_spine_bucket"


@dataclass(frozen=True)
class ViewRows:
    """What to compute of one view, and where its rows lie."""

    plan: PitPlan | WindowPlan
    rows: BucketedRows

    def added_to(self, spine: pa.Table, bucket: int) -> pa.Table:
        """The spine of one bucket with the view's columns."""
        runs = self.rows.runs(bucket % self.rows.buckets, since=self._since(spine))
        match self.plan:
            case PitPlan():
                return pit.add_columns(spine, runs, self.plan, types=self.rows.schema)
            case WindowPlan():
                return windows.add_windows(spine, runs, self.plan, types=self.rows.schema)
            case _:
                assert_never(self.plan)

    def _since(self, spine: pa.Table) -> int | None:
        """The earliest time that a row of any use can have; None: there is no such limit."""
        reach = self.plan.reach
        earliest = pc.min(spine.column(self.plan.spine_time)).cast(pa.int64()).as_py()
        return None if reach is None or earliest is None else earliest - reach

    def fields(self) -> list[StructField]:
        """The columns that are added."""
        schema = self.rows.schema
        match self.plan:
            case PitPlan():
                found = [
                    pa.field(name, schema.field(source).type)
                    for source, name in self.plan.columns.items()
                ]
            case WindowPlan():
                found = window_types.output_fields(self.plan, schema)
            case _:
                assert_never(self.plan)
        return [StructField(one.name, from_arrow_type(one.type)) for one in found]


def add_views(
    spine: DataFrame, views: Sequence[ViewRows], *, completion: Completion | None = None
) -> Answers:
    """The spine with the columns of views that share an entity's keys.

    Args:
        spine: keys in the types of the views' rows, times, and any other columns.
        views: at least one; their key columns have the same names in the spine.
        completion: computes what is not stored, where this is the last entity of a service.
    """
    buckets = max(view.rows.buckets for view in views)
    first = views[0].plan
    fields = [*spine.schema, *(field for view in views for field in view.fields())]
    if completion is not None:
        fields += completion.fields()
    numbered = spine.withColumn(
        _BUCKET, bucket_of(spine, first.spine_keys, spread_by=first.spine_time, buckets=buckets)
    )
    task = _Task(tuple(views), completion)
    moved = by_bucket(numbered, _BUCKET, buckets=buckets)
    return Answers(moved, (task,), StructType(fields), tuple(one.name for one in fields))


@dataclass(frozen=True)
class _Task:
    """One bucket's work; a module-level value, so that executors get it from the wheel."""

    views: tuple[ViewRows, ...]
    completion: Completion | None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket, spine in parts(batches, _BUCKET):
            table = spine
            for view in self.views:
                table = view.added_to(table, bucket)
            if self.completion is not None:
                table = self.completion.completed(table)
            yield from table.to_batches(max_chunksize=ROWS_OUT)


def parts(batches: Iterator[pa.RecordBatch], bucket: str) -> Iterator[tuple[int, pa.Table]]:
    """A partition's rows by the number in their column ``bucket``, a bounded number at a time."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= SPINE_ROWS_AT_ONCE:
            yield from of_each_bucket(waiting, bucket)
            waiting, rows = [], 0
    if rows:
        yield from of_each_bucket(waiting, bucket)
