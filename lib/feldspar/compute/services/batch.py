"""All features of a service for a spine, in Spark: point-in-time, spine rows and columns kept.

Gold tables come in as frames at pinned versions; nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from feldspar.compute.expressions.spark import column
from feldspar.compute.pit.batch import add_columns
from feldspar.compute.services.arrow import complete
from feldspar.compute.services.plans import folds_own, pit_plan, window_plan
from feldspar.compute.windows.batch import add_windows
from feldspar.compute.windows.functions import AsOf
from feldspar.errors import InputError, nearest
from feldspar.graph.view import Derived, PlainView, Service, View, WindowedView
from feldspar.names import EVENT_ID, feature_column
from feldspar.spec.types import ColumnType

_KEY, _OWN, _TIME, _EVENT, _REQUEST = "_key_", "_own_", "_t", "_own_event", "_request_"


@dataclass(frozen=True)
class SpineColumns:
    """Which columns of the spine say when, and which event a row is.

    ``event_id`` None: rows are no events of their own (a loan, a day).
    """

    time: str
    event_id: str | None = None


def add_features(
    spine: DataFrame,
    service: Service,
    gold: Mapping[str, DataFrame],
    *,
    columns: SpineColumns,
    buckets: int,
    as_of: AsOf = "known",
) -> DataFrame:
    """The spine with one column more for each feature of the service.

    Args:
        spine: rows with the service's keys, a time, the request's columns that features need,
            and anything else; all of it is kept, row by row.
        service: what to add, under ``OutputColumn.name``.
        gold: frame of each of the service's views.
        columns: names of the spine's time and event id.
        buckets: tasks that share the work; each holds its entities' history in memory.
        as_of: ``known`` (both clocks) or ``event``.

    Raises:
        InputError: the spine lacks a column, or has one named like a feature.
    """
    _check(spine, service, columns)
    working = _prepared(spine, service, gold=gold, columns=columns)
    for view in service.views:
        event = _EVENT if columns.event_id and view.table == service.event else None
        rows = gold[view.name]
        keys = tuple(_KEY + key for key in view.keys)
        match view:
            case WindowedView():
                own = _own_columns(view) if event else {}
                plan = window_plan(
                    view, keys=keys, time=_TIME, own_event=event, own=own, as_of=as_of
                )
                working = add_windows(working, rows, plan, buckets=buckets)
            case PlainView():
                plain = pit_plan(view, keys=keys, time=_TIME, as_of=as_of)
                working = add_columns(working, rows, plain, buckets=buckets)
            case _:
                assert_never(view)
    completed = _completed(working, service)
    added = [one.name for one in service.outputs if one.name not in spine.columns]
    return completed.select(*[F.col(f"`{name}`") for name in (*spine.columns, *added)])


def _check(spine: DataFrame, service: Service, columns: SpineColumns) -> None:
    wanted = [*service.keys, columns.time, *([columns.event_id] if columns.event_id else [])]
    for name in wanted:
        if name not in spine.columns:
            near = ", ".join(nearest(name, spine.columns)) or ", ".join(spine.columns)
            raise InputError(f"the spine has no column {name!r}; nearest: {near}")
    request = {name for name, _ in service.request}
    for name in spine.columns:
        if name.startswith("_"):
            continue
        if name in {one.name for one in service.outputs} - request:
            raise InputError(f"the spine already has a column {name!r}, which is a feature")


def _prepared(
    spine: DataFrame, service: Service, *, gold: Mapping[str, DataFrame], columns: SpineColumns
) -> DataFrame:
    """Helper columns: keys in gold's types, T, the event's id and its values."""
    extra = {_TIME: F.col(f"`{columns.time}`").cast("timestamp")}
    present = set(spine.columns)
    for name, kind in service.request:
        value = F.col(f"`{name}`") if name in present else F.lit(None)
        extra[_REQUEST + name] = value.cast(kind.spark)
    for view in service.views:
        for key in view.keys:
            extra[_KEY + key] = F.col(f"`{key}`").cast(gold[view.name].schema[key].dataType)
        if columns.event_id and isinstance(view, WindowedView) and view.table == service.event:
            id_type = gold[view.name].schema[EVENT_ID].dataType
            extra[_EVENT] = F.col(f"`{columns.event_id}`").cast(id_type)
            extra.update(_own_values(view, service))
    return spine.withColumns(extra)


def _own_columns(view: WindowedView) -> dict[str, str]:
    if not folds_own(view):
        return {}
    return {one.name: f"{_OWN}{view.name}_{one.name}" for one in view.columns}


def _own_values(view: WindowedView, service: Service) -> dict[str, Column]:
    types = dict(service.request)
    names = {name: name for name in types}
    values = {}
    for one in view.columns:
        if folds_own(view):
            values[f"{_OWN}{view.name}_{one.name}"] = column(one.expression, types, names=names)
    return values


def _completed(working: DataFrame, service: Service) -> DataFrame:
    if not service.computations:
        return working
    fields = list(working.schema)
    for computation in service.computations:
        if isinstance(computation, Derived):
            name = feature_column(computation.view, computation.name)
            fields.append(StructField(name, _spark_type(computation.type)))
        else:
            fields += [
                StructField(feature_column(computation.view, name), _spark_type(kind))
                for name, kind in computation.outputs
            ]
    task = _Completion(service)
    return working.mapInArrow(task, StructType(fields))


def _spark_type(kind: ColumnType) -> DataType:
    return DataType.fromDDL(kind.spark)


@dataclass(frozen=True)
class _Completion:
    """The per-batch task; a module-level value, so that executors get it from the wheel."""

    service: Service

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            renamed = _with_request(table, self.service)
            done = complete(renamed, self.service)
            added = [name for name in done.column_names if name not in renamed.column_names]
            for name in added:
                table = table.append_column(name, done.column(name))
            yield from table.combine_chunks().to_batches()


def _with_request(table: pa.Table, service: Service) -> pa.Table:
    """Request columns under their own names, in their declared types."""
    for name, _ in service.request:
        if name in table.column_names:
            table = table.drop_columns([name])
        place = table.column_names.index(_REQUEST + name)
        names = list(table.column_names)
        names[place] = name
        table = table.rename_columns(names)
    return table


def needs_own_event(view: View) -> bool:
    """Whether a spine row's own values enter the view."""
    return isinstance(view, WindowedView) and folds_own(view)
