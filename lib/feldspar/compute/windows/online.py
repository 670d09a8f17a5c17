"""Windows of one entity at one T, in the serving process: the meaning of fold.py in plain Python.

Stored columns lie sorted by event_time. Where each event has one version, known by then, a window
is a slice of them; else the state of each event at T is chosen first. No pandas, no JVM.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.rule import WindowRule
from feldspar.compute.windows.values import answer, group_answer


class Events(Protocol):
    """The stored versions of one entity's events, n of each column; times in microseconds.

    They ascend by (event_time, known_time, batch, position). An ``event_id`` of None is an event
    of its own. A ``retracted`` version ends its event.
    """

    @property
    def settled(self) -> bool:
        """Whether every event has one version and none is retracted."""

    @property
    def last_known(self) -> int:
        """The greatest known_time."""

    @property
    def longest_lag(self) -> int:
        """The greatest known_time - event_time."""

    @property
    def event_id(self) -> Sequence[Hashable]: ...
    @property
    def known_time(self) -> Sequence[int]: ...
    @property
    def batch(self) -> Sequence[int]: ...
    @property
    def position(self) -> Sequence[int]: ...
    @property
    def retracted(self) -> Sequence[bool]: ...

    def times(self) -> Sequence[int]:
        """event_time of each version."""

    def values(self, name: str) -> tuple[Sequence[Any], bool]:
        """An aggregated column, and whether none of it is null."""

    def may_hold(self, event_id: Hashable) -> bool:
        """Whether an event may be among them; False is certain."""


class OwnEvent(NamedTuple):
    """The request's own event: its id and what the request says of it."""

    event_id: Hashable
    arguments: Mapping[str, Any]


class Current:
    """The states that can count at T: all stored versions, or those at ``rows``, in order."""

    __slots__ = ("_columns", "_events", "_rows", "times")

    def __init__(self, events: Events, rows: Sequence[int] | None = None) -> None:
        times = events.times()
        self.times = times if rows is None else [times[row] for row in rows]
        self._events, self._rows = events, rows
        self._columns: dict[str, tuple[Sequence[Any], bool]] = {}

    def values(self, name: str, start: int, stop: int) -> Sequence[Any]:
        """The values of a column that are not null, from state ``start`` to ``stop``."""
        column, whole = self._read(name)
        part = column[start:stop]
        return part if whole else [value for value in part if value is not None]

    def with_nulls(self, name: str, start: int, stop: int) -> Sequence[Any]:
        """The values of a column from state ``start`` to ``stop``."""
        return self._read(name)[0][start:stop]

    def orders(self, start: int, stop: int) -> Sequence[tuple[int, int, int, int]]:
        """What orders states, from state ``start`` to ``stop``."""
        events = self._events
        columns = (events.times(), events.known_time, events.batch, events.position)
        orders = list(zip(*columns, strict=True))
        rows = range(len(orders)) if self._rows is None else self._rows
        return [orders[row] for row in rows[start:stop]]

    def _read(self, name: str) -> tuple[Sequence[Any], bool]:
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._column(name)
        return found

    def _column(self, name: str) -> tuple[Sequence[Any], bool]:
        column, whole = self._events.values(name)
        return (column if self._rows is None else [column[row] for row in self._rows]), whole


class Nothing:
    """An entity without events."""

    times: Sequence[int] = ()

    def values(self, name: str, start: int, stop: int) -> Sequence[Any]:
        """No values of any column."""
        del name, start, stop
        return ()

    def with_nulls(self, name: str, start: int, stop: int) -> Sequence[Any]:
        """No values of any column."""
        return self.values(name, start, stop)

    def orders(self, start: int, stop: int) -> Sequence[tuple[int, int, int, int]]:
        """No states."""
        del start, stop
        return ()


class OnlineFold:
    """Answers the windows of one view; made once, used for every request.

    Args:
        aggregations: the output columns.
        rule: what a window counts.
    """

    def __init__(self, aggregations: Sequence[AggregationPlan], rule: WindowRule) -> None:
        self.rule = rule
        self._sizes = _by_size(aggregations)

    def current(self, events: Events | None, t: int, own: OwnEvent | None) -> Current | Nothing:
        """The states that count at ``t``, but that of the own event."""
        if events is None:
            return Nothing()
        return Current(events) if self._all_count(events, t, own) else self._chosen(events, t, own)

    def answers(self, current: Current | Nothing, t: int, own: OwnEvent | None) -> dict[str, Any]:
        """Every aggregation at ``t``.

        Args:
            current: what counts of the stored events.
            t: microseconds; the clock of serving.
            own: the request's own event, or None.

        Returns:
            The answer by output column; None where there is none and no default.
        """
        folded = own.arguments if own is not None and self.rule.folds_own else None
        times = current.times
        found: dict[str, Any] = {}
        for window, hop, columns in self._sizes:
            old, new = self.rule.edges(t, window, hop)
            start, stop = bisect_right(times, old), bisect_right(times, new)
            for argument, by, items in columns:
                if by is not None:
                    groups = _groups(current, argument, by, slice(start, stop), folded)
                    for item in items:
                        found[item.name] = group_answer(item, *groups)
                    continue
                values = _values(current, argument, start, stop, folded)
                for item in items:
                    found[item.name] = answer(item, values)
        return found

    def fold(self, events: Events | None, t: int, own: OwnEvent | None = None) -> dict[str, Any]:
        """``answers`` of what counts; versions stored under the own event's id are left out."""
        return self.answers(self.current(events, t, own), t, own)

    def _all_count(self, events: Events, t: int, own: OwnEvent | None) -> bool:
        """Whether every stored version inside a window is a state at ``t``, and another's event."""
        if not events.settled:
            return False
        if own is not None and own.event_id is not None and events.may_hold(own.event_id):
            return False
        rule = self.rule
        return (
            rule.as_of == "event"
            or events.last_known + rule.serving_delay <= t
            or events.longest_lag + rule.serving_delay <= rule.delay
        )

    def _chosen(self, events: Events, t: int, own: OwnEvent | None) -> Current:
        times, known = events.times(), events.known_time
        ages = list(zip(known, events.batch, events.position, strict=True))
        latest = t - self.rule.serving_delay
        both = self.rule.as_of == "known"
        unnamed: list[int] = []
        newest: dict[Hashable, int] = {}
        for row, event_id in enumerate(events.event_id):
            if both and (known[row] > latest or times[row] > t):
                continue
            if event_id is None:
                unnamed.append(row)
            elif event_id not in newest or ages[newest[event_id]] <= ages[row]:
                newest[event_id] = row
        if own is not None:
            newest.pop(own.event_id, None)
        retracted = events.retracted
        rows = (row for row in (*newest.values(), *unnamed) if not retracted[row])
        return Current(events, sorted(rows))


Columns = list[tuple[str | None, str | None, list[AggregationPlan]]]


def _by_size(aggregations: Sequence[AggregationPlan]) -> list[tuple[int, int, Columns]]:
    """Window and hop, then argument and groups, then what is asked of them."""
    sizes: dict[tuple[int, int], dict[tuple[str | None, str | None], list[AggregationPlan]]] = {}
    for item in aggregations:
        columns = sizes.setdefault((item.window_micros, item.hop_micros), {})
        columns.setdefault((item.argument, item.by), []).append(item)
    return [
        (*size, [(*names, items) for names, items in columns.items()])
        for size, columns in sizes.items()
    ]


def _values(
    current: Current | Nothing,
    argument: str | None,
    start: int,
    stop: int,
    own: Mapping[str, Any] | None,
) -> Sequence[Any]:
    if argument is None:
        return range(stop - start + (own is not None))
    values = current.values(argument, start, stop)
    if own is None or own[argument] is None:
        return values
    return [*values, own[argument]]


def _groups(
    current: Current | Nothing,
    argument: str | None,
    by: str,
    part: slice,
    own: Mapping[str, Any] | None,
) -> tuple[Sequence[Any], Sequence[Any]]:
    """The values and the groups of each event in a window."""
    groups = [*current.with_nulls(by, part.start, part.stop)]
    if argument is None:
        values = [0] * len(groups)
    else:
        values = [*current.with_nulls(argument, part.start, part.stop)]
    if own is not None:
        groups.append(own[by])
        values.append(0 if argument is None else own[argument])
    return values, groups
