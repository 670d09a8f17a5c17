"""What windows and point-in-time joins mean, as slowly and plainly as it can be said.

It states docs/time-and-windows.md again as code and shares nothing with the engines but the
plans. A difference between it and an engine is a bug in one of the three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.rule import WindowRule

Key = tuple[object, ...]
Value = float | int | None


@dataclass(frozen=True)
class Version:
    """One stored row: a version of an event, or a row of a plain view."""

    key: Key
    event_time: int
    known_time: int
    batch: int
    position: int
    event_id: int | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    retracted: bool = False

    @property
    def age(self) -> tuple[int, int, int]:
        """The order of versions of one event."""
        return (self.known_time, self.batch, self.position)


@dataclass(frozen=True)
class Question:
    """One spine row."""

    key: Key
    time: int | None
    own_id: int | None = None
    own: Mapping[str, Value] = field(default_factory=dict)


def window(
    question: Question, versions: Sequence[Version], item: AggregationPlan, rule: WindowRule
) -> Value:
    """The answer of one aggregation for one spine row."""
    if None in question.key or question.time is None:
        return None
    new_edge = question.time - rule.delay
    counted = [
        version.values
        for version in _states(question, versions, rule)
        if version.key == question.key
        and not version.retracted
        and new_edge - item.window_micros < version.event_time <= new_edge
    ]
    own_in_window = new_edge - item.window_micros < question.time <= new_edge
    if question.own_id is not None and rule.request_event == "include" and own_in_window:
        counted.append(question.own)
    answer = aggregate(item, counted)
    return item.default if answer is None else answer


def aggregate(item: AggregationPlan, counted: Sequence[Mapping[str, Value]]) -> Value:
    """The function over the non-null values, exact where numbers are."""
    if item.argument is None:
        return len(counted)
    values = [row[item.argument] for row in counted if row[item.argument] is not None]
    if item.function == "count":
        return len(values)
    if not values:
        return None
    if any(not math.isfinite(value) for value in values):
        return _not_finite(item, values)
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    if item.function in ("var", "stddev"):
        if len(exact) < 2:
            return None
        variance = float(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))
        return variance if item.function == "var" else math.sqrt(variance)
    return {"sum": float(sum(exact)), "avg": float(mean), "min": min(values), "max": max(values)}[
        item.function
    ]


def newest(question: Question, rows: Sequence[Version], plan: PitPlan) -> int | None:
    """The place of the point-in-time row of one spine row, or None."""
    if None in question.key or question.time is None:
        return None
    visible = [
        place
        for place, row in enumerate(rows)
        if row.key == question.key
        and row.event_time <= question.time
        and (plan.as_of == "event" or row.known_time + plan.serving_delay <= question.time)
    ]
    if not visible:
        return None
    best = max(visible, key=lambda place: (rows[place].event_time, *rows[place].age))
    if rows[best].retracted:
        return None
    if plan.ttl is not None and question.time - rows[best].event_time > plan.ttl:
        return None
    return best


def _states(question: Question, versions: Sequence[Version], rule: WindowRule) -> Sequence[Version]:
    """The state at T of each event but the question's own one."""
    assert question.time is not None
    newest_version: dict[object, Version] = {}
    for place, version in enumerate(versions):
        if rule.as_of == "known" and not _visible(version, question.time, rule.serving_delay):
            continue
        if version.event_id is not None and version.event_id == question.own_id:
            continue
        name = ("no id", place) if version.event_id is None else version.event_id
        if name not in newest_version or newest_version[name].age < version.age:
            newest_version[name] = version
    return list(newest_version.values())


def _visible(version: Version, time: int, serving_delay: int) -> bool:
    return version.event_time <= time and version.known_time + serving_delay <= time


def _not_finite(item: AggregationPlan, values: Sequence[float]) -> float | None:
    """IEEE: a NaN spreads; infinities count in sums, minima and maxima."""
    if item.function in ("min", "max"):
        if any(math.isnan(value) for value in values):
            return math.nan
        return min(values) if item.function == "min" else max(values)
    if item.function in ("var", "stddev"):
        return math.nan if len(values) > 1 else None
    return sum(values) if item.function == "sum" else sum(values) / len(values)
