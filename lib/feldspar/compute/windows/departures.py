"""Events that a correction gave to another entity, told to the entity that was left.

The newer version lies in the new entity's bucket, where the old entity never looks. A retracted
copy with the old entity's key says there that the event is its own no longer, so that versions
compete within one entity and no bucket has to know another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.compute.buckets import key_columns
from feldspar.names import BATCH, EVENT_ID, KNOWN_TIME, POSITION, RETRACTED


def departures(events: DataFrame, keys: Sequence[str]) -> DataFrame | None:
    """Retracted copies of versions, for each entity that their event ever had elsewhere.

    Args:
        events: all versions of some events, with the system columns of gold.
        keys: the entity's key columns.

    Returns:
        The columns of ``events``; few rows at any size: only corrections of the key make them.
        None, as nearly always: no event ever moved; then nothing has to be joined.
    """
    home = F.xxhash64(*key_columns(events, keys))
    moved = (
        events.where(F.col(EVENT_ID).isNotNull())
        .groupBy(EVENT_ID)
        .agg(F.min(home).alias("__low"), F.max(home).alias("__high"))
        .where("__low <> __high")
        .select(EVENT_ID)
    )
    if moved.isEmpty():
        return None
    versions = events.join(F.broadcast(moved), EVENT_ID, "left_semi")
    homes = versions.select(
        F.col(EVENT_ID).alias("__of"), *(F.col(f"`{key}`").alias(f"__{key}") for key in keys)
    )
    # no entity, nobody to tell
    homes = homes.dropna().distinct()
    same_home = reduce(and_, (F.col(f"`{key}`").eqNullSafe(F.col(f"`__{key}`")) for key in keys))
    left = versions.join(homes, (F.col(EVENT_ID) == F.col("__of")) & ~same_home)
    copied = {key: F.col(f"`__{key}`") for key in keys} | {RETRACTED: F.expr("true")}
    return left.select(
        *(copied.get(name, F.col(f"`{name}`")).alias(name) for name in events.columns)
    )


def new_departures(new: DataFrame, stored: DataFrame, keys: Sequence[str]) -> DataFrame | None:
    """The departures that rows added to a table make necessary, for old versions and new.

    Args:
        new: versions to be added, none of them retracted.
        stored: the table, with the departures that it has.
        keys: the entity's key columns.
    """
    # said as a range too: where ids ascend with time, files without one of them are not opened
    ends = new.agg(F.min(EVENT_ID), F.max(EVENT_ID)).first()
    if ends is None or ends[0] is None:
        return None
    older = stored.where(~F.col(RETRACTED) & F.col(EVENT_ID).between(ends[0], ends[1]))
    versions = older.join(new.select(EVENT_ID), EVENT_ID, "left_semi")
    found = departures(versions.select(*new.columns).unionByName(new), keys)
    if found is None:
        return None
    same = (*keys, EVENT_ID, KNOWN_TIME, BATCH, POSITION)
    known = stored.where(RETRACTED).select(*(F.col(f"`{name}`") for name in same))
    return found.join(known, list(same), "left_anti").select(*new.columns)
