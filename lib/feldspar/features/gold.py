"""silver -> gold of one view: append what is new, add a feature's column, or rebuild.

Gold of a plain view holds its rows, gold of a windowed view its events; values exist at a T.
A late or corrected row is one more row: nothing that was written is touched. How the rows lie in
files is in ``layout.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.expressions.spark import column
from feldspar.compute.windows.departures import departures, identified, new_departures
from feldspar.features.layout import (
    bucket_count,
    laid_out,
    lay_anew,
    rows_a_file,
    with_bucket,
)
from feldspar.graph.graph import Table
from feldspar.graph.steps import FeaturesStep, Mode
from feldspar.graph.view import View, WindowedView
from feldspar.names import (
    BATCH,
    BUCKET,
    EVENT_ID,
    EVENT_TIME,
    GOLD_LAYOUT,
    KNOWN_TIME,
    POSITION,
    RETRACTED,
    cursor,
)
from feldspar.stores.tables.bucketed import BUCKETS
from feldspar.stores.tables.log import (
    DEFINITION,
    GENERATION,
    LAYOUT,
    SOURCE_GENERATION,
    Commit,
    Txn,
)
from feldspar.stores.tables.spark import Declared, SparkTables, nullable

_SYSTEM = (EVENT_TIME, KNOWN_TIME, BATCH, POSITION)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class FeaturesResult:
    """What one step did to one gold table."""

    view: str
    rows: int
    version: int
    backfilled: tuple[str, ...] = ()


def build_view(
    step: FeaturesStep, view: View, table: Table, *, tables: SparkTables, progress: Progress
) -> FeaturesResult:
    """Brings ``gold.<view>`` up to the newest version of its silver table.

    Raises:
        OvertakenError: another run has moved gold on since the plan was made.
        StoreError: gold could not be written.
    """
    upto = tables.version("silver", view.table)
    txn = tables.txn(cursor("features", view.name, step.generation), upto)
    before = step.generation - (step.mode is Mode.REBUILD)
    tables.claim_at("gold", view.name, txn.app, after=step.after, generation=before)
    rows = gold_rows(tables.added("silver", view.table, after=step.after, upto=upto), view, table)
    declared = _declared(step, view, rows, tables=tables, upto=upto)
    backfilled = _prepare(step, view, table, declared, tables=tables, progress=progress)
    if upto == step.after:
        tables.ensure("gold", view.name, declared)
        return FeaturesResult(view.name, 0, tables.version("gold", view.name), backfilled)
    progress(f"{step.name}: rows of silver.{view.table} after version {step.after} up to {upto}")
    size = tables.added_size("silver", view.table, after=step.after, upto=upto)
    commit = append_rows(rows, view, tables.sized(size), txn=txn, declared=declared)
    return FeaturesResult(view.name, commit.rows, commit.version, backfilled)


def append_rows(
    rows: DataFrame, view: View, tables: SparkTables, *, txn: Txn, declared: Declared
) -> Commit:
    """Adds rows of ``gold_rows`` in the order of the layout, with the departures they cause."""
    if isinstance(view, WindowedView):
        rows = _with_departures(rows, view, tables)
    buckets = int(declared.properties[BUCKETS])
    files = laid_out(with_bucket(rows, view, buckets), view, buckets)
    return tables.append(files, "gold", view.name, txn=txn, declared=declared)


def gold_rows(silver: DataFrame, view: View, table: Table) -> DataFrame:
    """Rows of a view's gold table, from silver rows.

    Rows without an entity are left out, but not of events: a version that lost its entity takes
    the event away from the one that had it.
    """
    types = table.types()
    columns: dict[str, Column] = {key: F.col(f"`{key}`") for key in view.keys}
    if isinstance(view, WindowedView):
        columns[EVENT_ID] = F.col(f"`{view.event_key[0]}`")
    columns |= {name: F.col(name) for name in _SYSTEM}
    columns |= {one.name: column(one.expression, types) for one in view.columns}
    if isinstance(view, WindowedView):
        columns[RETRACTED] = F.expr("false")
    kept = silver if isinstance(view, WindowedView) else silver.dropna(subset=list(view.keys))
    return kept.select(*[value.alias(name) for name, value in columns.items()])


def _with_departures(rows: DataFrame, view: WindowedView, tables: SparkTables) -> DataFrame:
    """The rows, and what tells other entities that they took an event away."""
    ids = identified(rows, view.keys)
    left = None
    if ids.low is not None and _may_hold(view, tables, ids.low, ids.high):
        left = new_departures(rows, tables.read("gold", view.name), view.keys, ids=ids)
    elif ids.moved:
        left = departures(rows, view.keys)
    return rows if left is None else rows.unionByName(left)


def _may_hold(view: WindowedView, tables: SparkTables, low: object, high: object) -> bool:
    """Whether gold may have an event with such an id."""
    place = ("gold", view.name)
    return tables.exists(*place) and tables.may_hold(*place, EVENT_ID, low, high)


def _declared(
    step: FeaturesStep, view: View, rows: DataFrame, *, tables: SparkTables, upto: int
) -> Declared:
    """What gold is to be, for rows of ``gold_rows``."""
    buckets = _buckets(step, view, tables, upto=upto)
    properties = {
        DEFINITION: view.definition,
        GENERATION: str(step.generation),
        SOURCE_GENERATION: str(step.source_generation),
        BUCKETS: str(buckets),
        LAYOUT: GOLD_LAYOUT,
    }
    schema = nullable(with_bucket(rows, view, buckets).schema)
    return Declared(schema, properties, (BUCKET,), rows_a_file(view))


def _buckets(step: FeaturesStep, view: View, tables: SparkTables, *, upto: int) -> int:
    """As many as the table has; a new or rebuilt one gets them by the rows there are to come."""
    if step.mode is Mode.REBUILD or not tables.exists("gold", view.name):
        return bucket_count(tables.rows_at("silver", view.table, version=upto))
    return int(tables.properties("gold", view.name)[BUCKETS])


def _prepare(
    step: FeaturesStep,
    view: View,
    table: Table,
    declared: Declared,
    *,
    tables: SparkTables,
    progress: Progress,
) -> tuple[str, ...]:
    """An empty table for a rebuild, full columns for a backfill; returns the columns it filled."""
    match step.mode:
        case Mode.REBUILD:
            tables.replace("gold", view.name, declared)
            return ()
        case Mode.BACKFILL:
            known = set(tables.read("gold", view.name).columns)
            # the definition is recorded after the fill: a stop in between repeats it
            kept = {key: one for key, one in declared.properties.items() if key != DEFINITION}
            tables.ensure("gold", view.name, replace(declared, properties=kept))
            _fill(step, view, table, tables=tables, progress=progress)
            lay_anew(view, tables)
            return tuple(one.name for one in view.columns if one.name not in known)
        case Mode.APPEND:
            return ()
        case _:
            assert_never(step.mode)


def _fill(
    step: FeaturesStep, view: View, table: Table, *, tables: SparkTables, progress: Progress
) -> None:
    """Computes the columns of new features for the rows that gold already has."""
    names = [one.name for one in view.columns if one.name in _columns_of(step, view)]
    if not names or step.after is None:
        return
    progress(f"{step.name}: filling {', '.join(names)}")
    silver = tables.added("silver", view.table, after=None, upto=step.after)
    keys = (BATCH, POSITION)
    rows = gold_rows(silver, view, table).select(*keys, *names)
    same = " and ".join(f"old.`{key}` = new.`{key}`" for key in keys)
    tables.merge_columns(rows, "gold", view.name, same=same, columns=names)


def _columns_of(step: FeaturesStep, view: View) -> set[str]:
    """Gold columns that the step's added features read."""
    if not isinstance(view, WindowedView):
        return set(step.columns)
    added = [
        one
        for one in view.aggregates
        if any(one.name == name or one.name.startswith(f"{name}_") for name in step.columns)
    ]
    return {name for one in added for name in (one.argument, one.by) if name}
