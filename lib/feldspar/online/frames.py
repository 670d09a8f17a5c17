"""The part of a gold table that a push has to write, as Spark frames sorted by entity.

Each frame has the view's keys, ``_event_time``, ``_known_time`` in microseconds, ``_batch``,
``_position`` and the view's stored columns; every entity's rows lie together in one partition.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.graph.view import PlainView, WindowedView
from feldspar.names import BATCH, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, RETRACTED
from feldspar.online.retain import Horizon
from feldspar.stores.tables.spark import SparkTables

_CLOCKS = (EVENT_TIME, KNOWN_TIME)
_SYSTEM = (*_CLOCKS, BATCH, POSITION)
VISIBLE_AT = "_visible_at"
_NEWEST = "_newest"


def rows_to_push(
    view: PlainView, tables: SparkTables, *, after: int | None, upto: int, horizon: Horizon
) -> DataFrame:
    """Rows among those added in (after, upto] that may be the newest at some T from the floor on.

    Of what was visible at the floor only each entity's newest row is left; rows that the ttl has
    ended by then are not pushed.
    """
    names = tuple(view.feature_types())
    added = tables.added("gold", view.name, after=after, upto=upto)
    rows = _in_micros(added.select(*_columns(view.keys, _SYSTEM, names))).withColumn(
        VISIBLE_AT, F.greatest(F.col(EVENT_TIME), F.col(KNOWN_TIME) + horizon.serving_delay)
    )
    if view.ttl is not None:
        rows = rows.where(F.col(EVENT_TIME) >= horizon.floor - horizon.retention)
    settled = F.col(VISIBLE_AT) <= horizon.floor
    order = [F.col(name) for name in (*_SYSTEM, VISIBLE_AT)]
    newest = (
        rows.where(settled)
        .groupBy(*_columns(view.keys))
        .agg(F.max(F.struct(*order, *_columns(names))).alias(_NEWEST))
        .select(*_columns(view.keys), f"{_NEWEST}.*")
    )
    return _by_entity(newest.unionByName(rows.where(~settled)), view.keys)


def events_to_push(
    view: WindowedView, tables: SparkTables, *, after: int | None, upto: int, horizon: Horizon
) -> DataFrame:
    """All recent events of the entities that rows added in (after, upto] touch (None: of all).

    A row that lies outside the windows is left in while it may hide a version that lies inside: no
    row is known before it happens, but for the minutes that ``max_future`` allows.
    """
    events = tables.read("gold", view.name, version=upto)
    if after is not None:
        # a correction that moved an event left rows with the entity that it left, too
        touched = tables.added("gold", view.name, after=after, upto=upto).select(
            *_columns(view.keys)
        )
        events = events.join(touched.distinct(), list(view.keys), "left_semi")
    recent = _in_micros(events).where(
        F.greatest(*[F.col(name) for name in _CLOCKS]) > horizon.floor - horizon.retention
    )
    arguments = [column.name for column in view.columns]
    wanted = recent.select(*_columns(view.keys, (EVENT_ID, *_SYSTEM, RETRACTED), arguments))
    return _by_entity(wanted.dropna(subset=list(view.keys)), view.keys)


def entities(view: PlainView | WindowedView, tables: SparkTables, *, version: int) -> DataFrame:
    """Every entity that a gold table knows, by its keys."""
    gold = tables.read("gold", view.name, version=version)
    return gold.select(*_columns(view.keys)).dropna().distinct()


def _in_micros(rows: DataFrame) -> DataFrame:
    return rows.withColumns({name: F.unix_micros(F.col(name)) for name in _CLOCKS})


def _by_entity(rows: DataFrame, keys: tuple[str, ...]) -> DataFrame:
    columns = _columns(keys)
    return rows.repartition(*columns).sortWithinPartitions(*columns)


def _columns(*names: tuple[str, ...] | list[str]) -> list[Column]:
    return [F.col(f"`{name}`") for group in names for name in group]
