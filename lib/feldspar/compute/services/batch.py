"""All features of a service for a spine, in Spark: point-in-time, spine rows and columns kept.

Gold tables come in as frames at pinned versions; nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.answers import Answers
from feldspar.compute.expressions.spark import column
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.completion import REQUEST, Completion
from feldspar.compute.services.joining import Gold, Planned, add_planned, completed
from feldspar.compute.services.plans import folds_own, pit_plan, window_plan
from feldspar.compute.windows.functions import AsOf
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import InputError, nearest
from feldspar.graph.view import PlainView, Service, View, WindowedView
from feldspar.names import EVENT_ID
from feldspar.names import REQUEST as NAMED

_KEY, _OWN, _TIME, _EVENT = "_key_", "_own_", "_t", "_own_event"


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
    gold: Mapping[str, Gold],
    *,
    columns: SpineColumns,
    buckets: int,
    as_of: AsOf = "known",
) -> Answers:
    """The spine with one column more for each feature of the service.

    Args:
        spine: rows with the service's keys, a time, the request's columns that features need,
            and anything else; all of it is kept, row by row.
        service: what to add, under ``OutputColumn.name``.
        gold: rows of each of the service's views.
        columns: names of the spine's time and event id.
        buckets: tasks that share the work on views without files; each holds its entities'
            history in memory.
        as_of: ``known`` (both clocks) or ``event``.

    Raises:
        InputError: the spine lacks a column, or has one named like a feature.
    """
    _check(spine, service, columns)
    answers = Answers.of(prepared(spine, service, gold=gold, columns=columns))
    completion = Completion(service) if service.computations else None
    for number, group in enumerate(groups := _by_entity(service.views, gold)):
        planned = [
            Planned(view, view_plan(view, service, columns=columns, as_of=as_of), gold[view.name])
            for view in group
        ]
        last = number == len(groups) - 1
        answers = add_planned(
            answers.frame(), planned, buckets=buckets, completion=completion if last else None
        )
    if not service.views:
        answers = completed(answers.frame(), completion)
    added = [one.name for one in service.outputs if one.name not in spine.columns]
    return answers.select((*spine.columns, *added))


def _by_entity(views: Sequence[View], gold: Mapping[str, Gold]) -> list[list[View]]:
    """Views that one pass over the spine can answer; the widest entity comes last.

    What is added first is carried through the moves of the spine that follow.
    """
    groups: dict[tuple[bool, *tuple[str, ...]], list[View]] = {}
    for view in views:
        groups.setdefault((gold[view.name].files is None, *view.keys), []).append(view)
    return sorted(groups.values(), key=lambda group: sum(len(v.feature_types()) for v in group))


def view_plan(
    view: View, service: Service, *, columns: SpineColumns, as_of: AsOf = "known"
) -> WindowPlan | PitPlan:
    """The plan of one view over a spine that is ``prepared``."""
    keys = tuple(_KEY + key for key in view.keys)
    match view:
        case WindowedView():
            event = _EVENT if columns.event_id and view.table == service.event else None
            own = _own_columns(view) if event else {}
            return window_plan(view, keys=keys, time=_TIME, own_event=event, own=own, as_of=as_of)
        case PlainView():
            return pit_plan(view, keys=keys, time=_TIME, as_of=as_of)
        case _:
            assert_never(view)


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


def prepared(
    spine: DataFrame, service: Service, *, gold: Mapping[str, Gold], columns: SpineColumns
) -> DataFrame:
    """Helper columns: keys in gold's types, T, the event's id and its values."""
    extra = {_TIME: F.col(f"`{columns.time}`").cast("timestamp")}
    present = set(spine.columns)
    for name, kind in service.request:
        value = F.col(f"`{name}`") if name in present else F.lit(None)
        extra[REQUEST + name] = value.cast(kind.spark)
    for view in service.views:
        for key in view.keys:
            extra[_KEY + key] = F.col(f"`{key}`").cast(gold[view.name].frame.schema[key].dataType)
        if columns.event_id and isinstance(view, WindowedView) and view.table == service.event:
            id_type = gold[view.name].frame.schema[EVENT_ID].dataType
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


def request_columns(service: Service) -> tuple[str, ...]:
    """Columns of the request that the service's features read."""
    references = {one.reference for one in service.outputs}
    for computation in service.computations:
        references.update(computation.inputs)
    wanted = {one.partition(".")[2] for one in references if one.startswith(f"{NAMED}.")}
    for view in service.views if service.event is not None else ():
        if isinstance(view, WindowedView) and folds_own(view):
            for one in view.columns:
                wanted.update(one.expression.columns)
    return tuple(name for name, _ in service.request if name in wanted)
