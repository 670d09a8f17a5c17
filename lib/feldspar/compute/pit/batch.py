"""Point-in-time joins over Spark frames: arrow.py once per hash bucket of the entity's key.

All that decides is in asof.py; here are only the shuffle and the schema.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.types import StructField, StructType

from feldspar.compute.buckets import Keyed, per_bucket
from feldspar.compute.pit import arrow
from feldspar.compute.pit.plan import PitPlan
from feldspar.errors import EngineError


def add_columns(spine: DataFrame, rows: DataFrame, plan: PitPlan, *, buckets: int) -> DataFrame:
    """The spine with the plan's columns of the newest visible row of each row's entity.

    Args:
        spine: keys, time and any other columns; all rows and columns are kept.
        rows: the view's rows.
        plan: what to take.
        buckets: number of hash buckets; a bucket of both frames must fit a Python worker.

    Raises:
        EngineError: a column is absent, key types differ, or an output column exists already.
    """
    absent = [name for name in plan.row_columns if name not in rows.columns]
    if absent:
        raise EngineError(f"the rows have no columns {absent}", hint=f"found: {rows.columns}")
    taken = [name for name in plan.columns.values() if name in spine.columns]
    if taken:
        raise EngineError(f"the spine already has the output columns {taken}")
    fields = [StructField(name, rows.schema[old].dataType) for old, name in plan.columns.items()]
    needed = rows.select(*(f"`{name}`" for name in plan.row_columns))
    return per_bucket(
        Keyed(spine, plan.spine_keys, plan.spine_time),
        Keyed(needed, plan.row_keys, plan.event_time),
        arrow.add_columns,
        plan,
        schema=StructType([*spine.schema.fields, *fields]),
        buckets=buckets,
    )
