"""Features of requests, each at its T, from what the online store holds of their entities.

The same meaning as ``batch``: the stored rows are chosen, the stored events folded, and computed
features come from ``arrow.complete``, which batches use too. Requests that are answered together
share what a computation costs whatever its number of rows. Reads nothing itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from feldspar.compute.columns import Doubles
from feldspar.compute.expressions.arrow import arrow_type
from feldspar.compute.expressions.online import compile_row
from feldspar.compute.pit.online import read_at
from feldspar.compute.scoring import model_input
from feldspar.compute.services.arrow import Completer
from feldspar.compute.services.plans import aggregations, folds_own
from feldspar.compute.windows.online import Events, OnlineFold, OwnEvent
from feldspar.compute.windows.rule import WindowRule
from feldspar.compute.windows.tiles import TiledFold
from feldspar.graph.tiling import tiling
from feldspar.graph.view import PlainView, Service, View, WindowedView
from feldspar.names import feature_column
from feldspar.spec.types import ColumnType
from feldspar.times import duration_micros

State = Literal["fresh", "missing", "expired"]
_PLAIN: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.BOOLEAN: bool,
    ColumnType.INT: int,
    ColumnType.BIGINT: int,
    ColumnType.DOUBLE: float,
    ColumnType.STRING: str,
}
"""Types whose values are held as they are answered; an instant is held as a number."""
_READ_BY_MODELS = frozenset(_PLAIN) - {ColumnType.STRING}


class PackedRow(Protocol):
    """One stored row of a plain view; times in microseconds."""

    @property
    def event_time(self) -> int: ...
    @property
    def known_time(self) -> int: ...
    @property
    def rank(self) -> tuple[int, int, int, int]: ...
    @property
    def values(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Reading:
    """What a view says of an entity at T.

    Attributes:
        values: frame column to value, every feature of the view.
        state: ``missing``: nothing is known; ``expired``: what is known is older than the ttl.
        newest: event time of the newest thing that counted, microseconds.
    """

    values: Mapping[str, Any]
    state: State
    newest: int | None


@dataclass(frozen=True)
class RequestEvent:
    """The request's columns that name the event and say when it happened."""

    event_id: str
    time: str


@dataclass(frozen=True, eq=False)
class Asked:
    """One request to a service.

    Attributes:
        request: every column of ``service.request``; timestamps in microseconds, dates in days
            since the epoch.
        stored: view to its ``PackedRow``s, ``Events`` or ``Tiled``; None where nothing is.
        t: when, microseconds.
    """

    request: Mapping[str, Any]
    stored: Mapping[str, Any]
    t: int


@dataclass(frozen=True, eq=False)
class Answer:
    """The features of a service for one request.

    Attributes:
        features: output column to value.
        found: whether the store held anything of the entities.
        missing: outputs without a value.
        stale: outputs of views whose stored row has outlived its ttl, part of ``missing``.
        newest: view to the event time of the newest thing that counted, microseconds; None where
            nothing did.
        t: when, microseconds.
    """

    features: Mapping[str, Any]
    found: bool
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    newest: Mapping[str, int | None]
    t: int


@dataclass(frozen=True, eq=False)
class Answers:
    """The features of n requests.

    Attributes:
        each: the answer to each request, in order.
        numbers: features that a model takes as they were answered.
        make_table: makes ``table``.
    """

    each: tuple[Answer, ...]
    numbers: frozenset[str]
    make_table: Callable[[], pa.Table]

    @cached_property
    def table(self) -> pa.Table:
        """Rows with all columns that a model may read, shape (n,); made where one reads them."""
        return self.make_table()

    def model_input(self, names: Sequence[str], places: Sequence[int]) -> Doubles:
        """``scoring.model_input`` of the answers at ``places``, shape (places, names).

        A matrix of what was answered costs a tenth of Arrow columns, for a row or two.

        Raises:
            EngineError: as there.
        """
        if not self.numbers.issuperset(names):
            return model_input(self.table.take(places), names)
        rows = [[self.each[place].features[name] for name in names] for place in places]
        return np.array(rows, dtype=np.float64).reshape(len(places), len(names))


def read_plain(view: PlainView, rows: Sequence[PackedRow], t: int) -> Reading:
    """The newest row visible at ``t`` (microseconds), if it is not older than the ttl."""
    delay = duration_micros(view.serving_delay)
    ttl = None if view.ttl is None else duration_micros(view.ttl)
    newest, state = None, "pending"
    for row in rows:
        found = read_at(t, row.event_time, known_time=row.known_time, ttl=ttl, serving_delay=delay)
        if found != "pending" and (newest is None or newest.rank < row.rank):
            newest, state = row, found
    names = view.feature_types()
    if newest is None or state == "expired":
        nothing = {feature_column(view.name, name): None for name in names}
        return Reading(nothing, "missing" if newest is None else "expired", None)
    values = {feature_column(view.name, name): newest.values[name] for name in names}
    return Reading(values, "fresh", newest.event_time)


class WindowReader:
    """Every window of one view; made once, used for every request."""

    def __init__(self, view: WindowedView) -> None:
        self._retention = duration_micros(view.retention)
        rule = WindowRule(
            delay=duration_micros(view.delay),
            serving_delay=duration_micros(view.serving_delay),
            request_event=view.request_event,
        )
        self._fold = OnlineFold(aggregations(view), rule)
        series = tiling(view)
        self._tiled = TiledFold(aggregations(view), rule, series) if series else None

    def read(self, stored: Any, t: int, own: OwnEvent | None = None) -> Reading:
        """The windows at ``t`` (microseconds).

        Args:
            stored: ``Events``, or ``Tiled`` of a tiled view; None: the store holds nothing.
            t: the clock of the request.
            own: the event being scored; without one nothing is folded in.
        """
        values, newest = self._read(stored, t, own)
        if newest is not None and newest <= t - self._retention:
            newest = None
        return Reading(values, "missing" if newest is None else "fresh", newest)

    def _read(self, stored: Any, t: int, own: OwnEvent | None) -> tuple[dict[str, Any], int | None]:
        if self._tiled is not None:
            return self._tiled.fold_with_newest(stored, t, own)
        events: Events | None = stored
        current = self._fold.current(events, t, own)
        last = bisect_right(current.times, t - self._fold.rule.delay)
        newest = current.times[last - 1] if last else None
        return self._fold.answers(current, t, own), newest


class ServiceReader:
    """Answers requests to one service; compiled once, used for every request.

    Args:
        service: what to answer.
        event: how a request names its event; None where requests are keys.
    """

    def __init__(self, service: Service, event: RequestEvent | None) -> None:
        self.service = service
        self._event = event
        self._windows = {
            view.name: WindowReader(view)
            for view in service.views
            if isinstance(view, WindowedView)
        }
        self._own = {
            view.name: _own_functions(view, service)
            for view in service.views
            if event is not None and view.table == service.event
        }
        self._request = [(name, arrow_type(kind)) for name, kind in service.request]
        self._stored = [
            (view.name, feature_column(view.name, feature), arrow_type(kind))
            for view in service.views
            for feature, kind in view.feature_types().items()
        ]
        self._names = [one.name for one in service.outputs]
        self._views = [one.reference.partition(".")[0] for one in service.outputs]
        self._numbers = frozenset(
            one.name for one in service.outputs if one.type in _READ_BY_MODELS
        )
        self._complete = Completer(service)
        plain = [_PLAIN[one.type] for one in service.outputs if one.type in _PLAIN]
        is_held = self._complete.adds_nothing and len(plain) == len(self._names)
        self._held = list(zip(self._views, self._names, plain, strict=True)) if is_held else None

    def answers(self, asked: Sequence[Asked]) -> Answers:
        """All features for n requests; each is what it would be alone.

        Raises:
            HookError: an on-demand function failed.
        """
        readings = [
            {view.name: self._read(view, one) for view in self.service.views} for one in asked
        ]
        if self._held is not None:
            rows = [_values(self._held, one) for one in readings]
            each = map(self._answer, asked, readings, rows)
            return Answers(tuple(each), self._numbers, partial(self._table, asked, readings))
        table = self._complete(self._table(asked, readings))
        columns = [table.column(name).to_pylist() for name in self._names]
        each = map(self._answer, asked, readings, zip(*columns, strict=True))
        return Answers(tuple(each), self._numbers, lambda: table)

    def _answer(
        self, asked: Asked, readings: Mapping[str, Reading], values: Sequence[Any]
    ) -> Answer:
        expired = {name for name, one in readings.items() if one.state == "expired"}
        absent = [place for place, value in enumerate(values) if value is None]
        return Answer(
            features=dict(zip(self._names, values, strict=True)),
            found=any(value is not None for value in asked.stored.values()),
            missing=tuple(self._names[place] for place in absent),
            stale=tuple(self._names[place] for place in absent if self._views[place] in expired),
            newest={name: one.newest for name, one in readings.items()},
            t=asked.t,
        )

    def _read(self, view: View, asked: Asked) -> Reading:
        stored, t = asked.stored[view.name], asked.t
        if isinstance(view, PlainView):
            return read_plain(view, stored or (), t)
        own = None
        # the request's event is an event of its own table's views alone
        if self._event is not None and view.name in self._own:
            functions = self._own[view.name]
            arguments = {name: function(asked.request) for name, function in functions.items()}
            own = OwnEvent(asked.request[self._event.event_id], arguments)
        return self._windows[view.name].read(stored, t, own)

    def _table(self, asked: Sequence[Asked], readings: Sequence[Mapping[str, Reading]]) -> pa.Table:
        columns = {
            name: pa.array([one.request[name] for one in asked], kind)
            for name, kind in self._request
        }
        for view, name, kind in self._stored:
            columns[name] = pa.array([one[view].values[name] for one in readings], kind)
        return pa.table(columns)


def _values(
    held: Iterable[tuple[str, str, Callable[[Any], Any]]], readings: Mapping[str, Reading]
) -> list[Any]:
    """The outputs of one request, where all of them are stored features."""
    found = ((readings[view].values[name], plain) for view, name, plain in held)
    return [None if value is None else plain(value) for value, plain in found]


def _own_functions(view: View, service: Service) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """How the request's own event gets the values that gold would have of it."""
    if not isinstance(view, WindowedView) or not folds_own(view):
        return {}
    types = dict(service.request)
    return {one.name: compile_row(one.expression, types) for one in view.columns}
