"""Windows over Spark frames: arrow.py once per hash bucket of the entity's key.

All that decides is in fold.py; here are only the shuffle and the schema.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import StructField, StructType

from feldspar.compute.buckets import Keyed, check_keys, per_bucket
from feldspar.compute.columns import refuse_taken
from feldspar.compute.windows import arrow
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import EngineError


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
    absent = [name for name in plan.event_columns if name not in events.columns]
    if absent:
        raise EngineError(f"the events have no columns {absent}", hint=f"found: {events.columns}")
    refuse_taken((item.name for item in plan.aggregations), spine.columns)
    needed = events.select(*(f"`{name}`" for name in plan.event_columns))
    sides = (
        Keyed(spine, plan.spine_keys, plan.spine_time),
        Keyed(needed, plan.event_keys, plan.columns.event_time),
    )
    check_keys(*sides)
    fields = [
        StructField(item.name, from_arrow_type(item.type))
        for item in arrow.output_fields(plan, to_arrow_schema(needed.schema, timezone="UTC"))
    ]
    return per_bucket(
        *sides,
        arrow.add_windows_in_bucket,
        plan,
        schema=StructType([*spine.schema.fields, *fields]),
        buckets=buckets,
    )
