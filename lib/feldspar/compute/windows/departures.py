"""Events that a correction gave to another entity, told to the entity that was left.

The newer version lies in the new entity's bucket, where the old entity never looks. A retracted
copy with the old entity's key says there that the event is its own no longer, so that versions
compete within one entity and no bucket has to know another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.compute.buckets import key_columns
from feldspar.names import BATCH, EVENT_ID, KNOWN_TIME, POSITION, RETRACTED

_MOVED = "__low <> __high"


def departures(events: DataFrame, keys: Sequence[str]) -> DataFrame | None:
    """Retracted copies of versions, for each entity that their event ever had elsewhere.

    Args:
        events: all versions of some events, with the system columns of gold.
        keys: the entity's key columns.

    Returns:
        The columns of ``events``; few rows at any size: only corrections of the key make them.
        None, as nearly always: no event ever moved; then nothing has to be joined.
    """
    moved = _homes(events, keys).where(_MOVED).select(EVENT_ID)
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


def _homes(events: DataFrame, keys: Sequence[str]) -> DataFrame:
    """By event id the least and the greatest hash of an entity that a version has."""
    home = F.xxhash64(*key_columns(events, keys))
    known = events.where(F.col(EVENT_ID).isNotNull())
    return known.groupBy(EVENT_ID).agg(F.min(home).alias("__low"), F.max(home).alias("__high"))


@dataclass(frozen=True)
class Identified:
    """What one look at events tells.

    Attributes:
        low: the least id; None: no event has one.
        high: the greatest.
        moved: whether versions of one event are of several entities.
    """

    low: Any
    high: Any
    moved: bool


def identified(events: DataFrame, keys: Sequence[str]) -> Identified:
    """One pass over events, by the entity's key columns."""
    ends = (F.min(EVENT_ID), F.max(EVENT_ID), F.count_if(F.expr(_MOVED)))
    found = _homes(events, keys).agg(*ends).first()
    low, high, moved = (None, None, 0) if found is None else found
    return Identified(low, high, moved=moved > 0)


def new_departures(
    new: DataFrame, stored: DataFrame, keys: Sequence[str], *, ids: Identified
) -> DataFrame | None:
    """The departures that rows added to a table make necessary, for old versions and new.

    Args:
        new: versions to be added, none of them retracted.
        stored: the table, with the departures that it has.
        keys: the entity's key columns.
        ids: of the new rows: files without one of them are not opened.
    """
    older = stored.where(~F.col(RETRACTED) & F.col(EVENT_ID).between(ids.low, ids.high))
    if not _left_another(new, older, keys):
        return departures(new, keys) if ids.moved else None
    versions = older.join(new.select(EVENT_ID), EVENT_ID, "left_semi")
    found = departures(versions.select(*new.columns).unionByName(new), keys)
    if found is None:
        return None
    same = (*keys, EVENT_ID, KNOWN_TIME, BATCH, POSITION)
    known = stored.where(RETRACTED).select(*(F.col(f"`{name}`") for name in same))
    return found.join(known, list(same), "left_anti").select(*new.columns)


def _left_another(new: DataFrame, older: DataFrame, keys: Sequence[str]) -> bool:
    """Whether a version in the table has another entity than a new one of the same event.

    Nearly always none has, and ids and keys alone tell: the other columns are not read for it.
    """
    old, now = (
        rows.select(EVENT_ID, F.xxhash64(*key_columns(rows, keys)).alias(name))
        for rows, name in ((older, "__old"), (new, "__new"))
    )
    # one job whatever it finds; a look for the first row would try few files at a time
    left = old.join(now, EVENT_ID).where("__old <> __new").agg(F.count(F.lit(1))).first()
    return left is not None and left[0] > 0
