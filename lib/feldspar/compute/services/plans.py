"""Turns compiled views into the plans of the window and point-in-time engines.

The same plans serve Spark, Arrow and online, so that a feature is named and computed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.windows.functions import FUNCTIONS, AggregationPlan, AsOf, Function
from feldspar.compute.windows.plan import EventColumns, WindowPlan
from feldspar.errors import EngineError
from feldspar.graph.view import Aggregate, PlainView, View, WindowedView
from feldspar.names import RETRACTED, feature_column
from feldspar.times import duration_micros


def aggregations(view: WindowedView) -> tuple[AggregationPlan, ...]:
    """The view's windowed features under their frame names."""
    return tuple(_aggregation(view, one) for one in view.aggregates)


def _aggregation(view: WindowedView, one: Aggregate) -> AggregationPlan:
    is_nth = one.function in ("first", "last")
    return AggregationPlan(
        name=feature_column(view.name, one.name),
        function=_function(one.function),
        argument=one.argument,
        window_micros=duration_micros(one.window),
        default=one.default,
        hop_micros=duration_micros(one.hop),
        place=int(one.parameter or 1) if is_nth else one.place,
        quantile=0.5 if is_nth or one.parameter is None else float(one.parameter),
        by=one.by,
        gives=one.gives,
    )


def _function(name: str) -> Function:
    """The engine's name of a function of the expression language."""
    spelling = {"variance": "var"}.get(name, name)
    for function in FUNCTIONS:
        if function == spelling:
            return function
    raise EngineError(f"no engine computes {name}()")


def window_plan(
    view: WindowedView,
    *,
    keys: tuple[str, ...],
    time: str,
    own_event: str | None = None,
    own: Mapping[str, str] | None = None,
    as_of: AsOf = "known",
) -> WindowPlan:
    """The plan of a windowed view over a spine.

    Args:
        view: what to compute.
        keys: the spine's columns that hold the entity's keys, in the view's order.
        time: the spine's T.
        own_event: the spine's column with the id of the event being scored, if rows are events.
        own: gold column to the spine column with the event's own value.
        as_of: which clock decides what counts.
    """
    return WindowPlan(
        spine_keys=keys,
        event_keys=view.keys,
        spine_time=time,
        aggregations=aggregations(view),
        own_event_id=own_event,
        own_arguments=own or {},
        columns=EventColumns(retracted=RETRACTED),
        delay=duration_micros(view.delay),
        serving_delay=duration_micros(view.serving_delay),
        as_of=as_of,
        request_event=view.request_event if own_event else "exclude",
    )


def lookup_plan(view: View, *, keys: tuple[str, ...], time: str) -> PitPlan | WindowPlan:
    """The plan of any view for a lookup: no row of the spine is an event of its own."""
    match view:
        case WindowedView():
            return window_plan(view, keys=keys, time=time)
        case PlainView():
            return pit_plan(view, keys=keys, time=time)
        case _:
            assert_never(view)


def folds_own(view: WindowedView) -> bool:
    """Whether the event being scored can lie in one of the view's windows."""
    return view.request_event == "include" and not view.delay


def pit_plan(
    view: PlainView, *, keys: tuple[str, ...], time: str, as_of: AsOf = "known"
) -> PitPlan:
    """The plan of a plain view over a spine; arguments as in ``window_plan``."""
    return PitPlan(
        spine_keys=keys,
        row_keys=view.keys,
        spine_time=time,
        columns={one.name: feature_column(view.name, one.name) for one in view.features},
        ttl=None if view.ttl is None else duration_micros(view.ttl),
        serving_delay=duration_micros(view.serving_delay),
        as_of=as_of,
    )
