"""Windows over Spark frames: arrow.py once per hash bucket of the entity's key.

All that decides is in fold.py; here are the shuffle, the schema, and the events that a correction
moved from one entity to another, which no single bucket could see.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import and_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import StructField, StructType

from feldspar.compute.buckets import Keyed, check_keys, key_columns, per_bucket
from feldspar.compute.windows import arrow
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import EngineError

RETRACTED = "__retracted"


def add_windows(
    spine: DataFrame, events: DataFrame, plan: WindowPlan, *, buckets: int
) -> DataFrame:
    """The spine with one more column for each aggregation.

    Args:
        spine: keys, time and any other columns; all rows and columns are kept.
        events: stored versions of events.
        plan: what to compute.
        buckets: number of hash buckets; a bucket of both frames must fit a Python worker.

    Raises:
        EngineError: a column is absent, key types differ, or an output column exists already.
    """
    absent = [name for name in plan.event_columns if name not in events.columns]
    if absent:
        raise EngineError(f"the events have no columns {absent}", hint=f"found: {events.columns}")
    taken = [item.name for item in plan.aggregations if item.name in spine.columns]
    if taken:
        raise EngineError(f"the spine already has the output columns {taken}")
    needed = events.select(*(f"`{name}`" for name in plan.event_columns))
    sides = (
        Keyed(spine, plan.spine_keys, plan.spine_time),
        Keyed(needed, plan.event_keys, plan.columns.event_time),
    )
    check_keys(*sides)
    whole = with_departures(needed, plan)
    fields = [
        StructField(item.name, from_arrow_type(item.type))
        for item in arrow.output_fields(plan, to_arrow_schema(needed.schema, timezone="UTC"))
    ]
    return per_bucket(
        sides[0],
        replace(sides[1], frame=whole),
        arrow.add_windows_in_bucket,
        replace(plan, columns=replace(plan.columns, retracted=RETRACTED)),
        schema=StructType([*spine.schema.fields, *fields]),
        buckets=buckets,
    )


def with_departures(events: DataFrame, plan: WindowPlan) -> DataFrame:
    """The events, and for each entity that an event left its versions elsewhere as retracted.

    A correction can give an event another entity. Its newer version lies in the new entity's
    bucket; the old entity learns from the retracted copy that the event is its own no longer.

    Returns:
        The plan's event columns and the boolean ``RETRACTED``.
    """
    ident, keys = plan.columns.event_id, plan.event_keys
    retracted = plan.columns.retracted
    home = F.xxhash64(*key_columns(events, keys))
    moved = (
        events.where(F.col(ident).isNotNull())
        .groupBy(ident)
        .agg(F.min(home).alias("__low"), F.max(home).alias("__high"))
        .where("__low <> __high")
        .select(ident)
    )
    # few at any size of the table: only corrections of the key itself
    versions = events.join(F.broadcast(moved), ident, "left_semi")
    homes = versions.select(
        F.col(ident).alias("__of"), *(F.col(key).alias(f"__{key}") for key in keys)
    ).distinct()
    same_home = reduce(and_, (F.col(key).eqNullSafe(F.col(f"__{key}")) for key in keys))
    departed = versions.join(homes, (F.col(ident) == F.col("__of")) & ~same_home).select(
        *(F.col(f"__{key}").alias(key) for key in keys),
        *(name for name in plan.event_columns if name not in keys),
    )
    no = F.expr("false")
    mark = no if retracted is None else F.coalesce(F.col(retracted), no)
    return events.withColumn(RETRACTED, mark).unionByName(
        departed.withColumn(RETRACTED, F.expr("true"))
    )
