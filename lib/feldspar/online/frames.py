"""The part of a gold table that a push has to write, as Spark frames sorted by entity.

Each frame has the view's keys, ``_event_time``, ``_known_time`` in microseconds, ``_batch``,
``_position`` and the view's stored columns; every entity's rows lie together in one partition.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.windows.plan import LONGEST_MAX_FUTURE
from feldspar.graph.tiling import tiling
from feldspar.graph.view import PlainView, WindowedView
from feldspar.names import BATCH, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, RETRACTED
from feldspar.online.columns import VISIBLE_AT
from feldspar.online.tasks import AGAIN
from feldspar.stores.retain import Horizon
from feldspar.stores.tables.spark import SparkTables

_CLOCKS = (EVENT_TIME, KNOWN_TIME)
_SYSTEM = (*_CLOCKS, BATCH, POSITION)
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
    view: WindowedView,
    tables: SparkTables,
    *,
    upto: int,
    horizon: Horizon,
    touched: DataFrame | None = None,
) -> DataFrame:
    """All recent events of the entities whose keys are in ``touched`` (None: of all)."""
    events = tables.read("gold", view.name, version=upto)
    if touched is not None:
        # a correction that moved an event left rows with the entity that it left, too
        events = events.join(touched, list(view.keys), "left_semi")
    return _by_entity(_events(view, events, horizon), view.keys)


def added_events(
    view: WindowedView, tables: SparkTables, *, after: int, upto: int, horizon: Horizon
) -> DataFrame:
    """Recent events among the rows added in (after, upto].

    Of a tiled view they tell by ``_again`` whether gold has another version of their event: what is
    in a tile has no id any more.
    """
    added = tables.added("gold", view.name, after=after, upto=upto)
    events = _events(view, added, horizon)
    if tiling(view):
        gold = _recent(tables.read("gold", view.name, version=upto), horizon)
        versions = gold.join(events.select(EVENT_ID), EVENT_ID, "left_semi").groupBy(EVENT_ID)
        several = versions.count().where("count > 1").select(EVENT_ID, F.expr(f"true as {AGAIN}"))
        events = events.join(several, EVENT_ID, "left")
    return _by_entity(events, view.keys)


def _events(view: WindowedView, gold: DataFrame, horizon: Horizon) -> DataFrame:
    """Recent events that have an entity: who else wants to know was told by departures."""
    arguments = [column.name for column in view.columns]
    columns = _columns(view.keys, (EVENT_ID, *_SYSTEM, RETRACTED), arguments)
    recent = _recent(gold, horizon).select(*columns).dropna(subset=list(view.keys))
    return _in_micros(recent)


def _recent(gold: DataFrame, horizon: Horizon) -> DataFrame:
    """Rows that may count, or hide a version that does.

    What hides a version was known no earlier than it, and that one at most ``max_future`` before it
    happened.
    """
    oldest = F.timestamp_micros(F.lit(horizon.oldest - LONGEST_MAX_FUTURE))
    # two comparisons: files are skipped by each, but not by the greater of both
    return gold.where((F.col(EVENT_TIME) > oldest) | (F.col(KNOWN_TIME) > oldest))


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
