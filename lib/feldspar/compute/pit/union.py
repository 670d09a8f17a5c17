"""Point-in-time joins in Spark's SQL alone, for tables whose files tasks may not read themselves.

Spine and rows are one frame, sorted by (entity, time); a row stands at the time from which it is
visible. The greatest rank so far, running along each entity, is then the newest visible row: no
mark is needed, and no entity's history is multiplied with its questions.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feldspar.compute.buckets import Keyed, check_keys, key_columns
from feldspar.compute.columns import refuse_taken
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.visibility import visible_at
from feldspar.errors import EngineError

_AT, _SIDE, _ASKED, _ROW, _SPREAD = "__at", "__side", "__asked", "__row", "__spread"
_VALUES, _EVENT_TIME, _DEAD = "values", "event_time", "dead"


def add_columns(spine: DataFrame, rows: DataFrame, plan: PitPlan) -> DataFrame:
    """The spine with the plan's columns of the newest visible row of each row's entity.

    Args:
        spine: keys, time and any other columns; all rows and columns are kept.
        rows: the view's rows.
        plan: what to take.

    Raises:
        EngineError: a column is absent, key types differ, or an output column exists already.
    """
    absent = [name for name in plan.row_columns if name not in rows.columns]
    if absent:
        raise EngineError(f"the rows have no columns {absent}", hint=f"found: {rows.columns}")
    refuse_taken(plan.columns.values(), spine.columns)
    check_keys(
        Keyed(spine, plan.spine_keys, plan.spine_time), Keyed(rows, plan.row_keys, plan.event_time)
    )
    asked, stored = _asked(spine, plan), _stored(rows, plan)
    both = asked.unionByName(stored, allowMissingColumns=True)
    keys = [f"__key{number}" for number in range(len(plan.spine_keys))]
    so_far = (
        Window.partitionBy(*keys, _SPREAD)
        .orderBy(_AT, _SIDE)
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    answered = both.withColumn(_ROW, F.max(_ROW).over(so_far)).where(f"{_SIDE} = 1")
    return answered.select(f"{_ASKED}.*", *_outputs(plan))


def _asked(spine: DataFrame, plan: PitPlan) -> DataFrame:
    keys = key_columns(spine, plan.spine_keys)
    time = F.col(f"`{plan.spine_time}`")
    missing = time.isNull()
    for key in keys:
        missing = missing | key.isNull()
    # rows without a key or a time meet nobody: spread, or one task would get them all
    spread = F.when(missing, F.monotonically_increasing_id())
    return spine.select(
        *_named(keys),
        spread.alias(_SPREAD),
        time.alias(_AT),
        F.lit(1).alias(_SIDE),
        F.struct(*[F.col(f"`{name}`") for name in spine.columns]).alias(_ASKED),
    )


def _stored(rows: DataFrame, plan: PitPlan) -> DataFrame:
    event_time, known_time = F.col(f"`{plan.event_time}`"), F.col(f"`{plan.known_time}`")
    at = event_time
    if plan.as_of == "known":
        at = visible_at(event_time, known_time, serving_delay=plan.serving_delay)
    order = [event_time.alias(_EVENT_TIME), known_time, F.col(plan.batch), F.col(plan.position)]
    dead = F.lit(None) if plan.tombstone is None else F.col(f"`{plan.tombstone}`")
    values = F.struct(*[F.col(f"`{name}`") for name in plan.columns])
    keys = key_columns(rows, plan.row_keys)
    row = F.struct(*order, F.coalesce(dead, F.expr("false")).alias(_DEAD), values.alias(_VALUES))
    none = F.lit(None).cast("bigint")
    return rows.dropna(subset=list(plan.row_keys)).select(
        *_named(keys), none.alias(_SPREAD), at.alias(_AT), F.lit(0).alias(_SIDE), row.alias(_ROW)
    )


def _named(keys: list[Column]) -> list[Column]:
    return [key.alias(f"__key{number}") for number, key in enumerate(keys)]


def _outputs(plan: PitPlan) -> list[Column]:
    alive = ~F.col(f"{_ROW}.{_DEAD}")
    if plan.ttl is not None:
        asked = F.unix_micros(F.col(f"{_ASKED}.`{plan.spine_time}`"))
        alive &= asked - F.unix_micros(F.col(f"{_ROW}.{_EVENT_TIME}")) <= plan.ttl
    return [
        F.when(alive, F.col(f"{_ROW}.{_VALUES}.`{source}`")).alias(name)
        for source, name in plan.columns.items()
    ]
