"""Windows of one entity at one T, in the serving process: the meaning of fold.py in plain Python.

Made for some hundreds of events read from the online store; no pandas, no JVM.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import isnan, nan, sqrt
from operator import attrgetter
from typing import NamedTuple

from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.rule import WindowRule

Number = float | int
Arguments = Mapping[str, Number | None]


class Event(NamedTuple):
    """One stored version of an event of the entity; times in microseconds.

    ``event_id`` None is an event of its own. A ``retracted`` version ends its event.
    """

    event_id: Hashable
    event_time: int
    known_time: int
    batch: int
    position: int
    arguments: Arguments
    retracted: bool = False


class OwnEvent(NamedTuple):
    """The request's own event: its id and what the request says of it."""

    event_id: Hashable
    arguments: Arguments


def fold_one(
    events: Sequence[Event],
    t: int,
    aggregations: Sequence[AggregationPlan],
    *,
    rule: WindowRule,
    own: OwnEvent | None = None,
) -> dict[str, Number | None]:
    """Answer every aggregation for one entity at ``t``.

    Args:
        events: the entity's stored versions, in any order.
        t: microseconds; the clock of serving.
        aggregations: the output columns.
        rule: what a window counts.
        own: the request's own event, or None; versions stored under its id are left out.

    Returns:
        The answer by output column; None where there is none and no default.
    """
    current = sorted(_current(events, t, rule, own), key=attrgetter("event_time"))
    times = [event.event_time for event in current]
    folded_own = own.arguments if own is not None and rule.folds_own else None
    columns: dict[tuple[str | None, int], list[Number]] = {}
    answers: dict[str, Number | None] = {}
    for item in aggregations:
        key = (item.argument, item.window_micros)
        if key not in columns:
            start = bisect_right(times, t - rule.delay - item.window_micros)
            rows = [
                event.arguments for event in current[start : bisect_right(times, t - rule.delay)]
            ]
            if folded_own is not None:
                rows.append(folded_own)
            columns[key] = _values(rows, item.argument)
        answers[item.name] = _answer(item, columns[key])
    return answers


def _current(
    events: Iterable[Event], t: int, rule: WindowRule, own: OwnEvent | None
) -> list[Event]:
    """The state at ``t`` of each event but the own one."""
    known = rule.as_of == "known"
    latest = t - rule.serving_delay
    unnamed: list[Event] = []
    newest: dict[Hashable, Event] = {}
    for event in events:
        if known and (event.known_time > latest or event.event_time > t):
            continue
        if event.event_id is None:
            unnamed.append(event)
            continue
        older = newest.setdefault(event.event_id, event)
        if older is not event and older[2:5] <= event[2:5]:
            newest[event.event_id] = event
    if own is not None:
        newest.pop(own.event_id, None)
    return [event for event in (*newest.values(), *unnamed) if not event.retracted]


def _values(rows: Sequence[Arguments], argument: str | None) -> list[Number]:
    if argument is None:
        return [0] * len(rows)
    found = (row[argument] for row in rows)
    return [value for value in found if value is not None]


def _answer(item: AggregationPlan, values: Sequence[Number]) -> Number | None:
    answer = _function(item, values)
    return item.default if answer is None else answer


def _function(item: AggregationPlan, values: Sequence[Number]) -> Number | None:
    if item.function == "count":
        return len(values)
    if item.function in ("var", "stddev"):
        variance = _variance(values)
        return sqrt(variance) if variance is not None and item.function == "stddev" else variance
    if not values:
        return None
    if item.function in ("min", "max"):
        return _extreme(item, values)
    total = float(sum(values))
    return total if item.function == "sum" else total / len(values)


def _extreme(item: AggregationPlan, values: Sequence[Number]) -> Number:
    # cheap where there is no NaN: only a sum that is NaN is looked into
    if isnan(sum(values)) and any(isnan(value) for value in values):
        return nan
    return min(values) if item.function == "min" else max(values)


def _variance(values: Sequence[Number]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
