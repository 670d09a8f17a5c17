"""Would rows of a training set come out otherwise today? Asked of what its tables got since then.

Under ``as_of: known`` only rows that are loaded later but were visible earlier can change a row
that is held: a row of gold of the same entity, visible at or before its T; or, where request
columns were filled from silver, an earlier first version of its event. Both are looked for exactly,
by key; a hit may still leave the features as they are (it lies in no window), which is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.visibility import visible_at
from feldspar.errors import StoreError
from feldspar.graph.view import Service, View
from feldspar.names import BATCH, EVENT_TIME, KNOWN_TIME, POSITION
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import duration_micros
from feldspar.training.held import HeldSet

_KEY, _VISIBLE, _NEWEST, _ADDED, _KNOWN = "_key", "_visible", "_newest", "_added", "_first"


def changes_in_the_past(
    held: HeldSet, service: Service, tables: SparkTables, *, upto: Mapping[str, int]
) -> Iterator[str]:
    """Why rows of a set could come out otherwise, a reason a table; nothing where none can.

    Args:
        held: the set.
        service: whose features it holds.
        tables: the lake.
        upto: ``layer.name`` to the version that a build reads today.
    """
    for view in service.views:
        name = f"gold.{view.name}"
        if held.manifest.tables.get(name) != upto[name]:
            yield from _of_gold(held, view, tables, upto=upto[name])
    for name, version in upto.items():
        layer, _, table = name.partition(".")
        if layer == "silver" and held.manifest.tables.get(name) not in (None, version):
            yield from _of_silver(held, table, tables, upto=version)


def _of_gold(held: HeldSet, view: View, tables: SparkTables, *, upto: int) -> Iterator[str]:
    name = f"gold.{view.name}"
    after = held.manifest.tables.get(name)
    added = _added(tables, name, after=after, upto=upto)
    if added is None:
        yield f"{name} was rewritten between version {after} and {upto}"
        return
    kinds = added.schema
    delay = duration_micros(view.serving_delay)
    visible = visible_at(F.col(EVENT_TIME), F.col(KNOWN_TIME), serving_delay=delay)
    gold_keys = [F.col(f"`{key}`") for key in view.keys]
    first = added.groupBy(F.struct(*gold_keys).alias(_KEY)).agg(F.min(visible).alias(_VISIBLE))
    own_keys = [F.col(f"`{key}`").cast(kinds[key].dataType).alias(key) for key in view.keys]
    newest = held.rows.groupBy(F.struct(*own_keys).alias(_KEY)).agg(
        F.max(F.col(f"`{held.manifest.time}`").cast("timestamp")).alias(_NEWEST)
    )
    hits = first.join(newest, _KEY).where(F.col(_VISIBLE) <= F.col(_NEWEST))
    example = F.struct(F.col(_KEY).cast("string"), F.col(_VISIBLE), F.col(_NEWEST))
    row = hits.agg(F.count(F.lit(1)), F.min_by(example, _VISIBLE)).first()
    if row is not None and row[0]:
        key, since, until = row[1]
        yield (
            f"{name} got rows between version {after} and {upto} that were visible at times of "
            f"rows it holds, for {row[0]} entities, e.g. {', '.join(view.keys)} {key}: "
            f"visible from {since}, its newest row is of {until}"
        )


def _of_silver(held: HeldSet, table: str, tables: SparkTables, *, upto: int) -> Iterator[str]:
    """Request columns are those of an event's first version: is there an earlier one now?"""
    name, ident = f"silver.{table}", held.manifest.event_id
    after = held.manifest.tables[name]
    added = _added(tables, name, after=after, upto=upto)
    if added is None or ident is None:
        yield f"{name} was rewritten between version {after} and {upto}"
        return
    sequence = F.struct(KNOWN_TIME, BATCH, POSITION)
    ids = held.rows.select(F.col(f"`{ident}`").alias(_KEY)).distinct()
    new = _first(added, ident, sequence, _ADDED).join(ids, _KEY, "left_semi")
    old = _first(tables.read("silver", table, version=after), ident, sequence, _KNOWN)
    earlier = F.col(_KNOWN).isNull() | (F.col(_ADDED) < F.col(_KNOWN))
    row = new.join(old, _KEY, "left").where(earlier).agg(F.count(F.lit(1)), F.min(_KEY)).first()
    if row is not None and row[0]:
        yield (
            f"{name} got first versions of {row[0]} of its events between version {after} and "
            f"{upto}, e.g. {ident} {row[1]}, and their columns were filled from there"
        )


def _first(rows: DataFrame, ident: str, sequence: Column, name: str) -> DataFrame:
    return rows.groupBy(F.col(f"`{ident}`").alias(_KEY)).agg(F.min(sequence).alias(name))


def _added(tables: SparkTables, name: str, *, after: int | None, upto: int) -> DataFrame | None:
    """Rows that a table got; None where it was rewritten, or its log no longer tells."""
    layer, _, table = name.partition(".")
    if after is None or upto < after:
        return None
    try:
        return tables.added(layer, table, after=after, upto=upto)
    except StoreError:
        return None
