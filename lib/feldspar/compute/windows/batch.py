"""Windows over Spark frames: arrow.py once per hash bucket of the entity's key.

All that decides is in fold.py; here are only the shuffle and the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import StructField, StructType

from feldspar.compute.answers import Answers
from feldspar.compute.buckets import (
    ROWS_OUT,
    Keyed,
    bucket_of,
    by_bucket,
    check_keys,
    of_each_bucket,
    per_bucket,
)
from feldspar.compute.columns import refuse_taken
from feldspar.compute.windows import arrow
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import EngineError

_BUCKET = "__bucket"


def add_windows(
    spine: DataFrame, events: DataFrame, plan: WindowPlan, *, buckets: int
) -> DataFrame:
    """The spine with one more column for each aggregation.

    Args:
        spine: keys, time and any other columns; all rows and columns are kept.
        events: stored versions of events, with departures (see ``departures.py``).
        plan: what to compute.
        buckets: number of hash buckets; a bucket of both frames must fit a Python worker.

    Raises:
        EngineError: a column is absent, key types differ, or an output column exists already.
    """
    _check(spine, events, plan)
    needed = events.select(*(f"`{name}`" for name in plan.event_columns))
    sides = (
        Keyed(spine, plan.spine_keys, plan.spine_time),
        Keyed(needed, plan.event_keys, plan.columns.event_time),
    )
    check_keys(*sides)
    return per_bucket(
        *sides,
        arrow.add_windows_in_bucket,
        plan,
        schema=_with_outputs(spine, needed, plan),
        buckets=buckets,
    )


def add_windows_at_events(events: DataFrame, plan: WindowPlan, *, buckets: int) -> Answers:
    """The events themselves with one more column for each aggregation: only they move, once.

    Args:
        events: spine and stored versions in one; all rows and columns are kept.
        plan: what to compute; its keys and its times name columns of the same frame.
        buckets: number of hash buckets; a task holds the events of all of its own, and folds one
            bucket after the other.

    Raises:
        EngineError: a column is absent, or an output column exists already.
    """
    _check(events, events, plan)
    bucket = bucket_of(events, plan.event_keys, spread_by=plan.spine_time, buckets=buckets)
    moved = by_bucket(events.withColumn(_BUCKET, bucket), _BUCKET, buckets=buckets)
    schema = _with_outputs(events, events, plan)
    return Answers(moved, (_AtEvents(plan),), schema, tuple(schema.names))


@dataclass(frozen=True)
class _AtEvents:
    """One task's work; a module-level value, so that executors get it from the wheel."""

    plan: WindowPlan

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, events in of_each_bucket(list(batches), _BUCKET):
            answers = arrow.add_windows_in_bucket(events, events, self.plan)
            yield from answers.to_batches(max_chunksize=ROWS_OUT)


def _check(spine: DataFrame, events: DataFrame, plan: WindowPlan) -> None:
    absent = [name for name in plan.event_columns if name not in events.columns]
    if absent:
        raise EngineError(f"the events have no columns {absent}", hint=f"found: {events.columns}")
    refuse_taken((item.name for item in plan.aggregations), spine.columns)


def _with_outputs(spine: DataFrame, events: DataFrame, plan: WindowPlan) -> StructType:
    known = to_arrow_schema(events.schema, timezone="UTC")
    added = [
        StructField(item.name, from_arrow_type(item.type))
        for item in arrow.output_fields(plan, known)
    ]
    return StructType([*spine.schema.fields, *added])
